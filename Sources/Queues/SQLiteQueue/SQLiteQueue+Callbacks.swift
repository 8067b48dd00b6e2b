// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
import FunctionModel
import GRDB
import NIOCore
public import QueueContract
import Synchronization

/// Callbacks: as durable as the calls they tell of.
extension SQLiteQueue {
    /// Who is told that callbacks may be due.
    public func onCallbackDue(_ listener: @escaping @Sendable () -> Void) {
        listeners.withLock { $0.callback = listener }
    }

    /// The wall clock was set back if a callback seems to be due later than this.
    private static var farthest: Int64 { 25 * 3600 * 1_000_000_000 }

    /// Takes callbacks that are due.
    public func takeCallbacks(
        atMost count: Int,
        admits: @escaping @Sendable (_ url: String) -> Bool
    ) async throws(PlatformFault) -> (callbacks: [PendingCallback], nextDue: Duration?) {
        let moment = clock.monotonic()
        let (inFlight, suspect) = memory.withLock { (Set($0.callbacks.keys), $0.trial.suspect(now: moment)?.what) }
        let only = suspect.map { $0.isCallback ? $0.number : 0 }
        let (now, spill) = (clock.wall(), spill)
        let found = try await read { connection in
            var due: [(callback: PendingCallback, number: Int64)] = []
            // What seems to be due in days is due now: the clock was set back since.
            for moments in [Int64.min...now, now + Self.farthest + 1...Int64.max] {
                let rows = try Self.rows(due: moments, connection)
                while due.count < count, let row = try rows.next() {
                    // While one is tried, no other is delivered.
                    guard only == nil || only == row[6], !inFlight.contains(CallbackKey(id: row[0], end: row[7])),
                        admits(row[3])
                    else { continue }
                    due.append((try Self.callback(row, spill, connection), row[6]))
                }
            }
            let next = try Int64.fetchOne(
                connection,
                sql: "SELECT min(callback_due) FROM calls WHERE callback_state = 1 AND callback_due BETWEEN ? AND ?",
                arguments: [now + 1, now + Self.farthest]
            )
            return (due, next)
        }
        memory.withLock { memory in
            for (callback, number) in found.0 {
                memory.callbacks[CallbackKey(id: callback.id, end: callback.end)] = number
                inFlightNotes?.beganCallback(number)
            }
        }
        let wait = only == nil ? found.1.map { Duration.nanoseconds(max(0, $0 - now)) } : CrashTrial.pause
        return (found.0.map(\.callback), wait)
    }

    private static func rows(due moments: ClosedRange<Int64>, _ connection: Database) throws -> RowCursor {
        try Row.fetchCursor(
            connection,
            sql: """
                SELECT id, call_id, function, callback_url, callback_attempts, attempts, seq, finished_at
                FROM calls WHERE callback_state = 1 AND callback_due BETWEEN ? AND ?
                    AND callback_url IS NOT NULL AND finished_at IS NOT NULL
                ORDER BY callback_due
                """,
            arguments: [moments.lowerBound, moments.upperBound]
        )
    }

    private static func callback(_ row: Row, _ spill: SpillFolder, _ connection: Database) throws -> PendingCallback {
        let last = AttemptText.read(row[5]).last
        return PendingCallback(
            id: row[0],
            end: row[7],
            callID: row[1],
            function: CallRows.function(row[2]),
            url: row[3],
            attempts: row[4],
            duration: last.map { $0.finishedAt.distance(from: $0.startedAt) } ?? .zero,
            // Without an answer there is the status that stands for its absence.
            result: try CallRows.result(row[6], spill, connection) ?? CallResult(status: last?.status ?? 504)
        )
    }

    /// Notes how a delivery ended.
    public func settleCallback(
        _ callback: PendingCallback,
        verdict: CallbackVerdict
    ) async throws(PlatformFault) {
        let key = CallbackKey(id: callback.id, end: callback.end)
        try await groupCommit.submit { [self, inFlightNotes] batch in
            let (state, status, due): (Int, Int, Int64) =
                switch verdict {
                case .delivered(let status): (2, status, 0)
                case .failed(let status): (3, status, 0)
                case .retry(let wait, let status): (1, status, batch.now + wait.nanoseconds)
                }
            try CallRows.run(
                """
                UPDATE calls SET callback_state = ?, callback_status = ?, callback_due = ?,
                    callback_attempts = callback_attempts + 1
                WHERE id = ? AND finished_at = ? AND callback_state = 1
                """,
                [state, status, due, key.id, key.end],
                batch.database
            )
            if let suspect = suspect(key) { try CrashRows.pass(suspect, batch.database) }
            batch.then { memory in
                if let number = memory.callbacks.removeValue(forKey: key) {
                    inFlightNotes?.endedCallback(number)
                    memory.trial.ended(InFlight(number, isCallback: true))
                }
                if state == 1 { memory.areCallbacksDue = true }
            }
        }
    }

    /// The callback, while it is one of those that are tried alone.
    private func suspect(_ key: CallbackKey) -> InFlight? {
        memory.withLock { memory in
            memory.callbacks[key].flatMap { memory.trial.suspect(InFlight($0, isCallback: true)) }
        }
    }
}
