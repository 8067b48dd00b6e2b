// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import GRDB
import NIOCore
import QueueContract

/// Statements for what people ask and do.
extension CallRows {
    // MARK: Records

    static let recordSQL = """
        SELECT c.*, r.status AS r_status, r.fields AS r_fields, r.size AS r_size, r.is_truncated AS r_truncated,
            r.expires_at AS r_expires
        FROM calls c LEFT JOIN results r ON r.seq = c.seq
        """

    static func record(_ row: Row, isRunning: Bool) -> CallRecord {
        let stored = state(row["state"])
        let finished: Int64? = row["finished_at"]
        return CallRecord(
            id: row["id"],
            callID: row["call_id"],
            function: function(row["function"]),
            state: stored == .waiting && isRunning ? .running : stored,
            method: row["method"],
            path: row["path"],
            query: row["query"],
            createdAt: Timestamp(nanosecondsSinceEpoch: row["created_at"]),
            notBefore: Timestamp(nanosecondsSinceEpoch: row["not_before"]),
            finishedAt: finished.map { Timestamp(nanosecondsSinceEpoch: $0) },
            attempts: AttemptText.read(row["attempts"]),
            deadReason: row["dead_reason"],
            callback: callback(row),
            result: storedResult(row)
        )
    }

    private static func callback(_ row: Row) -> CallRecord.Callback? {
        guard let url: String = row["callback_url"] else { return nil }
        let state = ["pending", "waiting", "delivered", "failed"][(row["callback_state"] as Int) & 3]
        return CallRecord.Callback(
            url: url,
            state: state,
            attempts: row["callback_attempts"],
            status: row["callback_status"]
        )
    }

    private static func storedResult(_ row: Row) -> CallRecord.Result? {
        guard let status: Int = row["r_status"] else { return nil }
        return CallRecord.Result(
            status: status,
            headers: FieldLines.read(buffer(row["r_fields"])),
            size: row["r_size"],
            isTruncated: row["r_truncated"],
            expiresAt: Timestamp(nanosecondsSinceEpoch: row["r_expires"])
        )
    }

    static func result(
        _ number: Int64,
        _ spill: SpillFolder,
        _ database: Database,
        notExpiredAt now: Int64 = .min
    ) throws -> CallResult? {
        let row = try Row.fetchOne(
            database,
            sql: "SELECT status, fields, body, spill, size FROM results WHERE seq = ? AND expires_at > ?",
            arguments: [number, now]
        )
        guard let row else { return nil }
        let file: String? = row[3]
        // A file that cannot be read leaves a result that says how much is missing.
        let body = file.map { (try? spill.read($0)) ?? ByteBuffer() } ?? buffer(row[2])
        return CallResult(status: row[0], fields: buffer(row[1]), body: body, size: row[4])
    }

    // MARK: Pages

    /// Newest first, beginning below a number.
    static func page(
        _ query: CallQuery,
        before last: Int64,
        running: Set<Int64>,
        _ database: Database
    ) throws -> CallPage {
        let limit = min(max(query.limit, 1), 1000)
        var rows: [Row] = []
        for selection in selections(query, running) {
            rows += try selection.rows(before: last, atMost: limit + 1, since: query.since, database)
        }
        rows.sort { ($0["seq"] as Int64) > ($1["seq"] as Int64) }
        let shown = rows.prefix(limit)
        let next = rows.count > limit ? shown.last.map { "c" + String($0["seq"] as Int64, radix: 36) } : nil
        return CallPage(calls: shown.map { record($0, isRunning: running.contains($0["seq"])) }, next: next)
    }

    /// One walk of an index; several make up a question.
    private struct Selection {
        var state: Int?
        var function: String?
        var only: Set<Int64>?
        var without: Set<Int64> = []

        func rows(before last: Int64, atMost limit: Int, since: Timestamp?, _ database: Database) throws -> [Row] {
            var conditions = ["c.seq < \(last)"]
            var arguments: [(any DatabaseValueConvertible)?] = []
            // Few states hold many calls; for those the newest are found quicker in the order of their numbers.
            let isLarge = function == nil && (state == nil || state == 0 || state == 1)
            if let state { conditions.append("\(isLarge ? "+" : "")c.state = \(state)") }
            if let function {
                conditions.append("c.function = ?")
                arguments.append(function)
            }
            if let since { conditions.append("c.created_at >= \(since.nanosecondsSinceEpoch)") }
            if let only { conditions.append("c.seq IN (\(Self.list(only)))") }
            if !without.isEmpty { conditions.append("c.seq NOT IN (\(Self.list(without)))") }
            return try Row.fetchAll(
                database,
                sql: "\(recordSQL) WHERE \(conditions.joined(separator: " AND ")) ORDER BY c.seq DESC LIMIT \(limit)",
                arguments: StatementArguments(arguments)
            )
        }

        private static func list(_ numbers: Set<Int64>) -> String { numbers.map(String.init).joined(separator: ",") }
    }

    private static func selections(_ query: CallQuery, _ running: Set<Int64>) -> [Selection] {
        let function = query.function?.description
        switch query.state {
        case .running:
            return [Selection(state: 0, function: function, only: running)]
        case .waiting:
            return [Selection(state: 0, function: function, without: running)]
        case .some(let state):
            return [Selection(state: number(state), function: function)]
        case .none where function != nil:
            return CallState.known.filter { $0 != .running }.map {
                Selection(state: number($0), function: function)
            }
        case .none:
            return [Selection()]
        }
    }

