// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import GRDB
import NIOCore
import NIOFoundationCompat
import QueueContract

/// The rows of calls: every statement of the queue that more than one place needs.
enum CallRows {
    // MARK: Reading at the start

    /// A call that waits.
    struct Waiting: Sendable {
        let number: Int64
        let function: FunctionID
        let notBefore: Int64
        /// The wait that was asked for; 0 for none, less for a moment of the wall clock.
        let delayedBy: Int64

        /// How long it still has to wait.
        ///
        /// A wait is never longer than it was asked to be, wherever the wall clock was set.
        func delay(at wall: Int64) -> (delay: Int64, followsWallClock: Bool) {
            // Bounded, as are the waits that are asked for: what is added to the present is still a moment.
            let left = min(max(notBefore.clampedDifference(from: wall), .min / 4), .max / 4)
            return delayedBy >= 0 ? (min(left, delayedBy), false) : (left, left > 0)
        }
    }

    static func waiting(_ database: Database) throws -> [Waiting] {
        let rows = try Row.fetchCursor(
            database,
            sql: "SELECT seq, function, not_before, delayed_by FROM calls WHERE state = 0 ORDER BY seq"
        )
        // A million calls are of few functions.
        var functions: [String: FunctionID] = [:]
        var waiting: [Waiting] = []
        while let row = try rows.next() {
            let name: String = row[1]
            let function = functions[name] ?? Self.function(name)
            functions[name] = function
            waiting.append(Waiting(number: row[0], function: function, notBefore: row[2], delayedBy: row[3]))
        }
        return waiting
    }

    static func counters(_ database: Database) throws -> [FunctionID: CallCounts] {
        let rows = try Row.fetchAll(database, sql: "SELECT * FROM counters")
        // So large that nobody gets there, and small enough to be counted on from.
        func count(_ row: Row, _ column: String) -> Int { min(max(row[column], -(1 << 53)), 1 << 53) }
        return rows.reduce(into: [:]) { counters, row in
            var counts = CallCounts()
            counts.accepted = count(row, "accepted")
            counts.succeeded = count(row, "succeeded")
            counts.failed = count(row, "failed")
            counts.dead = count(row, "dead")
            counts.cancelled = count(row, "cancelled")
            counts.expired = count(row, "expired")
            counters[function(row["function"])] = counts
        }
    }

    static func lastNumber(_ database: Database) throws -> Int64 {
        try Int64.fetchOne(database, sql: "SELECT MAX(seq) FROM calls") ?? 0
    }

    /// The files that rows refer to.
    static func spills(_ database: Database) throws -> Set<String> {
        try String.fetchSet(
            database,
            sql: """
                SELECT spill FROM requests WHERE spill IS NOT NULL
                UNION ALL SELECT spill FROM results WHERE spill IS NOT NULL
                """
        )
    }

    // MARK: The journal

