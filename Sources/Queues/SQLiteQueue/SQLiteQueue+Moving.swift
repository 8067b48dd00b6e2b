// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import FunctionModel
import GRDB
import NIOCore
public import QueueContract
import Synchronization

/// Calls on their way from one queue to another.
extension SQLiteQueue {
    /// Gives a call that waits, or is dead, to another queue.
    public func handOver(_ id: String) async throws(PlatformFault) -> MovedCall {
        try await groupCommit.submit { [self] batch in
            guard let row = try CallRows.place(id, batch.database) else { throw PlatformFault.unknownCall(id) }
            let moved = try moved(id, row, batch)
            guard row.state == .waiting else { return }
            let isRunning = memory.withLock { $0.schedule.token(of: row.number) != nil }
            guard !isRunning else { throw PlatformFault.callNotMovable(id, .running) }
            guard moved else { throw PlatformFault.requestGone(id) }
            _ = try CallRows.end(row, as: .cancelled, reason: MovedCall.reason, &batch)
            batch.then { memory in
                // Taken a moment ago: whoever has it is told to stop.
                if let token = memory.schedule.token(of: row.number) {
                    memory.cancelled.append(CallLease(id: id, token: token))
                }
                memory.finish(row.number, of: row.function)
            }
        }
        return try await read { [spill] connection in
            guard let moved = try CallRows.moved(id, spill, connection) else { throw PlatformFault.requestGone(id) }
            return moved
        }
    }

    /// Whether the request of a call that may be handed over is kept.
    private func moved(_ id: String, _ row: CallRows.Place, _ batch: Batch) throws -> Bool {
        let record = try CallRows.reason(row.number, batch.database)
        let isExported = row.state == .cancelled && record == MovedCall.reason
        guard row.state == .waiting || row.state == .dead || isExported else {
            throw PlatformFault.callNotMovable(id, row.state)
        }
        return try CallRows.hasRequest(row.number, batch.database)
    }

    /// Lets a call wait here again that was handed over.
    public func takeBack(_ id: String) async throws(PlatformFault) {
        try await groupCommit.submit { [self] batch in
            guard let row = try CallRows.place(id, batch.database) else { throw PlatformFault.unknownCall(id) }
            guard try isHandedOver(row, batch) else { throw PlatformFault.callNotHandedOver(id, row.state) }
            guard try CallRows.hasRequest(row.number, batch.database) else { throw PlatformFault.requestGone(id) }
            let moment = try CallRows.notBefore(row.number, batch.database)
            try takeBack(row, start: WaitStart(.at(moment), now: batch.now), deadReason: nil, &batch)
        }
    }

    private func isHandedOver(_ row: CallRows.Place, _ batch: Batch) throws -> Bool {
        try row.state == .cancelled && CallRows.reason(row.number, batch.database) == MovedCall.reason
    }

    /// Lets a call that was handed over be as it is again: it waits, or is dead by now.
    private func takeBack(
        _ row: CallRows.Place,
        start: WaitStart,
        deadReason: String?,
        _ batch: inout Batch
    ) throws {
        try CallRows.takeBack(row.number, start: start, deadReason: deadReason, batch)
        batch.count(row.function) { counts in
            counts.cancelled -= 1
            if deadReason != nil { counts.dead += 1 }
        }
        if deadReason == nil { wait(row.number, row.function, start, &batch) }
    }

    private func wait(_ number: Int64, _ function: FunctionID, _ start: WaitStart, _ batch: inout Batch) {
        batch.then { [clock] memory in
            let now = clock.monotonic()
            memory.wait(
                number,
                function,
                due: now + start.delay,
                now: now,
                followsWallClock: start.followsWallClock
            )
        }
    }

    /// Keeps a call of another queue under its own id.
    public func adopt(_ moved: MovedCall) async throws(PlatformFault) -> Bool {
        guard moved.call.body.readableBytes <= settings.bodyLimit else {
            throw PlatformFault.callTooLarge(limit: settings.bodyLimit)
        }
        let file = try await file(for: moved.call.body)
        return try await groupCommit.submit { [self] batch in try insert(moved, file, &batch) }
    }

    /// Where a body is that is too large for a row.
    private func file(for body: ByteBuffer) async throws(PlatformFault) -> String? {
        guard SpillFolder.isNeeded(for: body) else { return nil }
        let outcome = await withCheckedContinuation { continuation in
            spill(body) { continuation.resume(returning: $0) }
        }
        return try outcome.get()
    }

