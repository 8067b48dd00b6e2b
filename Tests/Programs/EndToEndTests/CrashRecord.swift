// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What clients of a platform that is killed again and again saw of it.
final class CrashRecord: Sendable {
    private struct State {
        var sent: Set<String> = []
        var promised: Set<String> = []
        var successes: [String: Int] = [:]
        var isStopped = false
    }

    private let state = Mutex(State())

    /// Ids of calls that were sent, whatever came of them.
    var sent: Set<String> { state.withLock { $0.sent } }
    /// Ids of calls that were answered with 202.
    var promised: Set<String> { state.withLock { $0.promised } }
    /// Ids of calls whose success was seen, and how often they had run by then.
    var successes: [String: Int] { state.withLock { $0.successes } }
    /// Whether clients should stop.
    var isStopped: @Sendable () -> Bool { { [self] in state.withLock { $0.isStopped } } }

    func noteSent(_ id: String) { state.withLock { _ = $0.sent.insert(id) } }

    func notePromised(_ id: String) { state.withLock { _ = $0.promised.insert(id) } }

    /// `lines` is the ledger at a moment after the successes were seen.
    func noteSuccesses(_ ids: [String]?, _ lines: [String]) {
        let counts = Dictionary(grouping: lines, by: \.self).mapValues(\.count)
        state.withLock { state in
            for id in ids ?? [] where state.successes[id] == nil { state.successes[id] = counts[id] ?? 0 }
        }
    }

    func stop() { state.withLock { $0.isStopped = true } }

    func go() { state.withLock { $0.isStopped = false } }
}
