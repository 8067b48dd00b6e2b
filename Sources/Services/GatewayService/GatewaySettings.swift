// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import InvocationEngine
public import InvocationWorker
public import NIOCore
public import PrometheusClient
public import QueueContract
public import SystemAPI

extension Gateway {
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
        /// Why calls cannot be kept at the moment; nil when they can.
        public var problem: @Sendable () -> PlatformFault?
        /// Reached when the queue has been waited for long enough.
        public let settled = Milestone<Void>()

        /// Describes it.
        public init(
            queue: any CallQueue,
            worker: WorkerSettings,
            isCarriedOutHere: Bool = true,
            bodyLimit: Int,
            names: (queue: String, worker: String) = ("faas-request", "martlet"),
            reconnections: (metric: String, count: @Sendable () -> Int)? = nil,
            problem: @escaping @Sendable () -> PlatformFault? = { nil }
        ) {
            self.queue = queue
            self.worker = worker
            self.isCarriedOutHere = isCarriedOutHere
            self.bodyLimit = bodyLimit
            self.names = names
            self.reconnections = reconnections
            self.problem = problem
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
        /// Whether it listens for nothing but questions about metrics: calls come from the queue, and from nowhere else.
        public var isWorkerAlone: Bool
        /// Whether it listens before it knows which functions there are: a provider elsewhere may be long in coming.
        public var listensAtOnce: Bool
        /// Whether what functions use is exported; only where asking the provider costs no round trip.
        public var exportsUsage: Bool
        /// Sockets that listen already; nil where all are to be opened.
        public var inherited: InheritedSockets?
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
            isWorkerAlone: Bool = false,
            listensAtOnce: Bool = false,
            exportsUsage: Bool = false,
            inherited: InheritedSockets? = nil,
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
            self.isWorkerAlone = isWorkerAlone
            self.listensAtOnce = listensAtOnce
            self.exportsUsage = exportsUsage
            self.inherited = inherited
            self.page = page
            self.prepareConnection = prepareConnection
        }
    }

    /// What is behind one of the gateway's doors.
    public enum Surface: String, Sendable, CaseIterable {
        /// The functions and the REST API.
        case api
        /// Metrics, health and readiness.
        case metrics
        /// The page for people.
        case page
    }

    /// Where the gateway listens.
    public struct Addresses: Sendable {
        /// The API and the functions; nil for a worker alone.
        public var api: SocketAddress?
        /// Metrics; nil when they are left out.
        public var metrics: SocketAddress?
        /// The page; nil when it is left out.
        public var page: SocketAddress?
    }
}
