// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import ProviderContract

/// A call's slot at a replica: taking one, waiting for one, going back for another.
extension Exchange {
    /// Takes a slot where there is one, or stands in the function's line.
    final func takeSlot(_ entry: FunctionEntry) {
        if let local = entry.enter(loopContext.nextRandom(), at: loopContext.now) { return enter(local) }
        let exchange = NIOLoopBound(self, eventLoop: loopContext.loop)
        let (turn, queue) = (state.waitForSlot(), entry.queue)
        let call = WaitingCall(loop: loopContext.loop) { exchange.value.slotFound($0, turn, queue) }
        waiting = call
        switch queue.admit(call, isPatient: isPatient, waitingLimit: loopContext.limits.waiting) {
        case .waiting:
            feedBody()
        case .entered(let replica):
            waiting = nil
            enter(entry.local(replica))
        case .full:
            waiting = nil
            refuse(full(entry.policy))
        case .crowded:
            waiting = nil
            refuse(crowded)
        case .ended(let outcome):
            // What this event loop was told of the function's end is on its way: it comes first.
            loopContext.loop.execute { exchange.value.slotFound(outcome, turn, queue) }
        }
    }

    /// The call has its slot, and goes to whoever carries it out there.
    private func enter(_ local: LocalReplica) {
        replica = local
        state.takeSlot()
        local.source.begin(OriginCall(self))
    }

    /// A waiting call was let in or refused.
    ///
    /// It may be over already: then the slot goes back.
    private func slotFound(_ outcome: WaitingCall.Outcome, _ turn: UInt32, _ queue: AdmissionQueue) {
        guard waiting != nil, state.endWait(turn), let entry else {
            if case .entered(let replica) = outcome { queue.leave(replica) }
            return
        }
        waiting = nil
        switch outcome {
        case .entered(let replica): enter(entry.local(replica))
        case .refused(let fault): refuse(fault)
        case .moved: takeSlotAnew(entry)
        }
    }

    /// What the call waited for will not be: another variant is drawn, with its own rules.
    private func takeSlotAnew(_ entry: FunctionEntry) {
        guard let head else { return }
        guard !entry.isVariant || entry.whole != nil else { return refuse(AdmissionQueue.deleted(entry.id)) }
        let drawn = (entry.whole ?? entry).drawn(loopContext.nextRandom())
        self.entry = drawn
        if drawn.isGuarded, drawn !== entry, !isAdmitted(drawn, head) { return }
        state.renewDeadline()
        do throws(PlatformFault) {
            try takeLimits(of: drawn, head)
        } catch {
            return refuse(error)
        }
        armTimer()
        takeSlot(drawn)
    }

    /// The replica does not take a connection; nothing was sent to it.
    final func connectionRefused(_ error: any Error) {
        origin = nil
        // Who knows why does not have to try again.
        if let fault = error as? PlatformFault { return refuse(fault) }
        guard let entry, let (pause, turn) = state.connectionRefused() else { return refuse(unreachable(error)) }
        leaveReplica()
        loopContext.loop.assumeIsolated().scheduleTask(in: pause) { [self] in
            if state.endWait(turn) { takeSlot(entry) }
        }
    }

    /// The connection ended before a byte of an answer came: true where the call goes out again, on a fresh one.
    final func goesOutAgain() -> Bool {
        guard let head, state.goesOutAgain(isIdempotent: head.method.isIdempotent) else { return false }
        origin = nil
        return true
    }

    // MARK: Faults

    private func unreachable(_ error: any Error) -> PlatformFault {
        PlatformFault(
            .functionUnreachable,
            "\(functionName) does not accept connections.",
            hint: logHint,
            cause: error
        )
    }

    private var crowded: PlatformFault {
        PlatformFault(
            .overloaded,
            "\(functionName) has no replica yet, and \(loopContext.limits.waiting) calls wait for one already.",
            hint: logHint,
            retryAfterSeconds: 5
        )
    }

    /// The wording is OpenFaaS' (contract §15.6).
    private func full(_ policy: CallPolicy) -> PlatformFault {
        PlatformFault(
            .tooManyCalls,
            "Concurrent request limit exceeded. Max concurrent requests: \(policy.maxInFlight ?? 0)",
            retryAfterSeconds: profile.faults.tellsWhenToRetry ? 1 : nil
        )
    }
}
