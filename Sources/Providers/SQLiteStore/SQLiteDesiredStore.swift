// SPDX-License-Identifier: Apache-2.0

import Dispatch
public import FaultModel
import Foundation
public import FunctionModel
import GRDB
import ProcessControl
import SQLiteSchema
public import StoreContract

/// What is desired, in a file (`martlet.sqlite`), on disk before it is acknowledged.
///
/// All access goes through GRDB's writer queue, which is a thread of its own: nothing blocks the cooperative pool.
public final class SQLiteDesiredStore: DesiredStore {
    private let writer: DatabaseQueue
    private let gate = StoreGate()
    /// The platform's own documents, in the same file; they are there until the store is closed.
    public let documents: SQLitePlatformStore
    /// For what blocks and is not GRDB's: opening and closing.
    private let disk: DispatchQueue

    /// Opens the file, making it where it is missing.
    ///
    /// - Throws: `storageUnavailable` for a file that is damaged or cannot be written; `badSettings` for one that is newer
    ///   than this program.
    public static func open(at path: String) async throws(PlatformFault) -> SQLiteDesiredStore {
        let disk = DispatchQueue(label: "martlet.store")
        let opened = await withCheckedContinuation { continuation in
            disk.async {
                continuation.resume(
                    returning: Result { () throws(PlatformFault) in try SQLiteDesiredStore(path: path, disk: disk) }
                )
            }
        }
        return try opened.get()
    }

    private init(path: String, disk: DispatchQueue) throws(PlatformFault) {
        self.disk = disk
        do {
            writer = try Self.schema.open(path) { try Self.connection(to: path) }
            documents = SQLitePlatformStore(writer, gate)
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
        SystemFile.syncFolder((path as NSString).deletingLastPathComponent)
    }

    /// Finds out whether the file is newer than this program, cannot be read or is not a database, beside whoever uses it.
    ///
    /// Blocks. - Throws: as `open` for one that is.
    public static func check(at path: String) throws(PlatformFault) { try schema.check(at: path) }

    private static func connection(to path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(5)
        let writer = try DatabaseQueue(path: path, configuration: configuration)
        try writer.syncEveryCommit()
        return writer
    }

    /// See the contract's `close`: everything is in the one file afterwards.
    public func close() async throws(PlatformFault) {
        guard await gate.close() else { return }
        let writer = writer
        let closed = await withCheckedContinuation { continuation in
            disk.async { continuation.resume(returning: Result { try writer.close() }) }
        }
        do { try closed.get() } catch { throw Self.fault(error) }
    }

    // MARK: Functions

    /// See the contract's `functions`.
    public func functions() async throws(PlatformFault) -> [StoredFunction] {
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

    /// See the contract's `insert`.
    public func insert(_ function: StoredFunction) async throws(PlatformFault) {
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

    /// See the contract's `insert`.
    public func insert(_ revision: StoredRevision, of id: FunctionID) async throws(PlatformFault) {
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

    /// See the contract's `setDesiredReplicas`.
    public func setDesiredReplicas(_ numbers: [FunctionID: Int]) async throws(PlatformFault) {
        try await write { database in
            let update = try database.cachedStatement(
                sql: "UPDATE functions SET desired_replicas = ? WHERE namespace = ? AND name = ?"
            )
            for (id, replicas) in numbers { try update.execute(arguments: [replicas, id.namespace, id.name]) }
        }
    }

    /// See the contract's `setReadyRevision`.
    public func setReadyRevision(_ number: Int, of id: FunctionID, createdAt: Timestamp) async throws(PlatformFault) {
        try await write { database in
            try database.execute(
                sql: "UPDATE functions SET ready_revision = ? WHERE namespace = ? AND name = ? AND created_at = ?",
                arguments: [number, id.namespace, id.name, createdAt.nanosecondsSinceEpoch]
            )
        }
    }

    /// See the contract's `usedBundles`.
    public func usedBundles() async throws(PlatformFault) -> [String: FunctionID] {
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

    /// See the contract's `delete`.
    public func delete(_ id: FunctionID) async throws(PlatformFault) {
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

    /// See the contract's `namespaces`.
    public func namespaces() async throws(PlatformFault) -> [NamespaceRecord] {
        try await read { database in
            try Row.fetchAll(database, sql: "SELECT record FROM namespaces ORDER BY name").map { row in
                let text: String = row["record"]
                return try JSONDecoder().decode(NamespaceRecord.self, from: Data(text.utf8))
            }
        }
    }

    /// See the contract's `put`.
    public func put(_ namespace: NamespaceRecord) async throws(PlatformFault) {
        try await write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO namespaces (name, record) VALUES (?, ?)",
                arguments: [namespace.name, String(decoding: try JSONEncoder().encode(namespace), as: UTF8.self)]
            )
        }
    }

    /// See the contract's `deleteNamespace`.
    public func deleteNamespace(_ name: String) async throws(PlatformFault) {
        try await write { database in
            try database.execute(sql: "DELETE FROM namespaces WHERE name = ?", arguments: [name])
        }
    }

    // MARK: Images

    /// See the contract's `images`.
    public func images() async throws(PlatformFault) -> [BundleRecord] {
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

    /// See the contract's `put`.
    public func put(_ image: BundleRecord) async throws(PlatformFault) {
        try await write { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO images (name, tag, digest, language, created_at) VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    image.name, image.tag, image.digest, image.language, image.createdAt.nanosecondsSinceEpoch,
                ]
            )
        }
    }

    /// See the contract's `deleteImage`.
    public func deleteImage(name: String, tag: String) async throws(PlatformFault) {
        try await write { database in
            try database.execute(sql: "DELETE FROM images WHERE name = ? AND tag = ?", arguments: [name, tag])
        }
    }

    // MARK: Schema

    private static let schema = DatabaseSchema(of: "deployments", steps: steps)

    private static let steps = [
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
        """,
        // The one row of the second is the last version that was given out.
        """
        CREATE TABLE documents (
            key TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, content BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE document_versions (last INTEGER NOT NULL) STRICT;
        INSERT INTO document_versions VALUES (0);
        """,
    ]

    // MARK: Access

    private func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(PlatformFault) -> Value {
        try gate.enter()
        defer { gate.leave() }
        do { return try await writer.read(body) } catch { throw Self.fault(error) }
    }

    private func write(_ body: @escaping @Sendable (Database) throws -> Void) async throws(PlatformFault) {
        try gate.enter()
        defer { gate.leave() }
        do { try await writer.write(body) } catch { throw Self.fault(error) }
    }

    static func fault(_ error: any Error) -> PlatformFault {
        if let error = error as? CancellationError { return .givenUp(error) }
        return PlatformFault(
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
