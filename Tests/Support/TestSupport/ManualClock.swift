// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A clock that stands still until a test moves it.
public final class ManualClock: Clock {
    /// A moment of the clock.
    public struct Instant: InstantProtocol {
        let sinceStart: Duration

        /// See the protocol's.
        public func advanced(by duration: Duration) -> Instant { Instant(sinceStart: sinceStart + duration) }
        /// See the protocol's.
        public func duration(to other: Instant) -> Duration { other.sinceStart - sinceStart }
        /// See the protocol's.
        public static func < (one: Instant, other: Instant) -> Bool { one.sinceStart < other.sinceStart }
    }

    private struct State {
        var now = Instant(sinceStart: .zero)
        var sleepers: [Int: (until: Instant, continuation: CheckedContinuation<Void, any Error>)] = [:]
        var last = 0
    }

    private let state = Mutex(State())

    /// Makes a clock at its beginning.
    public init() {}

    /// The moment that it stands at.
    public var now: Instant { state.withLock { $0.now } }
    /// As fine as can be.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// How long those that sleep have still to sleep, the shortest first.
    public var sleepers: [Duration] {
        state.withLock { state in state.sleepers.values.map { state.now.duration(to: $0.until) }.sorted() }
    }

    /// Sleeps until the clock has been moved so far.
    public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let number = state.withLock { state in
            state.last += 1
            return state.last
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isOver = state.withLock { state in
                    guard !Task.isCancelled, state.now < deadline else { return true }
                    state.sleepers[number] = (deadline, continuation)
                    return false
                }
                guard isOver else { return }
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    continuation.resume()
                }
            }
        } onCancel: {
            let sleeper = state.withLock { $0.sleepers.removeValue(forKey: number) }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Moves the clock.
    public func advance(by duration: Duration) {
        let awake = state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let awake = state.sleepers.filter { $0.value.until <= state.now }
            for number in awake.keys { state.sleepers[number] = nil }
            return awake.values.map(\.continuation)
        }
        for continuation in awake { continuation.resume() }
    }

    /// Moves the clock once somebody sleeps who is then awake; false when nobody has in a long time.
    public func pass(_ duration: Duration) async -> Bool {
        guard await eventually({ sleepers.first.map { $0 <= duration } ?? false }) else { return false }
        advance(by: duration)
        return true
    }
}
