// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import InvocationEngine
public import QueueContract

/// How calls are carried out.
public struct WorkerSettings: Sendable {
    /// When calls are tried again, unless their function says otherwise.
    public var retry: RetryPolicy
    /// When callbacks are tried again.
    public var callbackRetry: RetryPolicy
    /// Most calls of one function at a time, where the function itself has no limit.
    public var concurrency: Int
    /// How long a call stays a worker's without a sign of life of it.
    public var lease: Duration
    /// Most bytes of an answer's body that are kept.
    public var answerLimit: Int
    /// The same for answers that a callback takes on.
    public var callbackAnswerLimit: Int
    /// The default namespace, which callbacks leave out of a function's name unless its call named it.
    public var defaultNamespace: String
    /// Hosts, with their ports where they have one, whose callbacks need no network.
    public var ownHosts: Set<String>
    /// The proxies that the environment names.
    public var proxies: ProxyRules
    /// What `User-Agent` says to receivers of callbacks.
    public var userAgent: String

    /// Makes settings; the defaults are those of the documentation.
    public init(
        retry: RetryPolicy = RetryPolicy(),
        callbackRetry: RetryPolicy = RetryPolicy(backoff: .equal),
        concurrency: Int = 100,
        lease: Duration = .seconds(60),
        answerLimit: Int = 1_048_576,
        callbackAnswerLimit: Int = 16 * 1_048_576,
        defaultNamespace: String,
        ownHosts: Set<String> = ["gateway", "gateway.openfaas", "gateway.openfaas.svc.cluster.local"],
        proxies: ProxyRules = ProxyRules(),
        userAgent: String
    ) {
        self.retry = retry
        self.callbackRetry = callbackRetry
        self.concurrency = concurrency
        self.lease = lease
        self.answerLimit = answerLimit
        self.callbackAnswerLimit = callbackAnswerLimit
        self.defaultNamespace = defaultNamespace
        self.ownHosts = ownHosts
        self.proxies = proxies
        self.userAgent = userAgent
    }
}

/// What a worker has to know of a function.
public struct WorkerLimits: Sendable {
    /// Calls that all its replicas together take at a time; nil means no limit.
    public var slots: Int?
    /// How its calls are tried again, where it differs from the settings.
    public var retry: CallPolicy.Retry
    /// Whether the function is known; false where it may exist, and nobody has told of it yet.
    public var isKnown: Bool

    /// Describes a function.
    public init(slots: Int?, retry: CallPolicy.Retry = CallPolicy.Retry(), isKnown: Bool = true) {
        self.slots = slots
        self.retry = retry
        self.isKnown = isKnown
    }
}

extension RetryPolicy {
    /// The policy of a function.
    func changed(by retry: CallPolicy.Retry) -> RetryPolicy {
        var policy = self
        if let attempts = retry.attempts { policy.attempts = attempts }
        if let codes = retry.codes { policy.codes = Set(codes) }
        if let wait = retry.firstWait { policy.firstWait = wait }
        if let wait = retry.longestWait { policy.longestWait = wait }
        return policy
    }
}

/// Carries out one call, as `FrontDoor.call` does.
public typealias FunctionCall =
    @Sendable (DirectRequest, _ done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall
