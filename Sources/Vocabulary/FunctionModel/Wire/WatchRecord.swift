// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// One line of `GET /system/watch` (martlet-api "Provider watch").
public struct WatchRecord: Sendable, Codable, Equatable {
    /// What the line tells; a reader skips what it does not know.
    public struct Kind: RawRepresentable, Sendable, Hashable, Codable {
        /// The word on the wire.
        public let rawValue: String

        /// A kind by its word, known here or not.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// All functions there are.
        public static let snapshot = Kind(rawValue: "snapshot")
        /// One function changed.
        public static let changed = Kind(rawValue: "changed")
        /// One function is gone.
        public static let removed = Kind(rawValue: "removed")
        /// Nothing happened, and the connection is alive.
        public static let heartbeat = Kind(rawValue: "heartbeat")
    }

    /// How a function's asynchronous calls are tried again; nil where the platform's settings hold.
    public struct Retry: Sendable, Codable, Equatable {
        /// Most attempts in all.
        public var attempts: Int?
        /// Statuses that are tried again.
        public var codes: [Int]?
        /// The wait behind the first attempt in seconds.
        public var firstWaitSeconds: Double?
        /// The longest wait in seconds.
        public var longestWaitSeconds: Double?

        /// What a function's annotations say; nil where they say nothing.
        public init?(_ retry: CallPolicy.Retry) {
            guard retry != CallPolicy.Retry() else { return nil }
            attempts = retry.attempts
            codes = retry.codes
            firstWaitSeconds = retry.firstWait?.inSeconds
            longestWaitSeconds = retry.longestWait?.inSeconds
        }

        /// The same as a router has it.
        public var policy: CallPolicy.Retry {
            CallPolicy.Retry(
                attempts: attempts,
                codes: codes,
                firstWait: firstWaitSeconds.map { .clamped(seconds: $0) },
                longestWait: longestWaitSeconds.map { .clamped(seconds: $0) }
            )
        }
    }

    /// A function as a router needs it.
    public struct Function: Sendable, Codable, Equatable {
        /// The function's name.
        public var name: String
        /// Its namespace.
        public var namespace: String
        /// The revision that answers calls; 0 when none is ready.
        public var revision: Int
        /// The desired number of replicas.
        public var replicas: Int
        /// The number of ready replicas.
        public var availableReplicas: Int
        /// The limit of one call in seconds; nil means none.
        public var execTimeoutSeconds: Double?
        /// Calls that all its ready replicas take together; nil means no limit.
        public var maxInFlight: Int?
        /// Calls that may wait for a slot.
        public var queueDepth: Int
        /// The least number of replicas to ask for.
        public var minReplicas: Int
        /// The greatest number of replicas; nil where the provider does not tell.
        public var maxReplicas: Int?
        /// The labels of the autoscaler (`ScalingRules.labels`); nil for a function that it leaves alone.
        public var scaling: [String: String]?
        /// How its asynchronous calls are tried again, where it differs from the platform's settings.
        public var retry: Retry?
        /// Who may call it (`AccessMode`); nil means everybody.
        public var access: String?
        /// The methods that it may be called with; nil means any.
        public var methods: [String]?
        /// Further paths at which it is called; nil where there are none.
        public var paths: [String]?
        /// Its annotations; nil where there are none.
        public var annotations: [String: String]?
        /// Where it is in its life (martlet-api "Status"); nil where the teller does not know.
        public var state: String?
        /// Why no replica is ready.
        public var notReadyReason: String

        /// Makes a record.
        public init(
            name: String,
            namespace: String,
            revision: Int,
            replicas: Int,
            availableReplicas: Int,
            execTimeoutSeconds: Double?,
            maxInFlight: Int?,
            queueDepth: Int,
            minReplicas: Int,
            maxReplicas: Int? = nil,
            scaling: [String: String]? = nil,
            retry: Retry? = nil,
            access: String? = nil,
            methods: [String]? = nil,
            paths: [String]? = nil,
            annotations: [String: String]? = nil,
            state: String? = nil,
            notReadyReason: String
        ) {
            self.name = name
            self.namespace = namespace
            self.revision = revision
            self.replicas = replicas
            self.availableReplicas = availableReplicas
            self.execTimeoutSeconds = execTimeoutSeconds
            self.maxInFlight = maxInFlight
            self.queueDepth = queueDepth
            self.minReplicas = minReplicas
            self.maxReplicas = maxReplicas
            self.scaling = scaling
            self.retry = retry
            self.access = access
            self.methods = methods
            self.paths = paths
            self.annotations = annotations
            self.state = state
            self.notReadyReason = notReadyReason
        }
    }

    /// What the line tells.
    public var kind: Kind
    /// The functions of a snapshot, or the one that changed or is gone.
    public var functions: [Function]?
    /// What the provider can do, told with a snapshot; nil from those that do not tell.
    public var capabilities: ProviderCapabilities?
    /// Why the teller hears nothing of the functions itself, with a heartbeat; nil while it hears of them.
    public var fault: FaultBody?

    /// Makes a line.
    public init(
        kind: Kind,
        functions: [Function]? = nil,
        capabilities: ProviderCapabilities? = nil,
        fault: FaultBody? = nil
    ) {
        self.kind = kind
        self.functions = functions
        self.capabilities = capabilities
        self.fault = fault
    }
}