    /// Which journal belongs to the tables, and its newest entry that they have.
    static func journal(_ database: Database) throws -> (identity: UInt64, applied: UInt64) {
        guard let row = try Row.fetchOne(database, sql: "SELECT identity, applied FROM journal") else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "the table journal is empty")
        }
        return (UInt64(bitPattern: row[0] as Int64), UInt64(bitPattern: row[1] as Int64))
    }

    static func noteApplied(_ sequence: UInt64, _ database: Database) throws {
        // Never without a change: a transaction that failed before it may lie in the log, and has to be written over.
        try run(
            "UPDATE journal SET applied = max(applied, ?), commits = commits + 1",
            [Int64(bitPattern: sequence)],
            database
        )
    }

    // MARK: Counting

    static func add(_ deltas: CountDeltas, _ database: Database) throws {
        for (function, delta) in deltas.rows {
            try run(
                """
                INSERT INTO counters (function, accepted, succeeded, failed, dead, cancelled, expired)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (function) DO UPDATE SET
                    accepted = accepted + excluded.accepted, succeeded = succeeded + excluded.succeeded,
                    failed = failed + excluded.failed, dead = dead + excluded.dead,
                    cancelled = cancelled + excluded.cancelled, expired = expired + excluded.expired
                """,
                [
                    function.description, delta.accepted, delta.succeeded, delta.failed, delta.dead, delta.cancelled,
                    delta.expired,
                ],
                database
            )
        }
    }

    // MARK: Accepting

    /// The earlier call of an idempotency key.
    static func earlier(_ call: NewCall, _ key: String, now: Int64, _ database: Database) throws -> CallReceipt? {
        let statement = try database.cachedStatement(
            sql: "SELECT id, call_id FROM idempotency WHERE function = ? AND key = ? AND expires_at > ?"
        )
        let row = try Row.fetchOne(statement, arguments: [call.function.description, key, now])
        return row.map { CallReceipt(id: $0[0], callID: $0[1], isDuplicate: true) }
    }

    /// Makes the rows of a call, over or not; false, and nothing changes, where its id is taken.
    static func insert(_ accepted: AcceptedCall, _ statements: HotStatements) throws -> Bool {
        guard try insertCall(accepted, statements) else { return false }
        let call = accepted.call
        _ = try statements.insertRequest.run { values in
            values.add(accepted.number)
            values.add(call.clientAddress)
            values.add(call.fields)
            values.add(call.body.readableBytes > 0 ? call.body : nil)
            values.add(accepted.file)
        }
        return true
    }

    private static func insertCall(_ accepted: AcceptedCall, _ statements: HotStatements) throws -> Bool {
        let (call, attempt) = (accepted.call, accepted.end)
        return try statements.insertCall.run { values in
            values.add(accepted.number)
            values.add(accepted.id)
            values.add(call.callID)
            values.add(call.function)
            values.add(number(attempt?.end?.state ?? .waiting))
            values.add(call.method)
            values.add(call.path)
            values.add(call.query)
            values.add(call.acceptedAt.nanosecondsSinceEpoch)
            values.add(accepted.notBefore)
            values.add(accepted.delayedBy)
            values.add(attempt?.moment)
            values.add(attempt?.attempt)
            values.add(attempt?.end?.reason)
            values.add(call.callbackURL)
            values.add(attempt != nil && call.callbackURL != nil ? 1 : 0)
            values.add(attempt?.moment ?? 0)
        } == 1
    }

    // MARK: Ending

    /// Lets the call of an attempt be over; false where it waits no more.
    static func end(_ attempt: EndedAttempt, _ statements: HotStatements) throws -> Bool {
        guard let end = attempt.end else { return false }
        return try statements.endCall.run { values in
            values.add(number(end.state))
            values.add(attempt.moment)
            values.add(attempt.attempt)
            values.add(end.reason)
            values.add(attempt.moment)
            values.add(attempt.number)
        } == 1
    }

    /// Lets the call of an attempt wait for the next one; false where it waits no more.
    static func retry(_ attempt: EndedAttempt, after wait: Int64, _ database: Database) throws -> Bool {
        try run(
            """
            UPDATE calls SET not_before = ?, delayed_by = ?, attempts = attempts || ? WHERE seq = ? AND state = 0
            """,
            [attempt.moment &+ wait, max(1, wait), AttemptText.text(attempt.attempt), attempt.number],
            database
        )
        return database.changesCount == 1
    }

    /// Keeps what a function answered.
    static func insert(_ result: CallResult, of attempt: EndedAttempt, _ statements: HotStatements) throws {
        _ = try statements.insertResult.run { values in
            values.add(attempt.number)
            values.add(result.status)
            values.add(result.fields)
            values.add(attempt.file == nil && result.body.readableBytes > 0 ? result.body : nil)
            values.add(attempt.file)
            values.add(result.size)
            values.add(attempt.isTruncated ? 1 : 0)
            values.add(attempt.expiresAt)
        }
    }

    // MARK: Calls as they were sent

    /// A call with what is needed to carry it out.
    struct Stored: Sendable {
        let id: String
        var call: NewCall
        let spill: String?
        var attempts: Int
    }

    static func stored(_ number: Int64, _ database: Database) throws -> Stored? {
        let statement = try database.cachedStatement(
            sql: """
                SELECT c.id, c.call_id, c.function, c.method, c.path, c.query, c.created_at, c.callback_url, c.attempts,
                    r.client, r.fields, r.body, r.spill
                FROM calls c JOIN requests r ON r.seq = c.seq WHERE c.seq = ?
                """
        )
        guard let row = try Row.fetchOne(statement, arguments: [number]) else { return nil }
        let attempts: String = row[8]
        return Stored(
            id: row[0],
            call: NewCall(
                function: function(row[2]),
                method: row[3],
                path: row[4],
                query: row[5],
                fields: buffer(row[10]),
                body: buffer(row[11]),
                clientAddress: row[9],
                callID: row[1],
                callbackURL: row[7],
                acceptedAt: Timestamp(nanosecondsSinceEpoch: row[6])
            ),
            spill: row[12],
            attempts: AttemptText.count(attempts)
        )
    }

    // MARK: Small things

    static func run(_ sql: String, _ arguments: [(any DatabaseValueConvertible)?], _ database: Database) throws {
        let statement = try database.cachedStatement(sql: sql)
        try statement.execute(arguments: StatementArguments(arguments))
    }

    /// A function's name as rows have it.
    static func function(_ text: String) -> FunctionID {
        FunctionID(address: text, defaultNamespace: "") ?? FunctionID(name: text, namespace: "")
    }

    static func buffer(_ data: Data?) -> ByteBuffer { data.map { ByteBuffer(data: $0) } ?? ByteBuffer() }

    static func state(_ number: Int) -> CallState {
        StateNumbers.order.indices.contains(number) ? StateNumbers.order[number] : .waiting
    }

    static func number(_ state: CallState) -> Int { StateNumbers.order.firstIndex(of: state) ?? 0 }

    /// States as rows have them; a running call is one that waits and that somebody has taken.
    private enum StateNumbers {
        static let order: [CallState] = [.waiting, .succeeded, .failed, .dead, .cancelled, .expired]
    }
}

