// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import Hummingbird
public import InvocationEngine
public import InvocationWorker
public import Logging
public import NIOCore
public import ProviderContract
public import QueueContract
import Synchronization
public import SystemAPI
import Telemetry

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The gateway: the front door, the REST API behind it, and what keeps its routing table true.
public final class Gateway: Sendable {
    /// How asynchronous calls are kept and carried out.
    public struct Asynchrony: Sendable {
        /// Where they are kept.
        public var queue: any CallQueue
        /// How they are carried out.
        public var worker: WorkerSettings
        /// Most bytes of a call's body.
        public var bodyLimit: Int

        /// Describes it.
        public init(queue: any CallQueue, worker: WorkerSettings, bodyLimit: Int) {
            self.queue = queue
            self.worker = worker
            self.bodyLimit = bodyLimit
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
        /// Who may manage; nil lets everybody.
        public var credentials: Credentials?
        /// Limits of the front door and of calls.
        public var engine: EngineSettings
        /// Puts what decodes bytes before they are HTTP, TLS say, into connections of the API.
        public var prepareConnection: (@Sendable (any Channel) throws -> Void)?

        /// Makes settings.
        public init(
            host: String,
            port: Int,
            metricsPort: Int?,
            defaultNamespace: String,
            version: ProviderInfo.Version,
            credentials: Credentials?,
            engine: EngineSettings,
            prepareConnection: (@Sendable (any Channel) throws -> Void)? = nil
        ) {
            self.host = host
            self.port = port
            self.metricsPort = metricsPort
            self.defaultNamespace = defaultNamespace
            self.version = version
            self.credentials = credentials
            self.engine = engine
            self.prepareConnection = prepareConnection
        }
    }

    private let settings: Settings
    private let provider: any FunctionProvider
    private let table: RoutingTable
    private let door: FrontDoor
    private let metricsDoor: FrontDoor
    private let counts: InvocationCounts?
    private let worker: InvocationWorker?
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
        let count: @Sendable (FunctionID) -> Double = { counts?.count(of: $0) ?? 0 }
        let router = Router(context: SystemContext.self)
        router.add(middleware: FaultMiddleware())
        SystemRoutes(
            provider: provider,
            bundles: bundles,
            defaultNamespace: settings.defaultNamespace,
            version: settings.version,
            credentials: settings.credentials,
            invocationCount: count,
            // A provider that is asked for its functions once a second has told of a new one by then.
            awaitCallable: { await table.awaitFunction($0, within: .seconds(2)) }
        ).addRoutes(to: router)
        if let asynchrony {
            CallRoutes(
                queue: asynchrony.queue,
                defaultNamespace: settings.defaultNamespace,
                credentials: settings.credentials
            ).addRoutes(to: router)
        } else {
            AsyncRoutes(credentials: settings.credentials).addRoutes(to: router)
        }
        PageRoutes(
            provider: provider,
            version: settings.version.release,
            credentials: settings.credentials,
            invocationCount: count,
            queue: asynchrony?.queue
        ).addRoutes(to: router)
        var engine = settings.engine
        engine.intake = asynchrony.map { QueueIntake(queue: $0.queue, bodyLimit: $0.bodyLimit) }
        let door = FrontDoor(
            group: group,
            settings: engine,
            table: table,
            responder: HummingbirdResponder(router, logger: logger),
            ledger: counts
        )
        self.door = door
        let worker = asynchrony.map { Self.worker($0, table, door, logger) }
        self.worker = worker
        let version = settings.version.release
        metricsDoor = FrontDoor(
            group: group,
            settings: settings.engine,
            table: RoutingTable { _, _ in },
            responder: MetricsResponder {
                // Fails only while the event loops are being shut down.
                let functions = (try? await door.metrics()) ?? []
                let replicas = table.replicaCounts.sorted { $0.id < $1.id }.map {
                    GatewayMetrics.ReplicaCount(name: $0.id.description, desired: $0.desired, ready: $0.ready)
                }
                var families = GatewayMetrics.families(functions, replicas: replicas, version: version)
                if let asynchrony, let worker {
                    families += QueueMetrics.families(await asynchrony.queue.counts(), processed: worker.processed)
                }
                return families + ProcessMetrics.families()
            }
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
    }

    /// Begins to listen, once the routing table knows what there is.
    ///
    /// - Throws: `conflict` naming the port that is taken.
    public func start() async throws(PlatformFault) -> Addresses {
        let api = try await listen(door, settings.port, "--port", settings.prepareConnection)
        guard let port = settings.metricsPort else { return Addresses(api: api, metrics: nil) }
        return Addresses(api: api, metrics: try await listen(metricsDoor, port, "--metrics-port", nil))
    }

    private func listen(
        _ door: FrontDoor,
        _ port: Int,
        _ setting: String,
        _ prepare: (@Sendable (any Channel) throws -> Void)?
    ) async throws(PlatformFault) -> SocketAddress {
        do {
            return try await door.listen(host: settings.host, port: port, prepare: prepare)
        } catch {
            throw PlatformFault(
                .conflict,
                "Martlet cannot listen on \(settings.host):\(port): \(Self.words(for: error)).",
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
            tellWorker(event)
            if case .snapshot = event { onSnapshot() }
        }
    }

    /// The worker begins when it is known what there is, and hears of every change from then on.
    private func tellWorker(_ event: RoutingEvent) {
        guard let worker else { return }
        switch event {
        case .changed(let route): worker.functionChanged(route.id)
        case .removed(let id): worker.functionChanged(id)
        case .snapshot(let routes):
            work.withLock { $0 = $0 ?? Task { await worker.run() } }
            for route in routes { worker.functionChanged(route.id) }
            Task { await worker.buryOrphans() }
        }
    }

    private func forgetCounts(_ event: RoutingEvent) {
        switch event {
        case .snapshot(let routes): counts?.keepOnly(Set(routes.map(\.id)))
        case .removed(let id): counts?.remove(id)
        case .changed: break
        }
    }

    /// Stops accepting, lets calls under way end within a limit, then cuts the rest.
    ///
    /// Asynchronous calls that do not end in time are carried out again by the next start.
    public func drain(within limit: Duration) async {
        async let working: Void? = worker?.stop(within: limit)
        await door.drain(within: limit)
        _ = await working
        work.withLock { $0 }?.cancel()
        await metricsDoor.drain(within: .milliseconds(100))
    }
}

extension WorkerLimits {
    /// What the routing table knows of a function; one at zero may have the places of its first replica.
    fileprivate init(_ route: FunctionRoute) {
        let replicas = max(1, route.replicas.count)
        self.init(places: route.rules.maxInFlight.map { $0 * replicas }, retry: route.rules.retry)
    }
}
