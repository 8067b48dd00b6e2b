// SPDX-License-Identifier: Apache-2.0

import DequeModule
public import FaultModel
public import FunctionModel
import Synchronization

/// Pushes routes to everybody who follows: a snapshot first, then each change.
///
/// What a follower has not taken yet is kept by name alone, each name once; taking it tells the newest state. So a slow
/// follower costs memory for names and never for a history, and one that has missed very much gets a snapshot instead.
/// Thread-safe.
public final class RouteFeed: Sendable {
    private let state: Mutex<State>

    /// Makes a feed without functions; where that is not yet known to be all there is, nothing is told before `replace`.
    public init(isComplete: Bool = true) {
        state = Mutex(State(isComplete: isComplete))
    }

    // MARK: Telling

    /// A function is new, or anything about it changed.
    public func publish(_ route: FunctionRoute) {
        change { state in
            state.routes[route.id] = route
            state.note(route.id)
        }
    }

    /// A function is gone.
    public func remove(_ id: FunctionID) {
        change { state in
            guard state.routes.removeValue(forKey: id) != nil else { return }
            state.note(id)
        }
    }

    /// These are all functions there are.
    public func replace(with routes: [FunctionRoute]) {
        change { state in
            state.routes = Dictionary(routes.map { ($0.id, $0) }) { _, last in last }
            state.isComplete = true
            for number in Array(state.followers.keys) { state.followers[number]?.startOver() }
        }
    }

    /// Nothing is heard of the functions any more.
    public func lose(_ fault: PlatformFault) {
        change { $0.loss = $0.loss ?? fault }
    }

    /// They are heard of again.
    public func hearAgain() {
        change { $0.loss = nil }
    }

    /// Ends all streams, once what was told before has been taken.
    public func close() {
        change { $0.isClosed = true }
    }

    private func change(_ body: (inout State) -> Void) {
        let handovers = state.withLock { state in
            body(&state)
            return state.handovers()
        }
        for (waiting, update) in handovers { waiting.resume(returning: update) }
    }

    // MARK: Following

    /// A stream for one consumer; `onEnd` is called once, when it has ended or been let go of.
    public func updates(onEnd: @escaping @Sendable () -> Void = {}) -> AsyncStream<RouteUpdate> {
        let subscription = RouteSubscription(self, state.withLock { $0.follow(onEnd) })
        return AsyncStream {
            await subscription.next()
        } onCancel: {
            subscription.end()
        }
    }

    fileprivate func next(of number: Int) async -> RouteUpdate? {
        await withCheckedContinuation { continuation in
            switch state.withLock({ $0.take(number, orWait: continuation) }) {
            case .told(let update): continuation.resume(returning: update)
            case .waits: break
            case .over:
                end(number)
                continuation.resume(returning: nil)
            }
        }
    }

    fileprivate func end(_ number: Int) {
        guard let follower = state.withLock({ $0.followers.removeValue(forKey: number) }) else { return }
        follower.waiting?.resume(returning: nil)
        follower.onEnd()
    }
}

/// One stream's end of a feed.
private final class RouteSubscription: Sendable {
    private let feed: RouteFeed
    private let number: Int

    init(_ feed: RouteFeed, _ number: Int) {
        self.feed = feed
        self.number = number
    }

    deinit { feed.end(number) }

    func next() async -> RouteUpdate? { await feed.next(of: number) }

    func end() { feed.end(number) }
}

extension RouteFeed {
    fileprivate typealias Waiting = CheckedContinuation<RouteUpdate?, Never>

    fileprivate enum Outcome {
        case told(RouteUpdate)
        case waits
        case over
    }

    fileprivate struct Follower {
        let onEnd: @Sendable () -> Void
        var needsSnapshot = true
        var knowsOfLoss = false
        /// Functions about which there is something to tell, each once.
        var changed = Deque<FunctionID>()
        var isChanged: Set<FunctionID> = []
        var waiting: Waiting?

        mutating func startOver() {
            needsSnapshot = true
            changed.removeAll()
            isChanged.removeAll()
        }

        mutating func note(_ id: FunctionID, functionCount: Int) {
            guard !needsSnapshot, isChanged.insert(id).inserted else { return }
            changed.append(id)
            // Most of these have come and gone meanwhile: all there are is the shorter list.
            if changed.count > 2 * functionCount + 64 { startOver() }
        }
    }

    fileprivate struct State {
        var routes: [FunctionID: FunctionRoute] = [:]
        var isComplete: Bool
        var loss: PlatformFault?
        var isClosed = false
        var followers: [Int: Follower] = [:]
        private var lastNumber = 0

        init(isComplete: Bool) { self.isComplete = isComplete }

        mutating func follow(_ onEnd: @escaping @Sendable () -> Void) -> Int {
            lastNumber += 1
            followers[lastNumber] = Follower(onEnd: onEnd)
            return lastNumber
        }

        mutating func note(_ id: FunctionID) {
            for number in Array(followers.keys) { followers[number]?.note(id, functionCount: routes.count) }
        }

        /// What a follower is told now; it waits where there is nothing.
        mutating func take(_ number: Int, orWait continuation: Waiting) -> Outcome {
            if let update = next(of: number) { return .told(update) }
            guard followers[number] != nil, !isClosed else { return .over }
            followers[number]?.waiting = continuation
            return .waits
        }

        /// What there is to tell those who wait; nil for those to whom nothing more will be told.
        mutating func handovers() -> [(Waiting, RouteUpdate?)] {
            Array(followers.keys).compactMap { number in
                guard let waiting = followers[number]?.waiting else { return nil }
                let update = next(of: number)
                guard update != nil || isClosed else { return nil }
                followers[number]?.waiting = nil
                return (waiting, update)
            }
        }

        private mutating func next(of number: Int) -> RouteUpdate? {
            guard var follower = followers.removeValue(forKey: number) else { return nil }
            defer { followers[number] = follower }
            if follower.needsSnapshot, isComplete {
                follower.needsSnapshot = false
                return .snapshot(routes.values.sorted { $0.id < $1.id })
            }
            if follower.knowsOfLoss != (loss != nil) {
                follower.knowsOfLoss.toggle()
                return loss.map { .lost($0) } ?? .heardAgain
            }
            guard let id = follower.changed.popFirst() else { return nil }
            follower.isChanged.remove(id)
            return routes[id].map { .changed($0) } ?? .removed(id)
        }
    }
}