/// Attempts as rows have them: `number,started,finished,status,fault;` one after another.
enum AttemptText {
    static func write(_ attempt: CallAttempt, to out: inout ValueArena) {
        out.append(Int64(attempt.number))
        out.append(",")
        out.append(attempt.startedAt.nanosecondsSinceEpoch)
        out.append(",")
        out.append(attempt.finishedAt.nanosecondsSinceEpoch)
        out.append(",")
        out.append(Int64(attempt.status))
        out.append(",")
        out.append(attempt.fault ?? "")
        out.append(";")
    }

    static func text(_ attempt: CallAttempt) -> String {
        var arena = ValueArena()
        defer { arena.free() }
        write(attempt, to: &arena)
        return String(decoding: arena.value, as: UTF8.self)
    }

    static func count(_ text: String) -> Int { text.utf8.count { $0 == UInt8(ascii: ";") } }

    static func read(_ text: String) -> [CallAttempt] {
        text.split(separator: ";").compactMap { part in
            let words = part.split(separator: ",", omittingEmptySubsequences: false)
            guard words.count == 5, let number = Int(words[0]), let started = Int64(words[1]),
                let finished = Int64(words[2]), let status = Int(words[3])
            else { return nil }
            return CallAttempt(
                number: number,
                startedAt: Timestamp(nanosecondsSinceEpoch: started),
                finishedAt: Timestamp(nanosecondsSinceEpoch: finished),
                status: status,
                fault: words[4].isEmpty ? nil : String(words[4])
            )
        }
    }
}
