// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import ProviderContract
import Synchronization

/// Pushes routes to everyone who watches: a snapshot first, then each change.
final class RouteHub: Sendable {
    private struct State {
        var routes: [FunctionID: FunctionRoute] = [:]
        var watchers: [Int: AsyncStream<RoutingEvent>.Continuation] = [:]
        var nextWatcher = 0
        var isClosed = false
    }

    private let state = Mutex(State())

    func publish(_ route: FunctionRoute) {
        state.withLock { state in
            state.routes[route.id] = route
            for watcher in state.watchers.values { watcher.yield(.changed(route)) }
        }
    }

    func remove(_ id: FunctionID) {
        state.withLock { state in
            state.routes[id] = nil
            for watcher in state.watchers.values { watcher.yield(.removed(id)) }
        }
    }

    func watch() -> AsyncStream<RoutingEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: RoutingEvent.self)
        let number = state.withLock { state -> Int? in
            // Under the lock, so that no change falls between the snapshot and the first event.
            continuation.yield(.snapshot(state.routes.values.sorted { $0.id < $1.id }))
            guard !state.isClosed else { return nil }
            state.nextWatcher += 1
            state.watchers[state.nextWatcher] = continuation
            return state.nextWatcher
        }
        guard let number else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            _ = self?.state.withLock { $0.watchers.removeValue(forKey: number) }
        }
        return stream
    }

    func close() {
        let watchers = state.withLock { state in
            state.isClosed = true
            defer { state.watchers.removeAll() }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.finish() }
    }
}
