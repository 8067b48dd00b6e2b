// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import GRDB
import QueueContract
import Synchronization

/// What is thrown away, and when.
extension SQLiteQueue {
    /// Throws away what is older than it has to be kept; a failure is tried again at the next round.
    func sweep() {
        Task { [self] in
            _ = try? await inSteps { [self] in try sweepResults(&$0) }
            _ = try? await inSteps { [self] in try sweepCalls(&$0) }
            if let limit = settings.timeToLive {
                for function in await waitingFunctions() {
                    _ = try? await inSteps { [self] in try expire(function, limit, &$0) }
                }
            }
            try? await line.submit { batch in
                try CallRows.run("DELETE FROM idempotency WHERE expires_at <= ?", [batch.now], batch.database)
            }
        }
    }

    /// Answers, with the requests they answer; dead calls stay whole, and so does what a callback still needs.
    private func sweepResults(_ batch: inout Batch) throws -> Int {
        let numbers = try Int64.fetchAll(
            batch.database,
            sql: """
                SELECT r.seq FROM results r JOIN calls c ON c.seq = r.seq
                WHERE r.expires_at <= ? AND c.callback_state <> 1 AND c.state <> ? LIMIT ?
                """,
            arguments: [batch.now, CallRows.number(.dead), Self.step]
        )
        for number in numbers {
            batch.unneededSpills += try CallRows.removeResult(number, batch.database)
            batch.unneededSpills += try CallRows.removeRequest(number, batch.database)
        }
        return numbers.count
    }

    private func sweepCalls(_ batch: inout Batch) throws -> Int {
        let numbers = try Int64.fetchAll(
            batch.database,
            sql: "SELECT seq FROM calls WHERE finished_at <= ? AND callback_state <> 1 LIMIT ?",
            arguments: [batch.now - settings.callRetention.nanoseconds, Self.step]
        )
        for number in numbers { batch.unneededSpills += try CallRows.remove(number, batch.database) }
        return numbers.count
    }

    /// Calls that have waited too long since they were accepted; those whose time has not come yet are left alone.
    private func expire(_ function: FunctionID, _ limit: Duration, _ batch: inout Batch) throws -> Int {
        let running = memory.withLock { $0.schedule.runningNumbers }
        let numbers = try Int64.fetchAll(
            batch.database,
            sql: """
                SELECT seq FROM calls WHERE state = 0 AND function = ? AND created_at <= ? AND not_before <= ?
                ORDER BY seq LIMIT ?
                """,
            arguments: [function.description, batch.now - limit.nanoseconds, batch.now, Self.step + running.count]
        )
        let expired = numbers.filter { !running.contains($0) }.prefix(Self.step)
        for number in expired {
            let place = CallRows.Place(number: number, function: function, state: .waiting)
            try CallRows.end(place, as: .expired, reason: nil, &batch)
            batch.effects.append { memory in
                memory.finish(number, of: function)
                memory.areCallbacksDue = true
            }
        }
        return expired.count
    }
}
