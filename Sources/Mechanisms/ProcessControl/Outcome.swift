// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Something that is known once and for all at some time, and can be waited for by many.
public final class Outcome<Value: Sendable>: Sendable {
    private enum State {
        case open([@Sendable (Value) -> Void])
        case known(Value)
    }

    private let state = Mutex(State.open([]))

    /// Nothing is known yet.
    public init() {}

    /// Makes it known; only the first time counts.
    public func resolve(_ value: Value) {
        let waiting = state.withLock { state -> [@Sendable (Value) -> Void] in
            guard case .open(let waiting) = state else { return [] }
            state = .known(value)
            return waiting
        }
        for tell in waiting { tell(value) }
    }

    /// Calls back when it is known, at once where it is.
    public func whenKnown(_ tell: @escaping @Sendable (Value) -> Void) {
        let known = state.withLock { state -> Value? in
            switch state {
            case .known(let value): return value
            case .open(let waiting):
                state = .open(waiting + [tell])
                return nil
            }
        }
        if let known { tell(known) }
    }

    /// Waits until it is known.
    public func value() async -> Value {
        await withCheckedContinuation { continuation in whenKnown { continuation.resume(returning: $0) } }
    }
}
