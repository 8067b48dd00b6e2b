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
            case .success(let file): line.submit(Acceptance(of: call, file, in: self, done: done))
            }
        }
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

/// A call that is about to be kept.
private final class Acceptance: PendingChange, Effect {
    private let queue: SQLiteQueue
    private let call: NewCall
    /// Where its body is, if that is too large for a row.
    private let file: String?
    private let done: @Sendable (Result<CallReceipt, PlatformFault>) -> Void
    private var receipt: CallReceipt?
    private var number: Int64 = 0
    private var wait: WaitStart?

    init(
        of call: NewCall,
        _ file: String?,
        in queue: SQLiteQueue,
        done: @escaping @Sendable (Result<CallReceipt, PlatformFault>) -> Void
    ) {
        self.call = call
        self.file = file
        self.queue = queue
        self.done = done
    }

    func make(_ batch: inout Batch) throws {
        if let key = call.idempotencyKey, let earlier = try CallRows.earlier(call, key, now: batch.now, batch.database)
        {
            if let file { batch.unneededSpills.append(file) }
            receipt = earlier
            return
        }
        number = queue.nextNumber()
        let wait = WaitStart(call.start, now: batch.now)
        let id = try CallRows.insert(call, number: number, spill: file, start: wait, batch.statements)
        if let key = call.idempotencyKey { try queue.remember(key, of: call, id, batch) }
        batch.count(call.function) { $0.accepted += 1 }
        batch.effects.append(self)
        receipt = CallReceipt(id: id, callID: call.callID)
        self.wait = wait
    }

    func apply(to memory: inout QueueMemory) {
        guard let receipt, let wait else { return }
        let now = queue.clock.monotonic()
        if file == nil, wait.delay == 0 { memory.keep(call, id: receipt.id, number: number) }
        memory.wait(
            number,
            call.function,
            due: now + wait.delay,
            now: now,
            followsWallClock: wait.followsWallClock
        )
    }

    func tell() {
        if let receipt { done(.success(receipt)) }
    }

    func fail(_ fault: PlatformFault) {
        // After an error of the disk nobody knows whether the row is there: then its body has to be, too.
        if let file, !fault.leavesDoubt { queue.spill.remove(file) }
        done(.failure(fault))
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
