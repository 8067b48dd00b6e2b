// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore

/// How long a call may take.
extension Exchange {
    /// Takes the smallest of the limits that a call has.
    final func takeLimits(of entry: FunctionEntry, _ head: RequestHead) throws(PlatformFault) {
        state.limit(to: entry.execLimit, from: facts.begun, by: .function)
        guard hasClientsLimits else { return }
        state.limit(to: loopContext.limits.upstream, from: facts.begun, by: .gateway)
        guard let range = head.timeout else { return }
        let text = headBytes.getString(at: range.lowerBound, length: range.count) ?? ""
        guard let limit = GoDuration.parse(text) else {
            throw PlatformFault(
                .invalidValue,
                "X-Timeout is \"\(NameRule.printable(text))\", which is not a duration.",
                hint: "Write it as 5s or 1m30s."
            )
        }
        state.limit(to: limit == .zero ? nil : TimeAmount(limit), from: facts.begun, by: .request)
    }

    /// The time is up.
    final func deadlinePassed() {
        guard state.isUnanswered else { return giveUp(for: Self.tooLate) }
        guard !state.isWithoutReplica else { return refuse(notReady) }
        refuse(PlatformFault(.deadlineExceeded, state.deadline.sentence(functionName, begun: facts.begun)))
    }

    /// Told to nobody: the answer has begun.
    private static let tooLate = PlatformFault(.deadlineExceeded, "The call's time is up.")

    private var notReady: PlatformFault {
        let reason = entry?.queue.notReadyReason ?? ""
        let sentence =
            reason.isEmpty
            ? "\(functionName) did not become ready within the call's deadline."
            : "\(functionName) did not become ready within the call's deadline: \(reason)"
        return PlatformFault(.functionNotReady, sentence, hint: logHint)
    }
}
