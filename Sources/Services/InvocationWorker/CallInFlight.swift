// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import Logging
import QueueContract
import Synchronization

/// One attempt of a call: from its lease to the end that is kept.
final class CallInFlight: Sendable {
    private struct State {
        var call: DirectCall?
        var isCancelled = false
        /// How it ended, which is still to be kept.
        var end: (attempt: CallAttempt, verdict: CallVerdict)?
    }

    private let leased: LeasedCall
    private let lane: Lane
    private let worker: InvocationWorker
    private let started = Timestamp.now()
    private let state = Mutex(State())

    init(_ leased: LeasedCall, _ lane: Lane, _ worker: InvocationWorker) {
        self.leased = leased
        self.lane = lane
        self.worker = worker
    }

    var lease: CallLease { leased.lease }

    func carryOut(by call: FunctionCall) {
        let direct = call(request) { answer in self.answered(answer) }
        let isCancelled = state.withLock { state in
            state.call = direct
            return state.isCancelled
        }
        if isCancelled { direct.cancel() }
    }

    func cancel() {
        let call = state.withLock { state in
            state.isCancelled = true
            return state.call
        }
        call?.cancel()
    }

    func giveBack() {
        // Unowned: begun on an event loop; the worker waits for the call's end.
        Task {
            await worker.queue.release(lease)
            end(isOver: false)
        }
    }

    private var request: DirectRequest {
        let call = leased.call
        return DirectRequest(
            function: call.function,
            method: call.method,
            target: call.query.map { "\(call.path)?\($0)" } ?? call.path,
            fields: call.fields,
            body: call.body,
            clientAddress: call.clientAddress,
            callID: call.callID,
            answerLimit: worker.answerLimit(call)
        )
    }

    private func answered(_ answer: DirectAnswer) {
        // Cancelled by somebody, and over then; or the platform stops, and its next start carries the call out.
        guard !state.withLock({ $0.isCancelled }) else { return giveBack() }
        let attempt = CallAttempt(
            number: leased.attempt,
            startedAt: started,
            finishedAt: .now(),
            status: answer.status,
            fault: answer.fault?.source.rawValue ?? (answer.isPlatformAnswer ? "function" : nil)
        )
        let verdict = worker.verdict(leased, answer)
        state.withLock { $0.end = (attempt, verdict) }
        settle()
    }

    /// Notes what became of the call, however long the queue cannot take it: until then the call is this worker's.
    private func settle() {
        guard let (attempt, verdict) = state.withLock({ $0.end }) else { return }
        worker.queue.settle(lease, attempt: attempt, verdict: verdict) { outcome in self.settled(outcome) }
    }

    private func settled(_ outcome: Result<Bool, PlatformFault>) {
        switch outcome {
        case .success(let isKept):
            let isLast = state.withLock { state in if case .end? = state.end?.verdict { true } else { false } }
            end(isOver: isKept && isLast)
        case .failure(let fault):
            worker.logger.error(
                "the end of a call cannot be kept; trying again",
                metadata: ["id": "\(lease.id)", "why": "\(fault)"]
            )
            settleLater()
        }
    }

    /// Not kept when the platform stops meanwhile, so the call runs once more: at least once is what was promised.
    private func settleLater() {
        // Unowned: the same.
        Task {
            try? await Task.sleep(for: .seconds(1))
            if worker.isStopping { giveBack() } else { settle() }
        }
    }

    private func end(isOver: Bool) {
        worker.ended(self, isOver: isOver)
        lane.ended()
    }
}
