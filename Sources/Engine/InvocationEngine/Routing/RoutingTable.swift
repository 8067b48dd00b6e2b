// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import NIOCore
public import ProviderContract
import Synchronization

/// Who hears of changes of the routing table: an event loop.
///
/// Each is told in the order of the changes, and must not block.
protocol RouteFollower: Sendable {
    /// A function is there, with the line for it, and those for its variants where its calls are split.
    func change(_ route: FunctionRoute, _ queue: AdmissionQueue, _ queues: [AdmissionQueue])

    /// A function is gone.
    func remove(_ id: FunctionID)

    /// All functions have been told of.
    func noteSnapshot()

    /// Waits until everything that was told before counts.
    func settle() async
}

/// Which functions can be called and where: fed by a provider's pushes, read by event loops from copies of their own.
///
/// Thread-safe. A change reaches the event loops before any call that it lets in.
public final class RoutingTable: Sendable {
    fileprivate struct State {
        var queues: [FunctionID: AdmissionQueue] = [:]
        /// Those of the variants of functions whose calls are split, by revision.
        var variantQueues: [FunctionID: [Int: AdmissionQueue]] = [:]
        var routes: [FunctionID: FunctionRoute] = [:]
        var followers: [any RouteFollower] = []
        var expectations: [FunctionID: [AsyncStream<Void>.Continuation]] = [:]
        var hasSnapshot = false
        var loss: LostContact?
    }

    /// A provider that is not heard.
    public struct LostContact: Sendable {
        /// Since when.
        public let since: Timestamp
        /// Why.
        public let fault: PlatformFault
    }

    /// The namespace of calls that name none.
    public let defaultNamespace: String
    private let state = Mutex(State())
    private let activate: @Sendable (FunctionID, Int) -> Void

    /// Makes an empty table.
    ///
    /// `activate` is called, on any thread and once per need, when a call arrives for a function of which no replica is
    /// desired; it asks the provider for so many, and reports a failure by `activationFailed`.
    public init(
        defaultNamespace: String = NameRule.defaultNamespace,
        activate: @escaping @Sendable (_ id: FunctionID, _ minimum: Int) -> Void
    ) {
        self.defaultNamespace = defaultNamespace
        self.activate = activate
    }

    /// A table for doors behind which there are no functions.
    public static func withoutFunctions() -> RoutingTable {
        let table = RoutingTable { _, _ in }
        table.apply(.snapshot([]))
        return table
    }

    /// Takes over what a provider pushed.
    ///
    /// Updates of one provider are applied in their order, by one task.
    public func apply(_ update: RouteUpdate) {
        switch update {
        case .snapshot(let routes):
            let gone = state.withLock { Set($0.routes.keys).subtracting(routes.map(\.id)) }
            for id in gone.sorted() { remove(id) }
            for route in routes { change(route) }
            noteSnapshot()
        case .changed(let route):
            change(route)
        case .removed(let id):
            remove(id)
        case .lost(let fault):
            state.withLock { $0.loss = $0.loss ?? LostContact(since: .now(), fault: fault) }
        case .heardAgain:
            state.withLock { $0.loss = nil }
        }
    }

    private func noteSnapshot() {
        state.withLock { state in
            guard !state.hasSnapshot else { return }
            state.hasSnapshot = true
            for follower in state.followers { follower.noteSnapshot() }
        }
    }

    /// Whether a provider has told once of all functions: before, one that is not known may well exist.
    public var hasSnapshot: Bool { state.withLock { $0.hasSnapshot } }

    /// Since when the provider is not heard, and why; nil while it is heard.
    public var loss: LostContact? { state.withLock { $0.loss } }

    /// Turns away the calls that wait for an activation that could not be had.
    public func activationFailed(_ id: FunctionID, _ fault: PlatformFault) {
        state.withLock { $0.queues[id] }?.refuseWaiting(fault)
    }

    /// Whether calls still wait though an activation was accepted, since no replica is desired yet: then it is time to
    /// ask again.
    ///
    /// Whoever hears that none do need not ask any more; `activate` is called for the next need.
    public func isStillActivating(_ id: FunctionID) -> Bool {
        state.withLock { $0.queues[id] }?.isStillActivating ?? false
    }

    /// Whether the table knows a function.
    public func contains(_ id: FunctionID) -> Bool { state.withLock { $0.routes[id] != nil } }

