// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GRDB

/// What was deployed, on disk before it is acknowledged: functions, their revisions, namespaces and image names.
///
/// All access goes through GRDB's writer queue, which is a thread of its own: nothing blocks the cooperative pool.
final class StateStore: Sendable {
    /// A function with its newest revision.
    struct StoredFunction: Sendable {
        var id: FunctionID
        var desiredReplicas: Int
        var createdAt: Timestamp
        var revision: StoredRevision
        /// The revision that last was ready, when it is another one: it serves until the newest is ready.
        var readyRevision: StoredRevision?
    }

    /// One immutable revision.
    struct StoredRevision: Sendable, Equatable {
        var number: Int
        var deployment: FunctionDeployment
        var bundleDigest: String?
    }

    private let writer: DatabaseQueue
    /// Raised with every change of the schema; see `migrations`.
    private static let schemaVersion = 1

    /// Opens the database, making it where it is missing.
    ///
    /// - Throws: `storageUnavailable` for a database that is damaged, newer than this program, or cannot be written.
    init(path: String) throws(PlatformFault) {
        do {
            var configuration = Configuration()
            configuration.journalMode = .wal
            configuration.busyMode = .timeout(5)
            writer = try DatabaseQueue(path: path, configuration: configuration)
            try writer.writeWithoutTransaction { database in
                // GRDB sets NORMAL when it switches WAL on: FULL has to come after, and is read back.
                try database.execute(sql: "PRAGMA synchronous = FULL")
                let level = try Int.fetchOne(database, sql: "PRAGMA synchronous")
                guard level == 2 else { throw DatabaseError(message: "synchronous is \(level ?? -1), not FULL") }
            }
            try Self.migrate(writer, path: path)
        } catch let fault as PlatformFault {
            throw fault
        } catch {
            throw PlatformFault(
                .storageUnavailable,
                "The database of deployments (martlet.sqlite) cannot be opened: \(Self.words(for: error)).",
                hint: "Nothing was changed. Put back a copy, or move the file away to start with no functions.",
                cause: error
            )
        }
        DurableFile.syncFolder(of: path)
    }

    /// Writes everything into the one file and closes it.
    func close() throws { try writer.close() }

    // MARK: Functions

