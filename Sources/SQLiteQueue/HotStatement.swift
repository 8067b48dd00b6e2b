// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite
import NIOCore

/// A statement that runs for every call, bound without the values in between that GRDB makes: they would cost more than
/// SQLite itself.
///
/// Confined to the writer's connection.
final class HotStatement {
    private let handle: OpaquePointer

    init(_ sql: String, on database: Database) throws {
        var handle: OpaquePointer?
        let code = sqlite3_prepare_v3(
            database.sqliteConnection,
            sql,
            -1,
            UInt32(SQLITE_PREPARE_PERSISTENT),
            &handle,
            nil
        )
        guard code == SQLITE_OK, let handle else {
            throw DatabaseError(resultCode: ResultCode(rawValue: code), sql: sql)
        }
        self.handle = handle
    }

    deinit { sqlite3_finalize(handle) }

    /// Runs the statement with values; returns how many rows it changed.
    func run(_ bind: (inout Values) -> Void) throws -> Int {
        var values = Values(handle: handle)
        bind(&values)
        let code = sqlite3_step(handle)
        let connection = sqlite3_db_handle(handle)
        // A message is the connection's only until its next call.
        let message = code == SQLITE_DONE ? nil : sqlite3_errmsg(connection).map { String(cString: $0) }
        sqlite3_reset(handle)
        guard code == SQLITE_DONE else { throw DatabaseError(resultCode: ResultCode(rawValue: code), message: message) }
        return Int(sqlite3_changes(connection))
    }

    /// The values of a statement's parameters, given in their order.
    struct Values {
        fileprivate let handle: OpaquePointer
        private var index: Int32 = 0

        /// SQLite makes a copy before the call returns.
        private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

        fileprivate init(handle: OpaquePointer) { self.handle = handle }

        mutating func add(_ number: Int64) {
            index += 1
            sqlite3_bind_int64(handle, index, number)
        }

        mutating func add(_ number: Int) { add(Int64(number)) }

        mutating func add(_ text: String?) {
            index += 1
            guard var text else {
                sqlite3_bind_null(handle, index)
                return
            }
            text.withUTF8 { bytes in
                _ = bytes.withMemoryRebound(to: CChar.self) { characters in
                    sqlite3_bind_text(handle, index, characters.baseAddress, Int32(characters.count), Self.copied)
                }
            }
        }

        /// Nil for a null; an empty buffer is an empty blob.
        mutating func add(_ bytes: ByteBuffer?) {
            index += 1
            guard let bytes else {
                sqlite3_bind_null(handle, index)
                return
            }
            guard bytes.readableBytes > 0 else {
                sqlite3_bind_zeroblob(handle, index, 0)
                return
            }
            bytes.withUnsafeReadableBytes { bytes in
                _ = sqlite3_bind_blob(handle, index, bytes.baseAddress, Int32(bytes.count), Self.copied)
            }
        }
    }
}

/// The statements that run for every call.
final class HotStatements {
    let insertCall: HotStatement
    let insertRequest: HotStatement
    let endCall: HotStatement
    let insertResult: HotStatement

    init(_ database: Database) throws {
        insertCall = try HotStatement(
            """
            INSERT INTO calls
                (seq, id, call_id, function, state, method, path, query, created_at, not_before, delayed_by, callback_url)
            VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
            """,
            on: database
        )
        insertRequest = try HotStatement(
            "INSERT INTO requests (seq, client, fields, body, spill) VALUES (?, ?, ?, ?, ?)",
            on: database
        )
        endCall = try HotStatement(
            """
            UPDATE calls SET state = ?, finished_at = ?, attempts = attempts || ?, dead_reason = ?,
                callback_state = callback_url IS NOT NULL, callback_due = ?
            WHERE seq = ? AND state = 0
            """,
            on: database
        )
        insertResult = try HotStatement(
            """
            INSERT OR REPLACE INTO results (seq, status, fields, body, spill, size, is_truncated, expires_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            on: database
        )
    }
}
