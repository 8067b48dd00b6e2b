// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel
import GRDB
import NIOCore
public import QueueContract
import Synchronization

/// What people do with calls: look, cancel, send again, forget.
extension SQLiteQueue {
    // MARK: Looking

    /// A call.
    public func call(_ id: String) async throws(PlatformFault) -> CallRecord? {
        let running = runningNumbers()
        return try await read { connection in
            let row = try Row.fetchOne(connection, sql: "\(CallRows.recordSQL) WHERE c.id = ?", arguments: [id])
            return row.map { CallRows.record($0, isRunning: running.contains($0["seq"])) }
        }
    }

    /// What is kept of a call's answer.
    public func result(_ id: String) async throws(PlatformFault) -> CallResult {
        let (now, spill) = (clock.wall(), spill)
        return try await read { connection in
            guard
                let row = try Row.fetchOne(
                    connection,
                    sql: "SELECT seq, state FROM calls WHERE id = ?",
                    arguments: [id]
                )
            else { throw PlatformFault.unknownCall(id) }
            guard row[1] as Int != 0 else { throw PlatformFault.callNotOver(id) }
            guard let result = try CallRows.result(row[0], spill, connection, notExpiredAt: now) else {
                throw PlatformFault.resultGone(id)
            }
            return result
        }
    }

    /// Calls by their properties.
    public func calls(_ query: CallQuery) async throws(PlatformFault) -> CallPage {
        let last: Int64? =
            switch query.cursor {
            case .none: nil
            case .some(let text): try Self.number(ofCursor: text)
            }
        let running = runningNumbers()
        return try await read { connection in
            try CallRows.page(query, before: last ?? .max, running: running, connection)
        }
    }

    private static func number(ofCursor text: String) throws(PlatformFault) -> Int64 {
        guard text.hasPrefix("c"), let number = Int64(text.dropFirst(), radix: 36), number > 0 else {
            throw PlatformFault.badCursor(text)
        }
        return number
    }

    private func runningNumbers() -> Set<Int64> { memory.withLock { $0.schedule.runningNumbers } }

    /// How many calls are in each state.
    public func counts() async -> QueueCounts {
        let (counts, waiting) = memory.withLock { ($0.counts, $0.schedule.waitingFunctions) }
        let wall = clock.wall()
        // Without a database the age is unknown; the counts are still true.
        let oldest = try? await read { connection in
            try waiting.compactMap { function in
                try Int64.fetchOne(
                    connection,
                    sql: "SELECT created_at FROM calls WHERE state = 0 AND function = ? ORDER BY seq LIMIT 1",
                    arguments: [function.description]
                )
            }.min()
        }
        return QueueCounts(
            functions: counts,
            oldest: (oldest ?? nil).map { .nanoseconds(max(0, wall.clampedDifference(from: $0))) }
        )
    }

    /// How many calls of each function are due or in flight.
    public func backlog() async -> [FunctionID: Int] {
        let now = clock.monotonic()
        return memory.withLock { $0.schedule.backlog(now: now) }
    }

    // MARK: Cancelling

    /// Cancels a call that waits or runs.
    public func cancel(_ id: String) async throws(PlatformFault) {
        try await groupCommit.submit { batch in
            guard let row = try CallRows.place(id, batch.database) else { throw PlatformFault.unknownCall(id) }
            guard row.state == .waiting else {
                throw PlatformFault.callIsOver(id, row.state)
            }
            _ = try CallRows.end(row, as: .cancelled, reason: nil, &batch)
            batch.then { memory in
                if let token = memory.schedule.token(of: row.number) {
                    memory.cancelled.append(CallLease(id: id, token: token))
                }
                memory.finish(row.number, of: row.function)
            }
        }
    }

    // MARK: Sending again

    /// Sends a call that is over once more.
    public func sendAgain(_ id: String) async throws(PlatformFault) {
        try await groupCommit.submit { [self] batch in
            guard let row = try CallRows.place(id, batch.database) else { throw PlatformFault.unknownCall(id) }
            guard row.state != .waiting else { throw PlatformFault.callNotOver(id) }
            guard try CallRows.hasRequest(row.number, batch.database) else {
                throw PlatformFault.requestGone(id)
            }
            try sendAgain(row, &batch)
        }
    }

    /// Sends the dead calls of a function, or of all, once more.
    public func sendDeadAgain(_ function: FunctionID?) async throws(PlatformFault) -> Int {
        // One that dies once more meanwhile is not sent once more.
        let begun = clock.wall()
        return try await inSteps { [self] batch in
            let rows = try CallRows.places(
                in: .dead,
                of: function,
                atMost: Self.step,
                endedBy: begun,
                batch.database
            )
            for row in rows { try sendAgain(row, &batch) }
            return rows.count
        }
    }

    private func sendAgain(_ row: CallRows.Place, _ batch: inout Batch) throws {
        try CallRows.run(
            """
            UPDATE calls SET state = 0, finished_at = NULL, attempts = '', dead_reason = NULL, not_before = ?,
                delayed_by = 0, callback_state = 0, callback_attempts = 0, callback_status = NULL
            WHERE seq = ?
            """,
            [batch.now, row.number],
            batch.database
        )
        batch.outcome.unneededSpills += try CallRows.removeResult(row.number, batch.database)
        batch.count(row.function) { $0[row.state] -= 1 }
        batch.then { [clock] memory in
            let now = clock.monotonic()
            memory.wait(row.number, row.function, due: now, now: now)
        }
    }

    // MARK: Forgetting

    /// Forgets calls that are over.
    public func purge(function: FunctionID?, state: CallState?) async throws(PlatformFault) -> Int {
        if let state, !state.isFinished {
            throw PlatformFault.callsNotOver(state)
        }
        var purged = 0
        for state in state.map({ [$0] }) ?? CallState.known.filter(\.isFinished) {
            purged += try await inSteps { batch in
                let rows = try CallRows.places(in: state, of: function, atMost: Self.step, batch.database)
                for row in rows { batch.outcome.unneededSpills += try CallRows.remove(row.number, batch.database) }
                return rows.count
            }
        }
        return purged
    }

    /// Lets the waiting calls of a function that was deleted be dead.
    public func functionDeleted(_ function: FunctionID) async throws(PlatformFault) {
        // The function may be made anew meanwhile: what is accepted from now on is that one's.
        let newest = newestNumber
        _ = try await inSteps { [self] batch in
            // Those in flight end by themselves.
            let running = runningNumbers()
            let rows = try CallRows.places(
                in: .waiting,
                of: function,
                atMost: Self.step + running.count,
                batch.database
            )
            .filter { !running.contains($0.number) && $0.number <= newest }
            for row in rows.prefix(Self.step) {
                _ = try CallRows.end(row, as: .dead, reason: "The function \(function) was deleted.", &batch)
                batch.then { memory in
                    memory.finish(row.number, of: row.function)
                    memory.areCallbacksDue = true
                }
            }
            return min(rows.count, Self.step)
        }
    }

    /// Most calls that one transaction changes on somebody's request: others wait for it.
    static let step = 200

    /// Makes a change again and again, each time in a transaction of its own, until it finds nothing more to do.
    func inSteps(_ change: @escaping @Sendable (inout Batch) throws -> Int) async throws(PlatformFault) -> Int {
        var total = 0
        while true {
            let changed = try await groupCommit.submit(change)
            total += changed
            guard changed == Self.step else { return total }
        }
    }
}
