// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import FunctionModel
import NIOCore
public import QueueContract
import Synchronization

extension JetStreamQueue {
    /// Who is told that callbacks may be due.
    public func onCallbackDue(_ listener: @escaping @Sendable () -> Void) {
        listeners.withLock { $0.callback = listener }
    }

    /// Takes callbacks that are due, as they came due.
    public func takeCallbacks(
        atMost count: Int,
        admits: @escaping @Sendable (_ url: String) -> Bool
    ) async throws(PlatformFault) -> (callbacks: [PendingCallback], nextDue: Duration?) {
        let follower = try await upToDate()
        var count = count
        let isTrying = isTrying(follower)
        if isTrying {
            guard hasTurn() else { return ([], CrashTrial.pause) }
            count = 1
        }
        defer { if isTrying { trial.withLock { $0.leave() } } }
        let now = Timestamp.now()
        let waiting = follower.withIndex { index in
            index.callbacks.compactMap { id in index.entries[id].map { (id: id, entry: $0, moment: moment($0)) } }
        }
        var callbacks: [PendingCallback] = []
        var next = waiting.map(\.moment).filter { $0 > now }.min()
        let due = waiting.filter { $0.moment <= now }
            .sorted { ($0.moment, $0.entry.facts.end) < ($1.moment, $1.entry.facts.end) }
        for (id, entry, _) in due where callbacks.count < count && admits(entry.facts.callbackURL) {
            let taken: PendingCallback?
            do throws(PlatformFault) {
                taken = try await takeCallback(id, entry)
            } catch  where !callbacks.isEmpty {
                // Those that were taken are to be delivered, whatever becomes of the others.
                return (callbacks, .seconds(1))
            }
            if let taken {
                callbacks.append(taken)
            } else {
                // Somebody was faster, who may end before it is delivered.
                next = min(next ?? now.later(by: settings.callbackLease), now.later(by: settings.callbackLease))
            }
        }
        return (callbacks, isTrying ? CrashTrial.pause : next.map { $0.distance(from: now) })
    }

    /// When a callback may be delivered: when it is due, or when whoever has it is not heard of any more.
    func moment(_ entry: CallIndex.Entry) -> Timestamp {
        entry.facts.callback == .taken ? entry.lastAt.later(by: settings.callbackLease) : entry.facts.callbackDue
    }

    private func takeCallback(_ id: String, _ entry: CallIndex.Entry) async throws(PlatformFault) -> PendingCallback? {
        var facts = entry.facts
        facts.callback = .taken
        facts.worker = incarnation
        let line = LogEntry(.callbackTaken, from: facts.state, facts)
        // Another one is faster: it is that one's.
        guard let taken = try await write(line, of: id, expected: entry.last) else { return nil }
        guard let (stored, _) = try await look(id) else { return nil }
        heldCallbacks.withLock { $0[id] = HeldCallback(facts: facts, taken: taken) }
        var result = CallResult(status: stored.attempts.last?.status ?? 503)
        if let answer = stored.answer, let kept = try await self.result(answer, of: id) { result = kept }
        return PendingCallback(
            id: id,
            end: Int64(clamping: facts.end),
            callID: stored.call?.callID ?? id,
            function: facts.function,
            url: facts.callbackURL,
            attempts: facts.callbackAttempts,
            duration: stored.duration,
            result: result
        )
    }

    /// Notes how a delivery ended.
    public func settleCallback(
        _ callback: PendingCallback,
        verdict: CallbackVerdict
    ) async throws(PlatformFault) {
        let mine = heldCallbacks.withLock { $0[callback.id] }
        guard let mine, Int64(clamping: mine.facts.end) == callback.end else { return }
        var details = LogDetails()
        switch verdict {
        case .delivered(let status), .failed(let status), .retry(_, let status): details.callbackStatus = status
        }
        // Overtaken: the call was sent again meanwhile.
        _ = try await write(mine.facts.calledBack(verdict), details, of: callback.id, expected: mine.taken)
        heldCallbacks.withLock { held in
            if held[callback.id]?.taken == mine.taken { held[callback.id] = nil }
        }
        trial.withLock { $0.ended(callback.id) }
    }
}
