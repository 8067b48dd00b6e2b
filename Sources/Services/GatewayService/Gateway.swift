// SPDX-License-Identifier: Apache-2.0

import AutoscalerService
public import FaultModel
public import FunctionModel
import Glibc
public import InvocationEngine
public import InvocationWorker
public import Logging
public import NIOCore
public import PrometheusClient
public import ProviderContract
public import QueueContract
import Synchronization
public import SystemAPI
import Telemetry

/// The gateway: the front door, the REST API behind it, and what keeps its routing table true.
public final class Gateway: Sendable {
    /// How asynchronous calls are kept and carried out.
    public struct Asynchrony: Sendable {
        /// Where they are kept.
        public var queue: any CallQueue
        /// How they are carried out.
        public var worker: WorkerSettings
        /// Whether they are carried out here.
        public var isCarriedOutHere: Bool
        /// Most bytes of a call's body.
        public var bodyLimit: Int
        /// The queue's name and the worker's, for metrics.
        public var names: (queue: String, worker: String)
        /// How often the connection to a queue elsewhere was made again, and the metric of that; nil where there is none.
        public var reconnections: (metric: String, count: @Sendable () -> Int)?

        /// Describes it.
        public init(
            queue: any CallQueue,
            worker: WorkerSettings,
            isCarriedOutHere: Bool = true,
            bodyLimit: Int,
            names: (queue: String, worker: String) = ("faas-request", "martlet"),
            reconnections: (metric: String, count: @Sendable () -> Int)? = nil
        ) {
            self.queue = queue
            self.worker = worker
            self.isCarriedOutHere = isCarriedOutHere
            self.bodyLimit = bodyLimit
            self.names = names
            self.reconnections = reconnections
        }
    }

    /// How replicas follow the load, and where counts of several gateways are.
    public struct Scaling: Sendable {
        /// Whether the autoscaler runs.
        public var isOn: Bool
        /// Knows loads of custom kinds, and the counts of all gateways.
        public var prometheus: PrometheusClient?

        /// Describes it.
        public init(isOn: Bool, prometheus: PrometheusClient? = nil) {
            self.isOn = isOn
            self.prometheus = prometheus
        }
    }

    /// How a gateway is set up.
    public struct Settings: Sendable {
        /// The address to listen on.
        public var host: String
        /// The port to listen on; 0 takes a free one.
        public var port: Int
        /// The port of metrics on the same address; 0 takes a free one, nil leaves them out.
        public var metricsPort: Int?
        /// The namespace of functions that name none.
        public var defaultNamespace: String
        /// The version as people see it.
        public var version: ProviderInfo.Version
        /// Knows who may manage; nil lets everybody.
        public var authenticator: (any Authenticator)?
        /// Limits of the front door and of calls.
        public var engine: EngineSettings
        /// Whether it is a provider's own interface, which names its metrics otherwise (contract §12.5).
        public var isProvider: Bool
        /// Whether what functions use is exported; only where asking the provider costs no round trip.
        public var exportsUsage: Bool
        /// The page for people; nil leaves it out.
        public var page: Page?
        /// Puts what decodes bytes before they are HTTP, TLS say, into connections of the API and of the page.
        public var prepareConnection: (@Sendable (any Channel) throws -> Void)?

        /// Makes settings.
        public init(
            host: String,
            port: Int,
            metricsPort: Int?,
            defaultNamespace: String,
            version: ProviderInfo.Version,
            authenticator: (any Authenticator)?,
            engine: EngineSettings,
            isProvider: Bool = false,
            exportsUsage: Bool = false,
            page: Page? = nil,
            prepareConnection: (@Sendable (any Channel) throws -> Void)? = nil
        ) {
            self.host = host
            self.port = port
            self.metricsPort = metricsPort
            self.defaultNamespace = defaultNamespace
            self.version = version
            self.authenticator = authenticator
            self.engine = engine
            self.isProvider = isProvider
            self.exportsUsage = exportsUsage
            self.page = page
            self.prepareConnection = prepareConnection
        }
    }

    private let settings: Settings
    private let provider: any FunctionProvider
    private let table: RoutingTable
    private let door: FrontDoor
    private let metricsDoor: FrontDoor
    private let page: (site: PageSite, door: FrontDoor)?
    private let counts: InvocationCounts?
    private let worker: InvocationWorker?
    private let autoscaler: Autoscaler?
    private let sharedCounts: SharedCounts?
    private let work = Mutex<Task<Void, Never>?>(nil)
    private let logger: Logger

