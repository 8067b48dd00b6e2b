// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import Hummingbird
public import InvocationEngine
public import Logging
public import NIOCore
public import ProviderContract
public import SystemAPI
import Telemetry

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The gateway: the front door, the REST API behind it, and what keeps its routing table true.
public final class Gateway: Sendable {
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
    private let logger: Logger

    /// Builds a gateway in front of a provider.
    ///
    /// `counts` keeps invocation counts over restarts; without it they begin at 0.
    public init(
        _ settings: Settings,
        provider: any FunctionProvider,
        bundles: (any BundleStore)?,
        counts: InvocationCounts?,
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
        AsyncRoutes(credentials: settings.credentials).addRoutes(to: router)
        PageRoutes(
            provider: provider,
            version: settings.version.release,
            credentials: settings.credentials,
            invocationCount: count
        ).addRoutes(to: router)
        let door = FrontDoor(
            group: group,
            settings: settings.engine,
            table: table,
            responder: HummingbirdResponder(router, logger: logger),
            ledger: counts
        )
        self.door = door
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
                return GatewayMetrics.families(functions, replicas: replicas, version: version)
                    + ProcessMetrics.families()
            }
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
            if case .snapshot = event { onSnapshot() }
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
    public func drain(within limit: Duration) async {
        await door.drain(within: limit)
        await metricsDoor.drain(within: .milliseconds(100))
    }
}