    private func insert(_ moved: MovedCall, _ file: String?, _ batch: inout Batch) throws -> Bool {
        let call = moved.call
        let start = WaitStart(call.start, now: batch.now)
        if let row = try CallRows.place(moved.id, batch.database) {
            // Its request is here, or it is as good as unknown.
            if let file { batch.outcome.unneededSpills.append(file) }
            guard try isHandedOver(row, batch), try CallRows.hasRequest(row.number, batch.database) else {
                return false
            }
            try CallRows.setAttempts(moved.attempts, of: row.number, batch.database)
            try takeBack(row, start: start, deadReason: moved.deadReason, &batch)
            return true
        }
        let number = nextNumber()
        try CallRows.insert(moved, number: number, spill: file, start: start, now: batch.now, batch)
        if let key = call.idempotencyKey { try remember(key, of: call, moved.id, batch) }
        batch.count(call.function) { counts in
            counts.accepted += 1
            if moved.deadReason != nil { counts.dead += 1 }
        }
        if moved.deadReason == nil { wait(number, call.function, start, &batch) }
        return true
    }
}

extension CallRows {
    /// Why a call is over.
    static func reason(_ number: Int64, _ database: Database) throws -> String? {
        try String.fetchOne(database, sql: "SELECT dead_reason FROM calls WHERE seq = ?", arguments: [number])
    }

    /// When a call's next attempt may begin.
    static func notBefore(_ number: Int64, _ database: Database) throws -> Timestamp {
        let moment = try Int64.fetchOne(
            database,
            sql: "SELECT not_before FROM calls WHERE seq = ?",
            arguments: [number]
        )
        return Timestamp(nanosecondsSinceEpoch: moment ?? 0)
    }

    static func setAttempts(_ attempts: [CallAttempt], of number: Int64, _ database: Database) throws {
        try run(
            "UPDATE calls SET attempts = ? WHERE seq = ?",
            [attempts.map(AttemptText.text).joined(), number],
            database
        )
    }

    /// Lets a call that was handed over wait again, or be dead.
    static func takeBack(_ number: Int64, start: WaitStart, deadReason: String?, _ batch: Batch) throws {
        try run(
            """
            UPDATE calls SET state = ?, finished_at = ?, dead_reason = ?, not_before = ?, delayed_by = ?,
                callback_state = 0 WHERE seq = ?
            """,
            [
                self.number(deadReason == nil ? .waiting : .dead), deadReason == nil ? nil : batch.now, deadReason,
                start.notBefore, start.delayedBy, number,
            ],
            batch.database
        )
    }

    /// A call as another queue needs it; nil where its request is no longer kept.
    static func moved(_ id: String, _ spill: SpillFolder, _ database: Database) throws -> MovedCall? {
        let row = try Row.fetchOne(
            database,
            sql: "SELECT seq, state, not_before, attempts, dead_reason FROM calls WHERE id = ?",
            arguments: [id]
        )
        guard let row, var stored = try stored(row[0], database) else { return nil }
        if let file = stored.spill { stored.call.body = try spill.read(file) }
        stored.call.start = .at(Timestamp(nanosecondsSinceEpoch: row[2]))
        stored.call.idempotencyKey = try String.fetchOne(
            database,
            sql: "SELECT key FROM idempotency WHERE id = ?",
            arguments: [id]
        )
        let isDead = state(row[1]) == .dead
        return MovedCall(
            id: id,
            call: stored.call,
            attempts: AttemptText.read(row[3]),
            deadReason: isDead ? row[4] ?? "" : nil
        )
    }

    /// Keeps a call of another queue, whose id nobody has.
    static func insert(
        _ moved: MovedCall,
        number: Int64,
        spill: String?,
        start: WaitStart,
        now: Int64,
        _ batch: Batch
    ) throws {
        var call = moved.call
        call.callID = moved.id
        let accepted = AcceptedCall(
            call,
            file: spill,
            id: moved.id,
            number: number,
            notBefore: start.notBefore,
            delayedBy: start.delayedBy
        )
        _ = try insert(accepted, batch.statements)
        try run(
            """
            UPDATE calls SET call_id = ?, attempts = ?, dead_reason = ?, state = ?, finished_at = ?,
                callback_state = 0, callback_due = ? WHERE seq = ?
            """,
            [
                moved.call.callID, moved.attempts.map(AttemptText.text).joined(), moved.deadReason,
                self.number(moved.deadReason == nil ? .waiting : .dead), moved.deadReason == nil ? nil : now, now,
                number,
            ],
            batch.database
        )
    }
}
