// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import GRDB
import Glibc

/// The tables of a database, and how they came to be: forward only, each step one transaction, after a copy of what is
/// there.
///
/// How many steps a file has gone is its `user_version`.
public struct DatabaseSchema: Sendable {
    private let subject: String
    private let steps: [String]

    /// Describes a schema.
    ///
    /// `subject` is what the database is of, as "calls"; `steps` are SQL, the first of them for an empty file. A step that
    /// was released never changes.
    public init(of subject: String, steps: [String]) {
        self.subject = subject
        self.steps = steps
    }

    /// Opens a database and brings it up to date; what was there before lies in `PATH.schema-VERSION` afterwards.
    ///
    /// `connect` makes the connection that writes; it is not called for a database that is newer than this program. A step
    /// that fails leaves the database as the step before left it. Blocks.
    ///
    /// - Throws: the fault `badSettings` for a database that is newer than this program, which is not touched; the
    ///   database's own errors.
    public func open<Writer: DatabaseWriter>(_ path: String, _ connect: () throws -> Writer) throws -> Writer {
        if let found = try? StoredVersion.read(path) { try check(found) }
        let writer = try connect()
        try migrate(writer, at: path)
        return writer
    }

    /// Finds out whether a database is newer than this program, cannot be read, or is none, without changing it and beside
    /// whoever uses it.
    ///
    /// Nothing where there is none yet; damage further inside is found by opening it. Blocks. - Throws: `badSettings` for
    /// one that is newer, `storageUnavailable` for one that cannot be used.
    public func check(at path: String) throws(PlatformFault) {
        do {
            if let found = try StoredVersion.read(path) { try check(found) }
        } catch let fault as PlatformFault {
            throw fault
        } catch {
            let file = path.split(separator: "/").last ?? ""
            throw PlatformFault(
                .storageUnavailable,
                "The database of \(subject) (\(file)) cannot be used: \(error).",
                hint: "Nothing was changed. Put back a copy, or move the file away.",
                cause: error
            )
        }
    }

    private func check(_ found: Int) throws(PlatformFault) {
        guard !(0...steps.count).contains(found) else { return }
        throw PlatformFault(
            .badSettings,
            "The database of \(subject) was written by a newer Martlet (schema \(found), known: \(steps.count)).",
            hint: "Start that version, or put back the copy that it made before its first start."
        )
    }

    private func migrate(_ writer: some DatabaseWriter, at path: String) throws {
        let found = try writer.read { try Int.fetchOne($0, sql: "PRAGMA user_version") ?? 0 }
        try check(found)
        guard found < steps.count else { return }
        if found > 0 { try copy(writer, to: "\(path).schema-\(found)") }
        for step in found..<steps.count {
            try writer.write { database in
                try database.execute(sql: steps[step])
                try database.execute(sql: "PRAGMA user_version = \(step + 1)")
            }
        }
    }

    private func copy(_ writer: some DatabaseWriter, to path: String) throws {
        // A copy that was broken off is not the last word.
        unlink(path)
        try writer.writeWithoutTransaction { database in
            try database.execute(sql: "VACUUM INTO ?", arguments: [path])
        }
    }
}

extension DatabaseWriter {
    /// Has each commit on disk when it returns, where the log is written ahead (WAL).
    ///
    /// - Throws: where the database does not take to it.
    public func syncEveryCommit() throws {
        try writeWithoutTransaction { database in
            // GRDB sets NORMAL when it switches WAL on: FULL has to come after, and is read back.
            try database.execute(sql: "PRAGMA synchronous = FULL")
            let level = try Int.fetchOne(database, sql: "PRAGMA synchronous")
            guard level == 2 else { throw DatabaseError(message: "synchronous is \(level ?? -1), not FULL") }
        }
    }
}