    func functions() async throws(PlatformFault) -> [StoredFunction] {
        try await read { database in
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT f.namespace, f.name, f.desired_replicas, f.created_at,
                           r.number, r.deployment, r.bundle_digest,
                           s.number AS ready_number, s.deployment AS ready_deployment, s.bundle_digest AS ready_digest
                    FROM functions f
                    JOIN revisions r ON r.namespace = f.namespace AND r.name = f.name AND r.number = f.revision
                    LEFT JOIN revisions s
                      ON s.namespace = f.namespace AND s.name = f.name AND s.number = f.ready_revision
                      AND s.number <> f.revision
                    ORDER BY f.namespace, f.name
                    """
            )
            return try rows.map(Self.function)
        }
    }

    private static func function(_ row: Row) throws -> StoredFunction {
        StoredFunction(
            id: FunctionID(name: row["name"], namespace: row["namespace"]),
            desiredReplicas: row["desired_replicas"],
            createdAt: Timestamp(nanosecondsSinceEpoch: row["created_at"]),
            revision: try revision(row["number"], row["deployment"], row["bundle_digest"]),
            readyRevision: try (row["ready_number"] as Int?).map {
                try revision($0, row["ready_deployment"], row["ready_digest"])
            }
        )
    }

    private static func revision(_ number: Int, _ text: String, _ digest: String?) throws -> StoredRevision {
        let deployment = try JSONDecoder().decode(FunctionDeployment.self, from: Data(text.utf8))
        return StoredRevision(number: number, deployment: deployment, bundleDigest: digest)
    }

    func insert(_ function: StoredFunction) async throws(PlatformFault) {
        try await write { database in
            try Self.insert(function.revision, of: function.id, database)
            try database.execute(
                sql: """
                    INSERT INTO functions (namespace, name, desired_replicas, revision, created_at)
                    VALUES (?, ?, ?, ?, ?)
                    """,
                arguments: [
                    function.id.namespace, function.id.name, function.desiredReplicas, function.revision.number,
                    function.createdAt.nanosecondsSinceEpoch,
                ]
            )
        }
    }

    func insert(_ revision: StoredRevision, of id: FunctionID) async throws(PlatformFault) {
        try await write { database in
            try Self.insert(revision, of: id, database)
            try database.execute(
                sql: "UPDATE functions SET revision = ? WHERE namespace = ? AND name = ?",
                arguments: [revision.number, id.namespace, id.name]
            )
        }
    }

    private static func insert(_ revision: StoredRevision, of id: FunctionID, _ database: Database) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        try database.execute(
            sql: """
                INSERT INTO revisions (namespace, name, number, deployment, bundle_digest, created_at)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                id.namespace, id.name, revision.number,
                String(decoding: try encoder.encode(revision.deployment), as: UTF8.self), revision.bundleDigest,
                Timestamp.now().nanosecondsSinceEpoch,
            ]
        )
    }

    /// Writes the numbers of many functions at once; those that are gone are left out.
    func setDesiredReplicas(_ waiters: [FunctionID: Int]) async throws(PlatformFault) {
        try await write { database in
            let update = try database.cachedStatement(
                sql: "UPDATE functions SET desired_replicas = ? WHERE namespace = ? AND name = ?"
            )
            for (id, replicas) in waiters { try update.execute(arguments: [replicas, id.namespace, id.name]) }
        }
    }

    /// The moment says which function is meant: its name may be another one's by now.
    func setReadyRevision(_ number: Int, of id: FunctionID, createdAt: Timestamp) async throws(PlatformFault) {
        try await write { database in
            try database.execute(
                sql: "UPDATE functions SET ready_revision = ? WHERE namespace = ? AND name = ? AND created_at = ?",
                arguments: [number, id.namespace, id.name, createdAt.nanosecondsSinceEpoch]
            )
        }
    }

    /// Digests of the bundles that revisions in use are pinned to, with the function that uses each.
    func usedBundles() async throws(PlatformFault) -> [String: FunctionID] {
        try await read { database in
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT r.bundle_digest, r.namespace, r.name FROM revisions r
                    JOIN functions f ON f.namespace = r.namespace AND f.name = r.name
                    WHERE r.bundle_digest IS NOT NULL AND r.number IN (f.revision, f.ready_revision)
                    """
            )
            return Dictionary(
                rows.map { ($0["bundle_digest"], FunctionID(name: $0["name"], namespace: $0["namespace"])) },
                uniquingKeysWith: { first, _ in first }
            )
        }
    }

    func delete(_ id: FunctionID) async throws(PlatformFault) {
        try await write { database in
            for table in ["functions", "revisions"] {
                try database.execute(
                    sql: "DELETE FROM \(table) WHERE namespace = ? AND name = ?",
                    arguments: [id.namespace, id.name]
                )
            }
        }
    }

    // MARK: Namespaces

    func namespaces() async throws(PlatformFault) -> [NamespaceRecord] {
        try await read { database in
            try Row.fetchAll(database, sql: "SELECT record FROM namespaces ORDER BY name").map { row in
                let text: String = row["record"]
                return try JSONDecoder().decode(NamespaceRecord.self, from: Data(text.utf8))
            }
        }
    }

    func put(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO namespaces (name, record) VALUES (?, ?)",
                arguments: [record.name, String(decoding: try JSONEncoder().encode(record), as: UTF8.self)]
            )
        }
    }

    func deleteNamespace(_ name: String) async throws(PlatformFault) {
        try await write { database in
            try database.execute(sql: "DELETE FROM namespaces WHERE name = ?", arguments: [name])
        }
    }

    // MARK: Images

    func images() async throws(PlatformFault) -> [BundleRecord] {
        try await read { database in
            try Row.fetchAll(
                database,
                sql: "SELECT name, tag, digest, language, created_at FROM images ORDER BY name, tag"
            ).map { row in
                BundleRecord(
                    name: row["name"],
                    tag: row["tag"],
                    digest: row["digest"],
                    language: row["language"],
                    createdAt: Timestamp(nanosecondsSinceEpoch: row["created_at"])
                )
            }
        }
    }

    func put(_ image: BundleRecord) async throws(PlatformFault) {
        try await write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO images (name, tag, digest, language, created_at) VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    image.name, image.tag, image.digest, image.language, image.createdAt.nanosecondsSinceEpoch,
                ]
            )
        }
    }

    func deleteImage(name: String, tag: String) async throws(PlatformFault) {
        try await write { database in
            try database.execute(sql: "DELETE FROM images WHERE name = ? AND tag = ?", arguments: [name, tag])
        }
    }

    // MARK: Schema

    /// Forward only, each step a transaction, after a copy of what is there.
    private static func migrate(_ writer: DatabaseQueue, path: String) throws {
        let version = try writer.read { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 }
        guard version <= schemaVersion else {
            throw PlatformFault(
                .storageUnavailable,
                "The database of deployments was written by a newer Martlet (schema \(version), known: \(schemaVersion)).",
                hint: "Start that version, or put back the copy that it made before its first start."
            )
        }
        guard version < schemaVersion else { return }
        if version > 0 {
            try writer.writeWithoutTransaction { database in
                try database.execute(sql: "VACUUM INTO ?", arguments: ["\(path).schema-\(version)"])
            }
        }
        for step in version..<schemaVersion {
            try writer.write { database in
                try database.execute(sql: migrations[step])
                try database.execute(sql: "PRAGMA user_version = \(step + 1)")
            }
        }
    }

    private static let migrations = [
        """
        CREATE TABLE functions (
            namespace TEXT NOT NULL, name TEXT NOT NULL,
            desired_replicas INTEGER NOT NULL, revision INTEGER NOT NULL,
            ready_revision INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
            PRIMARY KEY (namespace, name)
        ) STRICT;
        CREATE TABLE revisions (
            namespace TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
            deployment TEXT NOT NULL, bundle_digest TEXT, created_at INTEGER NOT NULL,
            PRIMARY KEY (namespace, name, number)
        ) STRICT;
        CREATE TABLE namespaces (name TEXT NOT NULL PRIMARY KEY, record TEXT NOT NULL) STRICT;
        CREATE TABLE images (
            name TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, language TEXT, created_at INTEGER NOT NULL,
            PRIMARY KEY (name, tag)
        ) STRICT;
        """
    ]

    // MARK: Access

    private func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(PlatformFault) -> Value {
        do { return try await writer.read(body) } catch { throw Self.fault(error) }
    }

    private func write(_ body: @escaping @Sendable (Database) throws -> Void) async throws(PlatformFault) {
        do { try await writer.write(body) } catch { throw Self.fault(error) }
    }

    private static func fault(_ error: any Error) -> PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "The database of deployments cannot be used: \(words(for: error)). Nothing was changed.",
            hint: "Check the free space and the rights of the data directory, then try again.",
            cause: error
        )
    }

    private static func words(for error: any Error) -> String {
        guard let error = error as? DatabaseError else { return "\(error)" }
        return switch error.resultCode {
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: "the file is damaged"
        case .SQLITE_FULL: "the disk is full"
        case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM: "the file cannot be written"
        default: error.message ?? "\(error.resultCode)"
        }
    }
}
