// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Answers that go on for as long as the platform does, and the moment when it ends: whoever follows has to ask again then,
/// and asks the program that takes this one's place.
public final class EndlessAnswers: Sendable {
    private struct State {
        var hasEnded = false
        var nextNumber = 0
        var followers: [Int: AsyncStream<Never>.Continuation] = [:]
    }

    private let state = Mutex(State())

    /// None has ended.
    public init() {}

    /// Ends all, and those that begin later, too.
    public func end() {
        let followers = state.withLock { state in
            state.hasEnded = true
            defer { state.followers = [:] }
            return state.followers
        }
        for follower in followers.values { follower.finish() }
    }

    /// Nothing, until they end or the task is cancelled.
    func stream() -> AsyncStream<Never> {
        let (stream, continuation) = AsyncStream.makeStream(of: Never.self)
        let number = state.withLock { state -> Int? in
            guard !state.hasEnded else { return nil }
            state.nextNumber += 1
            state.followers[state.nextNumber] = continuation
            return state.nextNumber
        }
        guard let number else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            _ = self?.state.withLock { $0.followers.removeValue(forKey: number) }
        }
        return stream
    }
}
