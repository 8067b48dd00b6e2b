// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One ready replica, shared by the provider that made it and every router that calls it.
///
/// The replica counts its calls itself, in one atomic word. That makes draining free of races: a router takes a slot
/// with `enter()` before it sends a byte, and after `drain` no slot is given any more, however late a router learns
/// of it. When the last call has left, the provider is told.
public final class Replica: Sendable {
    /// The name of the replica in logs, unique within its function.
    public let id: String
    /// The revision that it runs; 0 where the provider has none.
    public let revision: Int
    /// Where its calls go.
    public let target: any InvocationTarget
    /// Calls it takes at a time; `Int.max` when there is no limit.
    public let maxInFlight: Int

    /// Twice the calls in flight, plus 1 while draining.
    private let state = Atomic<Int>(0)
    private let onDrained = Mutex<(@Sendable () -> Void)?>(nil)
    /// What routers know of the connections to this replica.
    public let connections = ReplicaConnections()

    /// Makes a replica that takes calls.
    public init(id: String, revision: Int = 0, target: any InvocationTarget, maxInFlight: Int?) {
        self.id = id
        self.revision = revision
        self.target = target
        self.maxInFlight = maxInFlight ?? .max
    }

    /// Calls in flight.
    public var inFlight: Int { state.load(ordering: .relaxed) >> 1 }

    /// Whether `drain` was called.
    public var isDraining: Bool { state.load(ordering: .relaxed) & 1 == 1 }

    /// Takes a slot for a call; false when the replica is full or draining.
    ///
    /// Each success is followed by exactly one `leave()`.
    public func enter() -> Bool {
        var seen = state.load(ordering: .relaxed)
        while seen & 1 == 0, seen >> 1 < maxInFlight {
            let (exchanged, original) = state.weakCompareExchange(
                expected: seen,
                desired: seen + 2,
                ordering: .sequentiallyConsistent
            )
            if exchanged { return true }
            seen = original
        }
        return false
    }

    /// Gives a slot back.
    public func leave() {
        let old = state.subtract(2, ordering: .sequentiallyConsistent).oldValue
        if old == 3 { reportDrained() }
    }

    /// Lets no further call in and calls back once, when none is left; at once when there is none now.
    public func drain(onDrained callback: @escaping @Sendable () -> Void) {
        onDrained.withLock { $0 = callback }
        let old = state.bitwiseOr(1, ordering: .sequentiallyConsistent).oldValue
        if old >> 1 == 0 { reportDrained() }
    }

    private func reportDrained() {
        let callback = onDrained.withLock { stored in
            let callback = stored
            stored = nil
            return callback
        }
        callback?()
    }
}
