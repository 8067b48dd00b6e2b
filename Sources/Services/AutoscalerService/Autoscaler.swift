// SPDX-License-Identifier: Apache-2.0

import DequeModule
import FaultModel
public import FunctionModel
public import InvocationEngine
public import Logging
public import PrometheusClient
public import ProviderContract
import ScalingPolicy

/// Lets the number of replicas follow the load, for functions that carry a label of it (contract §13, martlet-api
/// "Scaling").
///
/// Looks once a second at what the engine has counted; asks the policy; asks the provider for the number of replicas.
/// Calls are none of its business: the provider drains what it takes away, and a sleeping function is woken by its call.
public actor Autoscaler {
    /// Where loads come from.
    public struct Sources: Sendable {
        /// The functions that carry a label of the autoscaler.
        public var routes: @Sendable () -> [FunctionRoute]
        /// Whether the provider is heard: nothing is decided about what may have changed meanwhile.
        public var isHeard: @Sendable () -> Bool
        /// How busy some functions are.
        public var activity: @Sendable ([FunctionID]) async -> [FunctionID: FunctionActivity]
        /// Asynchronous calls that are due or in flight.
        public var backlog: @Sendable () async -> [FunctionID: Int]
        /// For loads that only Prometheus knows.
        public var prometheus: PrometheusClient?

        /// Names the sources.
        public init(
            routes: @escaping @Sendable () -> [FunctionRoute],
            isHeard: @escaping @Sendable () -> Bool = { true },
            activity: @escaping @Sendable ([FunctionID]) async -> [FunctionID: FunctionActivity],
            backlog: @escaping @Sendable () async -> [FunctionID: Int],
            prometheus: PrometheusClient?
        ) {
            self.routes = routes
            self.isHeard = isHeard
            self.activity = activity
            self.backlog = backlog
            self.prometheus = prometheus
        }
    }

    /// A number of replicas to ask the provider for.
    struct Change: Sendable, Equatable {
        var id: FunctionID
        var from: Int
        var to: Int
    }

    private let provider: any FunctionProvider
    private let sources: Sources
    let readings: LoadReadings
    private let logger: Logger
    private var watched: [FunctionID: WatchedFunction] = [:]
    private static let beat = Duration.seconds(1)

    /// Makes an autoscaler; it does nothing before `run`.
    public init(provider: any FunctionProvider, sources: Sources, logger: Logger) {
        self.provider = provider
        self.sources = sources
        self.logger = logger
        readings = LoadReadings(provider: provider, prometheus: sources.prometheus)
    }

    /// Works until the task is cancelled.
    public func run() async {
        let start = ContinuousClock.now
        let now: @Sendable () -> Duration = { ContinuousClock.now - start }
        await withDiscardingTaskGroup { group in
            var next = ContinuousClock.now
            while !Task.isCancelled {
                let (changes, questions) = await look(now: now())
                for change in changes { group.addTask { await self.carryOut(change) } }
                for question in questions { group.addTask { await self.readings.ask(question, now: now) } }
                // After a pause of the machine the missed beats are not made up for.
                next = max(next + Self.beat, ContinuousClock.now)
                guard (try? await Task.sleep(until: next, clock: .continuous)) != nil else { break }
            }
            group.cancelAll()
        }
    }

    // MARK: One beat

    /// Looks at every function once; returns what to ask of the provider and of the slow sources.
    func look(now: Duration) async -> (changes: [Change], questions: [LoadReadings.Question]) {
        guard sources.isHeard() else { return ([], []) }
        let routes = sources.routes()
        forget(allBut: routes)
        guard !routes.isEmpty else { return ([], []) }
        let asked = routes.compactMap { route in
            route.scaling.rules.map { LoadReadings.Question(id: route.id, mode: $0.mode) }
        }.filter { LoadReadings.concerns($0.mode) }
        async let activity = sources.activity(routes.map(\.id))
        async let backlog = sources.backlog()
        async let read = readings.look(asked, now: now)
        let (busy, waiting, (loads, questions)) = await (activity, backlog, read)
        let changes = routes.compactMap { route in
            let seen = busy[route.id] ?? FunctionActivity()
            return consider(
                route,
                ScalingSample(started: seen.started, inFlight: seen.inFlight, backlog: waiting[route.id] ?? 0),
                loads[route.id],
                now: now
            )
        }
        return (changes, questions)
    }

    private func forget(allBut routes: [FunctionRoute]) {
        let known = Set(routes.map(\.id))
        if watched.keys.contains(where: { !known.contains($0) }) {
            watched = watched.filter { known.contains($0.key) }
        }
    }

    private func consider(
        _ route: FunctionRoute,
        _ sample: ScalingSample,
        _ reading: LoadReadings.Reading?,
        now: Duration
    ) -> Change? {
        guard let rules = route.scaling.rules else { return nil }
        var function = watched.removeValue(forKey: route.id) ?? WatchedFunction(route, rules, now: now)
        defer { watched[route.id] = function }
        return function.consider(route, rules, sample, reading, provider.capabilities, now: now)
    }

    /// Asks the provider; what it could not do is decided anew at the next beat.
    func carryOut(_ change: Change) async {
        do throws(PlatformFault) {
            try await provider.scale(change.id, to: change.to)
            logger.info(
                "scaled",
                metadata: [
                    "function": "\(change.id)", "from": "\(change.from)", "to": "\(change.to)",
                    "why": "\(watched[change.id]?.reason ?? "")",
                ]
            )
            watched[change.id]?.scaled()
        } catch {
            if error.code == .functionNotFound {
                // Gone meanwhile: then there is nothing to scale, or nothing yet.
                watched[change.id]?.scaled()
            } else if watched[change.id]?.scalingFailed(change, error.message) == true {
                logger.error(
                    "a function was not scaled",
                    metadata: ["function": "\(change.id)", "to": "\(change.to)", "why": "\(error)"]
                )
            }
        }
    }

    // MARK: Telling

    /// What was decided about a function, and why; nil for one that was not looked at yet.
    public func description(of id: FunctionID) -> ScalingDescription? { watched[id]?.description(of: id) }

    /// The load of each function that is looked after, by its mode; without those whose load is unknown.
    public var loads: [(id: FunctionID, mode: String, load: Double)] {
        watched.compactMap { id, function in function.load.map { (id, function.rules.mode.name, $0) } }
            .sorted { $0.id < $1.id }
    }
}
