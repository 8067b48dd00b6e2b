// SPDX-License-Identifier: Apache-2.0

import AutoscalerService
import FaultModel
import FunctionModel
import InvocationEngine
import InvocationWorker
import PrometheusClient
import ProviderContract
import QueueContract
import ServiceLifecycle

/// What works behind the doors: the routing table and who keeps it true, the worker, the autoscaler.
struct GatewayWork: Sendable {
    let table: RoutingTable
    let loops: EngineLoops
    let worker: InvocationWorker?
    let autoscaler: Autoscaler?
    let sharedCounts: SharedCounts?
    let services: [any Service]

    init(_ setting: GatewaySetting, _ scaling: Gateway.Scaling) {
        let (table, needs) = Activator.table(defaultNamespace: setting.settings.defaultNamespace)
        let loops = EngineLoops(group: setting.group)
        let worker = Self.worker(setting, table, loops)
        let autoscaler = scaling.isOn ? Self.autoscaler(setting, table, loops, scaling) : nil
        let sharedCounts = scaling.prometheus.map { SharedCounts(prometheus: $0, logger: setting.logger) }
        self.table = table
        self.loops = loops
        self.worker = worker
        self.autoscaler = autoscaler
        self.sharedCounts = sharedCounts
        services =
            Self.keeping(scaling) + Self.routing(setting, table, needs, worker)
            + Self.background(setting, worker, autoscaler, sharedCounts)
    }

    private static func keeping(_ scaling: Gateway.Scaling) -> [any Service] {
        guard let prometheus = scaling.prometheus else { return [] }
        return [OpenResource { await prometheus.shutdown() }]
    }

    private static func background(
        _ setting: GatewaySetting,
        _ worker: InvocationWorker?,
        _ autoscaler: Autoscaler?,
        _ sharedCounts: SharedCounts?
    ) -> [any Service] {
        var services: [any Service] = []
        if let worker {
            services.append(WorkerService(worker: worker, known: setting.known, stopping: setting.stopping))
        }
        if let autoscaler { services.append(BackgroundWork(after: setting.known) { _ in await autoscaler.run() }) }
        if let sharedCounts { services.append(BackgroundWork(after: setting.known) { _ in await sharedCounts.run() }) }
        return services
    }

    private static func routing(
        _ setting: GatewaySetting,
        _ table: RoutingTable,
        _ needs: AsyncStream<Activator.Need>,
        _ worker: InvocationWorker?
    ) -> [any Service] {
        [
            RouteFollowing(
                provider: setting.provider,
                table: table,
                counts: setting.counts,
                worker: worker,
                evidence: setting.evidence,
                known: setting.known,
                logger: setting.logger
            ),
            Activator(
                provider: setting.provider,
                table: table,
                needs: needs,
                logger: setting.logger,
                clock: setting.clock
            ),
        ]
    }

    private static func autoscaler(
        _ setting: GatewaySetting,
        _ table: RoutingTable,
        _ loops: EngineLoops,
        _ scaling: Gateway.Scaling
    ) -> Autoscaler {
        let queue = setting.asynchrony?.queue
        return Autoscaler(
            provider: setting.provider,
            sources: Autoscaler.Sources(
                routes: { table.scalingRoutes },
                isHeard: { table.loss == nil },
                // Fails only while the event loops are being shut down.
                activity: { (try? await loops.activity(of: $0)) ?? [:] },
                backlog: { await queue?.backlog() ?? [:] },
                prometheus: scaling.prometheus
            ),
            logger: setting.logger
        )
    }

    private static func worker(
        _ setting: GatewaySetting,
        _ table: RoutingTable,
        _ loops: EngineLoops
    ) -> InvocationWorker? {
        guard let asynchrony = setting.asynchrony, asynchrony.isCarriedOutHere else { return nil }
        let evidence = setting.evidence
        return InvocationWorker(
            queue: asynchrony.queue,
            settings: asynchrony.worker,
            limits: { table.route(of: $0).map(WorkerLimits.init) ?? (evidence.isSure ? nil : .notYet) },
            refusal: { table.route(of: $0).map(\.refusalOfCallbacks) ?? .functionNotFound },
            call: { loops.call($0, done: $1) },
            logger: setting.logger
        )
    }
}

extension FunctionRoute {
    /// What its calls would be told at the door; a callback may fall to any variant.
    fileprivate var refusalOfCallbacks: FaultCode? {
        for policy in served.map(\.policy) {
            if policy.access != .public { return .forbidden }
            if let methods = policy.methods, !methods.contains("POST") { return .methodNotAllowed }
        }
        return nil
    }
}

extension WorkerLimits {
    /// Of a function that is not known yet.
    fileprivate static var notYet: WorkerLimits { WorkerLimits(slots: 0, isKnown: false) }

    /// What the routing table knows of a function; one at zero may have the slots of its first replica.
    fileprivate init(_ route: FunctionRoute) {
        self.init(slots: route.slots, retry: route.policy.retry)
    }
}
