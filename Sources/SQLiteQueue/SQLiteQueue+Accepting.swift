// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import FunctionModel
import NIOCore
public import QueueContract

/// Keeping calls.
extension SQLiteQueue {
    /// Keeps a call; `done` hears of it when it is on disk.
    public func accept(_ call: NewCall, done: @escaping @Sendable (Result<CallReceipt, PlatformFault>) -> Void) {
        guard call.body.readableBytes <= settings.bodyLimit else {
            return done(.failure(PlatformFault.callTooLarge(limit: settings.bodyLimit)))
        }
        spill(call.body) { [self] outcome in
            switch outcome {
            case .failure(let fault): done(.failure(fault))
            case .success(let file): keep(call, file, done)
            }
        }
    }

    private func keep(
        _ call: NewCall,
        _ file: String?,
        _ done: @escaping @Sendable (Result<CallReceipt, PlatformFault>) -> Void
    ) {
        line.submit { [self] batch in
            try insert(call, file, &batch)
        } done: { [spill] outcome in
            // After an error of the disk nobody knows whether the row is there: then its body has to be, too.
            if case .failure(let fault) = outcome, let file, !fault.leavesDoubt { spill.remove(file) }
            done(outcome)
        }
    }

    private func insert(_ call: NewCall, _ file: String?, _ batch: inout Batch) throws -> CallReceipt {
        if let key = call.idempotencyKey {
            if let earlier = try CallRows.earlier(call, key, now: batch.now, batch.database) {
                if let file { batch.unneededSpills.append(file) }
                return earlier
            }
        }
        let number = nextNumber()
        let start = WaitStart(call.start, now: batch.now)
        let id = try CallRows.insert(
            call,
            number: number,
            spill: file,
            start: start,
            batch.statements
        )
        if let key = call.idempotencyKey { try remember(key, of: call, id, batch) }
        batch.count(call.function) { $0.accepted += 1 }
        batch.effects.append { [clock] memory in
            let now = clock.monotonic()
            if file == nil, start.delay == 0 { memory.keep(call, id: id, number: number) }
            memory.wait(
                number,
                call.function,
                due: now + start.delay,
                now: now,
                followsWallClock: start.followsWallClock
            )
        }
        return CallReceipt(id: id, callID: call.callID)
    }

    func remember(_ key: String, of call: NewCall, _ id: String, _ batch: Batch) throws {
        try CallRows.run(
            "INSERT OR REPLACE INTO idempotency (function, key, id, call_id, expires_at) VALUES (?, ?, ?, ?, ?)",
            [
                call.function.description, key, id, call.callID,
                batch.now + settings.idempotencyWindow.nanoseconds,
            ],
            batch.database
        )
    }
}

/// When a call may begin, as a row has it and as the schedule has it.
struct WaitStart {
    let notBefore: Int64
    let delayedBy: Int64
    /// From now on.
    let delay: Int64
    let followsWallClock: Bool

    init(_ start: NewCall.Start, now: Int64) {
        switch start {
        case .now:
            (notBefore, delayedBy, delay, followsWallClock) = (now, 0, 0, false)
        case .after(let duration):
            let wait = duration.nanoseconds
            (notBefore, delayedBy, delay, followsWallClock) = (now + wait, wait, wait, false)
        case .at(let moment):
            let moment = moment.nanosecondsSinceEpoch
            (notBefore, delayedBy, delay, followsWallClock) = (moment, -1, max(0, moment - now), moment > now)
        }
    }
}