    // MARK: Places

    /// Where a call is.
    struct Place: Sendable {
        let number: Int64
        let function: FunctionID
        let state: CallState
    }

    static func place(_ id: String, _ database: Database) throws -> Place? {
        let statement = try database.cachedStatement(sql: "SELECT seq, function, state FROM calls WHERE id = ?")
        let row = try Row.fetchOne(statement, arguments: [id])
        return row.map { Place(number: $0[0], function: function($0[1]), state: state($0[2])) }
    }

    static func places(
        in state: CallState,
        of function: FunctionID?,
        atMost limit: Int,
        endedBy moment: Int64? = nil,
        _ database: Database
    ) throws -> [Place] {
        let ended = moment.map { " AND finished_at <= \($0)" } ?? ""
        let rows =
            if let function {
                try Row.fetchAll(
                    database,
                    sql:
                        "SELECT seq, function FROM calls WHERE state = ? AND function = ?\(ended) ORDER BY seq LIMIT ?",
                    arguments: [number(state), function.description, limit]
                )
            } else {
                try Row.fetchAll(
                    database,
                    sql: "SELECT seq, function FROM calls WHERE state = ?\(ended) LIMIT ?",
                    arguments: [number(state), limit]
                )
            }
        return rows.map { Place(number: $0[0], function: Self.function($0[1]), state: state) }
    }

    /// Ends a waiting call without an answer; false when it was over.
    static func end(_ place: Place, as state: CallState, reason: String?, _ batch: inout Batch) throws -> Bool {
        try run(
            """
            UPDATE calls SET state = ?, finished_at = ?, dead_reason = ?, callback_due = ?,
                callback_state = callback_url IS NOT NULL AND ?
            WHERE seq = ? AND state = 0
            """,
            [number(state), batch.now, reason, batch.now, state != .cancelled, place.number],
            batch.database
        )
        guard batch.database.changesCount == 1 else { return false }
        batch.count(place.function) { $0[state] += 1 }
        return true
    }

    static func hasRequest(_ number: Int64, _ database: Database) throws -> Bool {
        try Bool.fetchOne(
            database,
            sql: "SELECT EXISTS (SELECT 1 FROM requests WHERE seq = ?)",
            arguments: [number]
        ) ?? false
    }

    // MARK: Throwing away

    /// A call of which something is older than it has to be kept.
    struct Old: Sendable {
        let number: Int64
        /// Whether nothing of it is kept.
        let isWhole: Bool
    }

    /// Looks through so many calls for old ones; `last` is where to go on, nil at the end.
    ///
    /// Of an old call the request and the answer go first, the line that tells of it later. Dead calls stay whole, and so
    /// does what a callback still needs.
    static func old(
        from number: Int64,
        atMost rows: Int,
        _ now: Int64,
        _ callsBefore: Int64,
        _ database: Database
    ) throws -> (old: [Old], last: Int64?) {
        let last = try Int64.fetchOne(
            database,
            sql: "SELECT seq FROM calls WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?",
            arguments: [number, rows]
        )
        let found = try Row.fetchAll(
            database,
            sql: """
                SELECT c.seq, c.finished_at <= ? FROM calls c LEFT JOIN results r ON r.seq = c.seq
                WHERE c.seq > ? AND c.seq <= ? AND c.state <> 0 AND c.callback_state <> 1
                    AND (c.finished_at <= ? OR r.expires_at <= ? AND c.state <> ?)
                """,
            arguments: [callsBefore, number, last ?? .max, callsBefore, now, Self.number(.dead)]
        )
        return (found.map { Old(number: $0[0], isWhole: $0[1]) }, last)
    }

    /// Throws away what is old of a call; returns the files that are not needed any more.
    static func throwAway(_ old: Old, _ database: Database) throws -> [String] {
        // It may have been sent again since it was found.
        guard try state(of: old.number, database) != .waiting else { return [] }
        if old.isWhole { return try remove(old.number, database) }
        return try removeResult(old.number, database) + removeRequest(old.number, database)
    }

    private static func state(of number: Int64, _ database: Database) throws -> CallState {
        try Int.fetchOne(database, sql: "SELECT state FROM calls WHERE seq = ?", arguments: [number]).map(state)
            ?? .waiting
    }

    // MARK: Removing

    /// Removes a call and all that belongs to it; returns the files that are not needed any more.
    static func remove(_ number: Int64, _ database: Database) throws -> [String] {
        let spills = try removeResult(number, database) + removeRequest(number, database)
        try run("DELETE FROM calls WHERE seq = ?", [number], database)
        return spills
    }

    static func removeResult(_ number: Int64, _ database: Database) throws -> [String] {
        try remove(number, from: "results", database)
    }

    static func removeRequest(_ number: Int64, _ database: Database) throws -> [String] {
        try remove(number, from: "requests", database)
    }

    private static func remove(_ number: Int64, from table: String, _ database: Database) throws -> [String] {
        let statement = try database.cachedStatement(sql: "DELETE FROM \(table) WHERE seq = ? RETURNING spill")
        return try Optional<String>.fetchAll(statement, arguments: [number]).compactMap { $0 }
    }
}
