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
        guard SpillFolder.isNeeded(for: call.body) else {
            return groupCommit.submit(Acceptance(of: call, nil, in: self, done: done))
        }
        spill(call.body) { [self] outcome in
            switch outcome {
            case .failure(let fault): done(.failure(fault))
            case .success(let file): groupCommit.submit(Acceptance(of: call, file, in: self, done: done))
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
    private let accepted: AcceptedCall
    private let done: @Sendable (Result<CallReceipt, PlatformFault>) -> Void
    private var receipt: CallReceipt?
    private var wait: WaitStart?
    /// Whether the journal may have it, even if it could not be kept.
    private var isNoted = false

    init(
        of call: NewCall,
        _ file: String?,
        in queue: SQLiteQueue,
        done: @escaping @Sendable (Result<CallReceipt, PlatformFault>) -> Void
    ) {
        accepted = AcceptedCall(call, file: file, id: call.callID)
        self.queue = queue
        self.done = done
    }

    /// Not where an earlier call may have the same key: that is for the tables to say.
    func note(in group: inout JournalGroup) -> Bool {
        guard accepted.call.idempotencyKey == nil, findID(&group) else { return false }
        begin(at: group.now)
        isNoted = true
        group.add(.accepted(accepted))
        count(&group.outcome)
        return true
    }

    func make(_ batch: inout Batch) throws {
        let call = accepted.call
        if let key = call.idempotencyKey, let earlier = try CallRows.earlier(call, key, now: batch.now, batch.database)
        {
            if let file = accepted.file { batch.outcome.unneededSpills.append(file) }
            receipt = earlier
            return
        }
        begin(at: batch.now)
        while try !CallRows.insert(accepted, batch.statements) { accepted.id = CallIDs.fresh() }
        receipt?.id = accepted.id
        if let key = call.idempotencyKey { try queue.remember(key, of: call, accepted.id, batch) }
        count(&batch.outcome)
    }

    /// Finds an id that no other call has; false where nobody can tell.
    private func findID(_ group: inout JournalGroup) -> Bool {
        guard !accepted.call.isCallIDFresh else { return true }
        while true {
            guard let isTaken = try? queue.hasCall(accepted.id, &group) else { return false }
            guard isTaken else { return true }
            accepted.id = CallIDs.fresh()
        }
    }

    private func begin(at now: Int64) {
        let wait = WaitStart(accepted.call.start, now: now)
        accepted.number = queue.nextNumber()
        (accepted.notBefore, accepted.delayedBy) = (wait.notBefore, wait.delayedBy)
        receipt = CallReceipt(id: accepted.id, callID: accepted.call.callID)
        self.wait = wait
    }

    private func count(_ outcome: inout Outcome) {
        outcome.deltas.change(accepted.call.function) { $0.accepted += 1 }
        outcome.effects.append(self)
    }

    func apply(to memory: inout QueueMemory) {
        guard let wait else { return }
        let now = queue.clock.monotonic()
        if accepted.file == nil, wait.delay == 0 {
            memory.keep(accepted)
        }
        memory.wait(
            accepted.number,
            accepted.call.function,
            due: now + wait.delay,
            now: now,
            followsWallClock: wait.followsWallClock
        )
    }

    func tell() {
        if let receipt { done(.success(receipt)) }
    }

    func fail(_ fault: PlatformFault) {
        // After an error of the disk nobody knows whether the call is there: then its body has to be, too.
        if let file = accepted.file, !fault.leavesDoubt, !isNoted { queue.spill.remove(file) }
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
            let delay = max(0, moment.clampedDifference(from: now))
            (notBefore, delayedBy, self.delay, followsWallClock) = (moment, -1, min(delay, .max / 4), moment > now)
        }
    }
}
