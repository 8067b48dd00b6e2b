// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Something that is known once and for all at some time, and can be waited for by many.
public final class Outcome<Value: Sendable>: Sendable {
    private enum State {
        case open([CheckedContinuation<Value, Never>])
        case known(Value)
    }

    private let state = Mutex(State.open([]))

    /// Nothing is known yet.
    public init() {}

    /// Makes it known; only the first time counts.
    public func resolve(_ value: Value) {
        let waiting = state.withLock { state -> [CheckedContinuation<Value, Never>] in
            guard case .open(let waiting) = state else { return [] }
            state = .known(value)
            return waiting
        }
        for continuation in waiting { continuation.resume(returning: value) }
    }

    /// Waits until it is known.
    public func value() async -> Value {
        await withCheckedContinuation { continuation in
            let known = state.withLock { state -> Value? in
                switch state {
                case .known(let value): return value
                case .open(let waiting):
                    state = .open(waiting + [continuation])
                    return nil
                }
            }
            if let known { continuation.resume(returning: known) }
        }
    }
}
