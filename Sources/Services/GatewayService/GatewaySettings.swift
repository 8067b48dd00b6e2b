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
        /// Where it listens, in the order of beginning to.
        public var listeners: [Listener]
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
        /// Whether it listens before it knows which functions there are: a provider elsewhere may be long in coming.
        public var listensAtOnce: Bool
        /// Whether what functions use is exported; only where asking the provider costs no round trip.
        public var exportsUsage: Bool
        /// Sockets that listen already; nil where all are to be opened.
        public var inherited: InheritedSockets?
        /// Whether somebody else keeps the listening sockets over this program's end, so that their files stay.
        public var keepsSockets: Bool
        /// How the page for people is known; nil where no listener has it.
        public var page: Page?

        /// Makes settings.
        public init(
            listeners: [Listener],
            defaultNamespace: String,
            version: ProviderInfo.Version,
            authenticator: (any Authenticator)?,
            engine: EngineSettings,
            isProvider: Bool = false,
            listensAtOnce: Bool = false,
            exportsUsage: Bool = false,
            inherited: InheritedSockets? = nil,
            keepsSockets: Bool = false,
            page: Page? = nil
        ) {
            self.listeners = listeners
            self.defaultNamespace = defaultNamespace
            self.version = version
            self.authenticator = authenticator
            self.engine = engine
            self.isProvider = isProvider
            self.listensAtOnce = listensAtOnce
            self.exportsUsage = exportsUsage
            self.inherited = inherited
            self.keepsSockets = keepsSockets
            self.page = page
        }
    }

    /// Where the gateway listens.
    public struct Addresses: Sendable {
        /// The functions; nil for a worker alone.
        public var api: SocketAddress?
        /// Management, mostly where the functions are; nil for a worker alone.
        public var management: SocketAddress?
        /// Metrics; nil when they are left out.
        public var metrics: SocketAddress?
        /// The page; nil when it is left out.
        public var page: SocketAddress?
    }
}

extension Gateway.Addresses {
    /// Each surface where a listener has it with the least beside it.
    init(_ taken: [(listener: Listener, address: SocketAddress)]) {
        func address(of surface: Listener.Surface) -> SocketAddress? {
            taken.filter { $0.listener.surfaces.contains(surface) }
                .min { $0.listener.surfaces.count < $1.listener.surfaces.count }?.address
        }
        self.init(
            api: address(of: .functions),
            management: address(of: .management),
            metrics: address(of: .metrics),
            page: address(of: .page)
        )
    }
}
