// SPDX-License-Identifier: Apache-2.0

import ServiceLifecycle
import Synchronization

/// Something that one service brings about once, and that others wait for.
public final class Milestone<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiting: [AsyncStream<Value>.Continuation] = []
    }

    private let state = Mutex(State())

    /// Nothing is reached yet.
    public init() {}

    /// What was reached; nil until then.
    public var value: Value? { state.withLock { $0.value } }

    /// Reaches it; only the first time counts.
    public func reach(_ value: Value) {
        let waiting = state.withLock { state -> [AsyncStream<Value>.Continuation] in
            guard state.value == nil else { return [] }
            state.value = value
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { Self.tell(continuation, value) }
    }

    /// Waits until it is reached; nil where the service that waits is told to stop before, or is cancelled.
    public func reached() async -> Value? {
        for await value in values.cancelOnGracefulShutdown() { return value }
        return nil
    }

    /// The same for a while: nil also where the time has passed.
    public func reached(within limit: Duration) async -> Value? {
        // Else the time and what is there already would be in a race.
        if let value { return value }
        return await withTaskGroup(of: Value?.self) { tasks in
            tasks.addTask { await self.reached() }
            tasks.addTask {
                // Ends early when the milestone came first.
                try? await Task.sleep(for: limit)
                return nil
            }
            let value = await tasks.next() ?? nil
            tasks.cancelAll()
            return value
        }
    }

    /// The value once it is there, and then the end.
    private var values: AsyncStream<Value> {
        let (stream, continuation) = AsyncStream.makeStream(of: Value.self)
        let known = state.withLock { state in
            if state.value == nil { state.waiting.append(continuation) }
            return state.value
        }
        if let known { Self.tell(continuation, known) }
        return stream
    }

    private static func tell(_ continuation: AsyncStream<Value>.Continuation, _ value: Value) {
        continuation.yield(value)
        continuation.finish()
    }
}
