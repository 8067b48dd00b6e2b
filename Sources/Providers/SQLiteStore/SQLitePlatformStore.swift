// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
import GRDB
public import StoreContract

/// The platform's own documents, in the file of what is desired (`martlet.sqlite`).
///
/// It is a part of `SQLiteDesiredStore`, which opens and closes the file: that has one writer at every moment.
public final class SQLitePlatformStore: PlatformStore {
    private let writer: DatabaseQueue
    private let gate: StoreGate

    init(_ writer: DatabaseQueue, _ gate: StoreGate) {
        self.writer = writer
        self.gate = gate
    }

    /// See the contract's `document`.
    public func document(at key: DocumentKey) async throws(PlatformFault) -> StoredDocument? {
        try await faulted {
            try await self.writer.read { database in
                try Row.fetchOne(
                    database,
                    sql: "SELECT key, version, content FROM documents WHERE key = ?",
                    arguments: [key.text]
                ).flatMap(Self.document)
            }
        }
    }

    /// See the contract's `put`.
    @discardableResult
    public func put(
        _ content: [UInt8],
        at key: DocumentKey,
        expecting: ExpectedVersion
    ) async throws(PlatformFault) -> Int {
        try StoredDocument.checkSize(of: content, at: key)
        return try await faulted {
            try await self.writer.write { database in
                try expecting.check(Self.version(of: key, database), at: key)
                let version = try Int.fetchOne(
                    database,
                    sql: "UPDATE document_versions SET last = last + 1 RETURNING last"
                )
                guard let version else { throw DatabaseError(message: "document_versions has no row") }
                try database.execute(
                    sql: "INSERT OR REPLACE INTO documents (key, version, content) VALUES (?, ?, ?)",
                    arguments: [key.text, version, Data(content)]
                )
                return version
            }
        }
    }

    /// See the contract's `delete`.
    public func delete(_ key: DocumentKey, expecting: ExpectedVersion) async throws(PlatformFault) {
        try await faulted {
            try await self.writer.write { database in
                try expecting.check(Self.version(of: key, database), at: key)
                try database.execute(sql: "DELETE FROM documents WHERE key = ?", arguments: [key.text])
            }
        }
    }

    /// See the contract's `documents`.
    public func documents(
        beginningWith prefix: String,
        after key: DocumentKey?,
        limit: Int
    ) async throws(PlatformFault) -> [StoredDocument] {
        // Keys are bytes below 0x7F, so that this bounds all that begin so; what else is looked for is found nowhere.
        guard prefix.utf8.allSatisfy({ 0x20..<0x7F ~= $0 }) else { return [] }
        return try await faulted {
            try await self.writer.read { database in
                try Row.fetchAll(
                    database,
                    sql: """
                        SELECT key, version, content FROM documents
                        WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?
                        """,
                    arguments: [prefix, prefix + "\u{7F}", key?.text ?? "", min(max(limit, 1), 1000)]
                ).compactMap(Self.document)
            }
        }
    }

    private static func version(of key: DocumentKey, _ database: Database) throws -> Int? {
        try Int.fetchOne(database, sql: "SELECT version FROM documents WHERE key = ?", arguments: [key.text])
    }

    /// Nil for a row that nobody of this store has written.
    private static func document(_ row: Row) -> StoredDocument? {
        DocumentKey(row["key"]).map { key in
            StoredDocument(key: key, version: row["version"], content: Array(row["content"] as Data))
        }
    }

    private func faulted<Value>(_ work: () async throws -> Value) async throws(PlatformFault) -> Value {
        try gate.enter()
        defer { gate.leave() }
        do { return try await work() } catch {
            throw error as? PlatformFault ?? SQLiteDesiredStore.fault(error)
        }
    }
}
