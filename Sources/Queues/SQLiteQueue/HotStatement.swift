// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import GRDB
import GRDBSQLite
import NIOCore
import QueueContract

/// A statement that runs for every call, bound without the values in between that GRDB makes: they would cost more than
/// SQLite itself.
///
/// Confined to the writer's connection.
final class HotStatement {
    private let handle: OpaquePointer
    private let connection: OpaquePointer?
    /// Where SQLite reads text and bytes during one run.
    private var arena = ValueArena()

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
        connection = sqlite3_db_handle(handle)
    }

    deinit {
        sqlite3_finalize(handle)
        arena.free()
    }

    /// Runs the statement with values; returns how many rows it changed.
    func run(_ bind: (inout Values) -> Void) throws -> Int {
        var values = Values(handle: handle, arena: arena)
        bind(&values)
        let code = sqlite3_step(handle)
        // A message is the connection's only until its next call.
        let message = code == SQLITE_DONE ? nil : sqlite3_errmsg(connection).map { String(cString: $0) }
        sqlite3_reset(handle)
        arena = values.arena
        arena.clear()
        guard code == SQLITE_DONE else { throw DatabaseError(resultCode: ResultCode(rawValue: code), message: message) }
        return Int(sqlite3_changes(connection))
    }

    /// The values of a statement's parameters, given in their order.
    struct Values {
        fileprivate let handle: OpaquePointer
        fileprivate var arena: ValueArena
        private var index: Int32 = 0

        fileprivate init(handle: OpaquePointer, arena: ValueArena) {
            self.handle = handle
            self.arena = arena
        }

        mutating func add(_ number: Int64) {
            index += 1
            sqlite3_bind_int64(handle, index, number)
        }

        mutating func add(_ number: Int64?) {
            if let number { add(number) } else { addNull() }
        }

        mutating func add(_ number: Int) { add(Int64(number)) }

        mutating func add(_ text: String?) {
            guard let text else { return addNull() }
            addText { $0.append(text) }
        }

        /// A function as rows have it: `name.namespace`.
        mutating func add(_ function: FunctionID) {
            addText { text in
                text.append(function.name)
                text.append(".")
                text.append(function.namespace)
            }
        }

        /// An attempt as rows have it; none is an empty text.
        mutating func add(_ attempt: CallAttempt?) {
            addText { text in
                if let attempt { AttemptText.write(attempt, to: &text) }
            }
        }

        /// Nil for a null; an empty buffer is an empty blob.
        mutating func add(_ bytes: ByteBuffer?) {
            guard let bytes else { return addNull() }
            index += 1
            arena.begin()
            bytes.withUnsafeReadableBytes { arena.append($0) }
            let value = arena.value
            sqlite3_bind_blob(handle, index, value.baseAddress, Int32(value.count), nil)
        }

        private mutating func addNull() {
            index += 1
            sqlite3_bind_null(handle, index)
        }

        private mutating func addText(_ write: (inout ValueArena) -> Void) {
            index += 1
            arena.begin()
            write(&arena)
            let value = arena.value
            sqlite3_bind_text(
                handle,
                index,
                value.baseAddress?.assumingMemoryBound(to: CChar.self),
                Int32(value.count),
                nil
            )
        }
    }
}

/// Memory for the values of one run, kept for the next: values stay where they are until then, so that SQLite need not
/// make copies of them.
struct ValueArena {
    private var block = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 8)
    /// Blocks that became too small during this run; what lies in them is still read.
    private var outgrown: [UnsafeMutableRawBufferPointer] = []
    private var start = 0
    private var end = 0
    /// A block that one large value needed is not kept.
    private static let mostToKeep = 131_072

    /// Begins a value.
    mutating func begin() { start = end }

    /// The value since `begin`, never without an address: SQLite would take that for a null.
    var value: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: block[start..<end]) }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        if bytes.count > block.count - end { grow(by: bytes.count) }
        block.baseAddress?.advanced(by: end).copyMemory(from: source, byteCount: bytes.count)
        end += bytes.count
    }

    mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Appends a number in decimal.
    mutating func append(_ number: Int64) {
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { digits in
            var place = 20
            var rest = number.magnitude
            repeat {
                place -= 1
                digits[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            if number < 0 {
                place -= 1
                digits[place] = UInt8(ascii: "-")
            }
            append(UnsafeRawBufferPointer(rebasing: digits[place...]))
        }
    }

    private mutating func grow(by count: Int) {
        let begun = value
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(2 * block.count, begun.count + count),
            alignment: 8
        )
        larger.copyMemory(from: begun)
        outgrown.append(block)
        block = larger
        (start, end) = (0, begun.count)
    }

    /// Forgets all values.
    mutating func clear() {
        (start, end) = (0, 0)
        if !outgrown.isEmpty {
            for block in outgrown { block.deallocate() }
            outgrown = []
        }
        guard block.count > Self.mostToKeep else { return }
        block.deallocate()
        block = .allocate(byteCount: 4096, alignment: 8)
    }

    func free() {
        for block in outgrown { block.deallocate() }
        block.deallocate()
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
                (seq, id, call_id, function, state, method, path, query, created_at, not_before, delayed_by, finished_at,
                attempts, dead_reason, callback_url, callback_state, callback_due)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
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