    /// Builds a gateway in front of a provider.
    ///
    /// `counts` keeps invocation counts over restarts; without it they begin at 0. Without `asynchrony` calls are not
    /// accepted for later.
    public init(
        _ settings: Settings,
        provider: any FunctionProvider,
        bundles: (any BundleStore)?,
        counts: InvocationCounts?,
        asynchrony: Asynchrony?,
        scaling: Scaling,
        group: any EventLoopGroup,
        logger: Logger
    ) {
        self.settings = settings
        self.provider = provider
        self.counts = counts
        self.logger = logger
        let activator = Activator(provider: provider, logger: logger)
        let table = RoutingTable(defaultNamespace: settings.defaultNamespace, activate: activator.activate)
        activator.table = table
        self.table = table
        let sharedCounts = scaling.prometheus.map { SharedCounts(prometheus: $0, logger: logger) }
        self.sharedCounts = sharedCounts
        let slot = RouteSlot()
        var engine = settings.engine
        engine.intake = asynchrony.map { QueueIntake(queue: $0.queue, bodyLimit: $0.bodyLimit) }
        let door = FrontDoor(
            group: group,
            settings: engine,
            table: table,
            responder: slot,
            ledger: counts
        )
        self.door = door
        let worker = asynchrony.flatMap { $0.isCarriedOutHere ? Self.worker($0, table, door, logger) : nil }
        self.worker = worker
        let autoscaler =
            scaling.isOn ? Self.autoscaler(provider, table, door, asynchrony?.queue, scaling.prometheus, logger) : nil
        self.autoscaler = autoscaler
        let requests = RequestCounts()
        let metrics = MetricsSource(
            door: door,
            table: table,
            provider: settings.exportsUsage ? provider : nil,
            asynchrony: asynchrony,
            worker: worker,
            autoscaler: autoscaler,
            requests: requests,
            settings: settings
        )
        metricsDoor = FrontDoor(
            group: group,
            settings: settings.engine,
            table: RoutingTable { _, _ in },
            responder: MetricsResponder { await metrics.families() }
        )
        let site = settings.page.map {
            PageSite($0, apiPort: settings.port, isEncrypted: settings.prepareConnection != nil)
        }
        var describe: (@Sendable (FunctionID) async -> ScalingDescription?)?
        if let autoscaler { describe = { await autoscaler.description(of: $0) } }
        var families: (@Sendable () async -> [MetricFamily])?
        if settings.isProvider { families = { await metrics.families() } }
        let routes = GatewayRoutes(
            provider: provider,
            bundles: bundles,
            defaultNamespace: settings.defaultNamespace,
            version: settings.version,
            calls: asynchrony.map { GatewayRoutes.Calls(queue: $0.queue, bodyLimit: $0.bodyLimit) },
            describeScaling: describe,
            metrics: families,
            invocationCount: { max(counts?.count(of: $0) ?? 0, sharedCounts?.count(of: $0) ?? 0) },
            // A provider that is asked for its functions once a second has told of a new one by then.
            awaitCallable: { await table.awaitFunction($0, within: .seconds(2)) },
            site: site
        )
        slot.fill(routes.makeResponder(settings.authenticator, counting: requests, logger: logger))
        page = site.map { ($0, Self.pageDoor(settings, routes, $0, group, logger)) }
    }

    /// A door behind which nothing but the page is.
    private static func pageDoor(
        _ settings: Settings,
        _ routes: GatewayRoutes,
        _ site: PageSite,
        _ group: any EventLoopGroup,
        _ logger: Logger
    ) -> FrontDoor {
        let page = PageRoutes(
            provider: routes.provider,
            version: settings.version.release,
            invocationCount: routes.invocationCount,
            queue: routes.calls?.queue,
            site: site
        )
        return FrontDoor(
            group: group,
            settings: settings.engine,
            table: RoutingTable { _, _ in },
            responder: page.makeResponder(settings.authenticator, logger: logger)
        )
    }

    private static func autoscaler(
        _ provider: any FunctionProvider,
        _ table: RoutingTable,
        _ door: FrontDoor,
        _ queue: (any CallQueue)?,
        _ prometheus: PrometheusClient?,
        _ logger: Logger
    ) -> Autoscaler {
        Autoscaler(
            provider: provider,
            sources: Autoscaler.Sources(
                routes: { table.scalingRoutes },
                // Fails only while the event loops are being shut down.
                activity: { (try? await door.activity(of: $0)) ?? [:] },
                backlog: { await queue?.backlog() ?? [:] },
                prometheus: prometheus
            ),
            logger: logger
        )
    }

    private static func worker(
        _ asynchrony: Asynchrony,
        _ table: RoutingTable,
        _ door: FrontDoor,
        _ logger: Logger
    ) -> InvocationWorker {
        InvocationWorker(
            queue: asynchrony.queue,
            settings: asynchrony.worker,
            limits: { table.route(of: $0).map(WorkerLimits.init) },
            call: { door.call($0, done: $1) },
            logger: logger
        )
    }

