// SPDX-License-Identifier: Apache-2.0

/// How calls of a function are dealt with: all that a router needs to know of its deployment.
public struct CallPolicy: Sendable, Equatable {
    /// The longest that one call may take; nil means that no limit is known.
    public var deadline: Duration?
    /// Calls that one replica takes at a time, at least 1; nil means no limit.
    public var maxInFlight: Int?
    /// Calls that may wait while all replicas are full, 0 or more.
    public var queueDepth: Int
    /// Whether a request's body is read whole before the function gets it.
    public var buffersRequestBody: Bool
    /// How asynchronous calls are tried again, where it differs from the platform's settings.
    public var retry: Retry
    /// Who may call it.
    public var access: AccessMode
    /// The methods that it may be called with, in capital letters; nil means any, an empty list that nobody may call it.
    public var methods: [String]?

    /// `queueDepth` where nothing is said of it.
    public static let usualQueueDepth = 100

    /// The annotations `com.openfaas.retry.*` (contract §7.4); nil means as the platform's settings have it.
    public struct Retry: Sendable, Equatable {
        /// Most attempts in all, at least 1.
        public var attempts: Int?
        /// Statuses that are tried again.
        public var codes: [Int]?
        /// The wait behind the first attempt.
        public var firstWait: Duration?
        /// The longest wait.
        public var longestWait: Duration?

        /// As the platform's settings have it, but for what is given.
        public init(
            attempts: Int? = nil,
            codes: [Int]? = nil,
            firstWait: Duration? = nil,
            longestWait: Duration? = nil
        ) {
            self.attempts = attempts
            self.codes = codes
            self.firstWait = firstWait
            self.longestWait = longestWait
        }
    }

    /// Makes a policy; the defaults are those of a deployment that says nothing.
    public init(
        deadline: Duration? = nil,
        maxInFlight: Int? = nil,
        queueDepth: Int = CallPolicy.usualQueueDepth,
        buffersRequestBody: Bool = false,
        retry: Retry = Retry(),
        access: AccessMode = .public,
        methods: [String]? = nil
    ) {
        self.deadline = deadline
        self.maxInFlight = maxInFlight
        self.queueDepth = queueDepth
        self.buffersRequestBody = buffersRequestBody
        self.retry = retry
        self.access = access
        self.methods = methods
    }
}