    /// What is known of a function; nil where there is none.
    public func route(of id: FunctionID) -> FunctionRoute? { state.withLock { $0.routes[id] } }

    /// The routes of functions whose replicas follow the load.
    public var scalingRoutes: [FunctionRoute] {
        state.withLock { state in state.routes.values.filter { $0.scaling.rules != nil } }
    }

    /// Waits until every event loop lets calls of a function in, or until a limit has passed.
    ///
    /// Whoever was told that a function is deployed may call it at once.
    public func awaitFunction(_ id: FunctionID, within limit: Duration) async {
        if let expected = expect(id) {
            await withTaskGroup(of: Void.self) { tasks in
                tasks.addTask { for await _ in expected {} }
                // Ends early when the function came first; the limit is for providers that never tell of it.
                tasks.addTask { try? await Task.sleep(for: limit) }
                await tasks.next()
                tasks.cancelAll()
            }
        }
        for follower in state.withLock({ $0.followers }) { await follower.settle() }
    }

    /// A stream that ends when the function is known; nil where it is.
    private func expect(_ id: FunctionID) -> AsyncStream<Void>? {
        state.withLock { state in
            guard state.routes[id] == nil else { return nil }
            let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
            state.expectations[id, default: []].append(continuation)
            return stream
        }
    }

    /// All functions known now.
    public var functions: [FunctionID] { state.withLock { $0.routes.keys.sorted() } }

    /// Everything that is known now, sorted by function.
    public var routes: [FunctionRoute] { state.withLock { Array($0.routes.values) }.sorted { $0.id < $1.id } }

    /// Lets an event loop follow the table, beginning with what is known now.
    func attach(_ follower: any RouteFollower) {
        state.withLock { state in
            state.followers.append(follower)
            if state.hasSnapshot { follower.noteSnapshot() }
            for (id, route) in state.routes {
                guard let queue = state.queues[id] else { continue }
                let queues = state.variantQueues[id] ?? [:]
                follower.change(route, queue, queues.isEmpty ? [] : route.served.compactMap { queues[$0.revision] })
            }
        }
    }

    private func change(_ route: FunctionRoute) {
        let (queue, queues, dropped, expectations) = state.withLock { state in
            let queue = state.queues[route.id] ?? AdmissionQueue(id: route.id, activate: activate)
            state.queues[route.id] = queue
            state.routes[route.id] = route
            let (queues, dropped) = state.split(route, queue)
            for follower in state.followers { follower.change(route, queue, queues) }
            return (queue, queues, dropped, state.expectations.removeValue(forKey: route.id) ?? [])
        }
        queue.update(route)
        for (variant, queue) in zip(route.served, queues) { queue.update(variant) }
        for queue in dropped { queue.moveWaiting() }
        for expectation in expectations { expectation.finish() }
    }

    private func remove(_ id: FunctionID) {
        let queues = state.withLock { state in
            state.routes[id] = nil
            for follower in state.followers { follower.remove(id) }
            let variants = state.variantQueues.removeValue(forKey: id) ?? [:]
            return [state.queues.removeValue(forKey: id)].compactMap(\.self) + variants.values
        }
        for queue in queues {
            queue.meet([])
            queue.refuseWaiting(AdmissionQueue.deleted(id), forGood: true)
        }
    }
}

extension RoutingTable.State {
    /// The queues of the variants of a route, none where one gets all calls, and those that are not needed any more.
    fileprivate mutating func split(
        _ route: FunctionRoute,
        _ whole: AdmissionQueue
    ) -> (queues: [AdmissionQueue], dropped: [AdmissionQueue]) {
        let old = variantQueues[route.id] ?? [:]
        let served = route.served
        guard served.count > 1 || !old.isEmpty else { return ([], []) }
        var new: [Int: AdmissionQueue] = [:]
        if served.count > 1 {
            for variant in served {
                new[variant.revision] = old[variant.revision] ?? AdmissionQueue(id: route.id) { _, _ in }
            }
        }
        variantQueues[route.id] = new.isEmpty ? nil : new
        whole.meet(Array(new.values))
        for queue in new.values { queue.meet([whole]) }
        let dropped = old.filter { new[$0.key] == nil }.map(\.value)
        for queue in dropped { queue.meet([whole]) }
        return (new.isEmpty ? [] : served.compactMap { new[$0.revision] }, dropped)
    }
}