    /// Where the gateway listens.
    public struct Addresses: Sendable {
        /// The API and the functions.
        public var api: SocketAddress
        /// Metrics; nil when they are left out.
        public var metrics: SocketAddress?
        /// The page; nil when it is left out.
        public var page: SocketAddress?
    }

    /// Begins to listen, once the routing table knows what there is.
    ///
    /// - Throws: `conflict` naming the port that is taken.
    public func start() async throws(PlatformFault) -> Addresses {
        let api = try await listen(door, settings.port, "--port", settings.prepareConnection)
        page?.site.apiListens(on: api.port)
        let page = try await listenForPage()
        guard let port = settings.metricsPort else { return Addresses(api: api, metrics: nil, page: page) }
        let metrics = try await listen(metricsDoor, port, "--metrics-port", nil)
        return Addresses(api: api, metrics: metrics, page: page)
    }

    private func listenForPage() async throws(PlatformFault) -> SocketAddress? {
        guard let page, let place = settings.page else { return nil }
        let address = try await listen(
            page.door,
            place.port,
            "--ui-port",
            settings.prepareConnection,
            host: place.host
        )
        page.site.pageListens(on: address.port)
        return address
    }

    /// Listens for questions about metrics alone: calls of functions come from the queue, and from nowhere else.
    ///
    /// - Throws: `conflict` naming the port that is taken.
    public func startWithoutAPI() async throws(PlatformFault) -> SocketAddress? {
        guard let port = settings.metricsPort else { return nil }
        return try await listen(metricsDoor, port, "--metrics-port", nil)
    }

    private func listen(
        _ door: FrontDoor,
        _ port: Int,
        _ setting: String,
        _ prepare: (@Sendable (any Channel) throws -> Void)?,
        host: String? = nil
    ) async throws(PlatformFault) -> SocketAddress {
        let host = host ?? settings.host
        do {
            return try await door.listen(host: host, port: port, prepare: prepare)
        } catch {
            throw PlatformFault(
                .conflict,
                "Martlet cannot listen on \(host):\(port): \(Self.words(for: error)).",
                hint: "Choose another port by \(setting), or stop what uses it.",
                cause: error
            )
        }
    }

    private static func words(for error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return String(cString: strerror(error.errnoCode)).lowercased()
    }

    /// Follows the provider until it ends or the task is cancelled.
    ///
    /// `onSnapshot` is called once, when the table knows what there is.
    public func followProvider(onSnapshot: @Sendable () -> Void = {}) async {
        for await event in provider.watch() {
            table.apply(event)
            forgetCounts(event)
            begin(event)
            tellWorker(event)
            if case .snapshot = event { onSnapshot() }
        }
    }

    /// What works in the background begins when it is known what there is.
    private func begin(_ event: RoutingEvent) {
        guard case .snapshot = event else { return }
        work.withLock { work in
            work =
                work
                ?? Task { [worker, autoscaler, sharedCounts] in
                    await withDiscardingTaskGroup { group in
                        group.addTask { await worker?.run() }
                        group.addTask { await autoscaler?.run() }
                        group.addTask { await sharedCounts?.run() }
                    }
                }
        }
    }

    /// The worker hears of every change.
    private func tellWorker(_ event: RoutingEvent) {
        guard let worker else { return }
        switch event {
        case .changed(let route): worker.functionChanged(route.id)
        case .removed(let id): worker.functionChanged(id)
        case .snapshot(let routes):
            for route in routes { worker.functionChanged(route.id) }
            Task { await worker.deadLetterOrphans() }
        }
    }

    private func forgetCounts(_ event: RoutingEvent) {
        switch event {
        case .snapshot(let routes): counts?.keepOnly(Set(routes.map(\.id)))
        case .removed(let id): counts?.remove(id)
        case .changed: break
        }
    }

    /// Stops accepting, lets calls in flight end within a limit, then cuts the rest.
    ///
    /// Asynchronous calls that do not end in time are carried out again by the next start.
    public func drain(within limit: Duration) async {
        async let working: Void? = worker?.stop(within: limit)
        await door.drain(within: limit)
        _ = await working
        work.withLock { $0 }?.cancel()
        await metricsDoor.drain(within: .milliseconds(100))
        await page?.door.drain(within: .milliseconds(100))
    }
}

extension WorkerLimits {
    /// What the routing table knows of a function; one at zero may have the places of its first replica.
    fileprivate init(_ route: FunctionRoute) {
        let replicas = max(1, route.replicas.count)
        self.init(slots: route.policy.maxInFlight.map { $0 * replicas }, retry: route.policy.retry)
    }
}
