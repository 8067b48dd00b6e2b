// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import GRDB
import QueueContract
import Synchronization

/// What is thrown away, and when.
extension SQLiteQueue {
    /// Throws away what is older than it has to be kept; a failure is tried again at the next round.
    ///
    /// An index by age would be written for every call; instead a part of the table is looked through each time, beside
    /// the writer.
    func sweepOnce() async {
        await sweepOld()
        if let limit = settings.timeToLive {
            for function in await waitingFunctions() {
                _ = try? await inSteps { [self] in try expire(function, limit, &$0) }
            }
        }
        try? await groupCommit.submit { batch in
            try CallRows.run("DELETE FROM idempotency WHERE expires_at <= ?", [batch.now], batch.database)
        }
    }

    /// Rows that one round looks through.
    private static var rowsPerSweep: Int { 100_000 }

    private func sweepOld() async {
        let (from, now) = (sweptUpTo.withLock { $0 }, clock.wall())
        let callsBefore = now - settings.callRetention.nanoseconds
        let found = try? await read { try CallRows.old(from: from, atMost: Self.rowsPerSweep, now, callsBefore, $0) }
        guard let found else { return }
        sweptUpTo.withLock { $0 = found.last ?? 0 }
        for step in stride(from: 0, to: found.old.count, by: Self.step) {
            let part = found.old[step..<min(step + Self.step, found.old.count)]
            try? await groupCommit.submit { batch in
                for row in part { batch.outcome.unneededSpills += try CallRows.throwAway(row, batch.database) }
            }
        }
    }

    /// Calls that have waited too long since they became due.
    private func expire(_ function: FunctionID, _ limit: Duration, _ batch: inout Batch) throws -> Int {
        let running = memory.withLock { $0.schedule.runningNumbers }
        let numbers = try Int64.fetchAll(
            batch.database,
            sql: """
                SELECT seq FROM calls WHERE state = 0 AND function = ? AND not_before <= ? ORDER BY seq LIMIT ?
                """,
            arguments: [function.description, batch.now - limit.nanoseconds, Self.step + running.count]
        )
        let expired = numbers.filter { !running.contains($0) }.prefix(Self.step)
        for number in expired {
            let place = CallRows.Place(number: number, function: function, state: .waiting)
            guard try CallRows.end(place, as: .expired, reason: nil, &batch) else { continue }
            batch.then { memory in
                memory.finish(number, of: function)
                memory.areCallbacksDue = true
            }
        }
        return expired.count
    }
}
