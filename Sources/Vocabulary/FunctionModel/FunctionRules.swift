// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// The watchdog's rules for one function, read from its deployment (contract §14, §15.2).
public struct FunctionRules: Sendable, Equatable {
    /// How calls reach the function's code (contract §15.4).
    public enum Mode: String, Sendable, CaseIterable {
        /// A long-lived process that speaks HTTP.
        case http
        /// A process per call, standard output streamed as it comes.
        case streaming
        /// A process per call, answered when it has ended.
        case serializing

        /// Whether each call starts a process of its own.
        public var startsProcessPerCall: Bool { self != .http }
    }

    /// How to find out that a replica is ready; also used for liveness.
    public struct Probe: Sendable, Equatable {
        /// Path to GET; nil means that the port accepting is enough.
        public var path: String?
        /// Wait before the first probe.
        public var initialDelay: Duration = .zero
        /// Time between probes; nil means as often as the provider sees fit.
        public var period: Duration?
        /// Most that one probe may take.
        public var timeout: Duration = .seconds(1)
        /// Successes in a row that make a replica ready.
        public var successThreshold = 1
        /// Failures in a row that make it unready.
        public var failureThreshold = 3

        /// The probe of a port that only has to accept.
        public init(path: String? = nil) { self.path = path }
    }

    /// How calls reach the code.
    public var mode: Mode
    /// The command, split at single spaces (contract §15.2); empty when the bundle brings its own.
    public var command: [String]
    /// The literal or templated `upstream_url`, of `http` mode.
    public var upstreamURL: String?
    /// Limit of one call; nil means none (contract §15.2 `exec_timeout`, 30 s).
    public var execTimeout: Duration?
    /// Time between SIGTERM and SIGKILL.
    public var gracePeriod: Duration
    /// Calls that one replica takes at a time; nil means no limit.
    public var maxInFlight: Int?
    /// Calls that may wait for a slot (martlet-api "Concurrency").
    public var queueDepth: Int
    /// Content type of a forked process's output.
    public var contentType: String
    /// Whether the request body is read whole before the function gets it.
    public var buffersRequestBody: Bool
    /// How readiness is found out.
    public var readiness: Probe
    /// How a ready replica is watched; nil means by its process alone.
    public var liveness: Probe?
    /// `com.openfaas.scale.min`, at least 1.
    public var minReplicas: Int
    /// `com.openfaas.scale.max`.
    public var maxReplicas: Int
    /// `com.openfaas.scale.factor` in percent, 0 to 100; 0 turns scaling by alerts off.
    public var scaleFactor: Int
    /// Longest line of a log that is kept whole, in bytes; nil means no limit.
    public var logLineLimit: Int?

    /// How the number of replicas follows the load; nil for a function that the autoscaler leaves alone.
    public var scaling: ScalingRules?
    /// How asynchronous calls are tried again, where it differs from the platform's settings (contract §7.4).
    public var retry = CallPolicy.Retry()

    /// Makes rules from parts.
    public init(
        mode: Mode,
        command: [String],
        upstreamURL: String?,
        execTimeout: Duration?,
        gracePeriod: Duration,
        maxInFlight: Int?,
        queueDepth: Int,
        contentType: String,
        buffersRequestBody: Bool,
        readiness: Probe,
        liveness: Probe?,
        minReplicas: Int,
        maxReplicas: Int,
        scaleFactor: Int,
        logLineLimit: Int?
    ) {
        self.mode = mode
        self.command = command
        self.upstreamURL = upstreamURL
        self.execTimeout = execTimeout
        self.gracePeriod = gracePeriod
        self.maxInFlight = maxInFlight
        self.queueDepth = queueDepth
        self.contentType = contentType
        self.buffersRequestBody = buffersRequestBody
        self.readiness = readiness
        self.liveness = liveness
        self.minReplicas = minReplicas
        self.maxReplicas = maxReplicas
        self.scaleFactor = scaleFactor
        self.logLineLimit = logLineLimit
    }
}

extension FunctionRules {
    /// What a router needs of them.
    public var calls: CallPolicy {
        CallPolicy(
            deadline: execTimeout,
            maxInFlight: maxInFlight,
            queueDepth: queueDepth,
            buffersRequestBody: buffersRequestBody,
            retry: retry
        )
    }

    /// What decides on the number of replicas.
    public var scale: ScalingSpec {
        ScalingSpec(min: minReplicas, max: maxReplicas, factor: scaleFactor, rules: scaling)
    }

    /// Reads the rules of a deployment whose bundle or host process may bring defaults of its own.
    ///
    /// - Throws: `invalidValue` naming the variable, label or annotation that cannot be understood.
    public init(
        _ deployment: FunctionDeployment,
        bundleEnvironment: [String: String] = [:],
        bundleMode: String? = nil
    ) throws(PlatformFault) {
        let environment = bundleEnvironment.merging(deployment.envVars ?? [:]) { _, own in own }
        let reader = RuleReader(
            environment: environment.filter { !$0.value.isEmpty },
            labels: deployment.labels ?? [:],
            annotations: deployment.annotations ?? [:]
        )
        mode = try reader.mode(default: bundleMode)
        let line =
            deployment.envProcess.flatMap { $0.isEmpty ? nil : $0 } ?? environment["function_process"]
            ?? environment["fprocess"] ?? ""
        command = line.split(separator: " ").map(String.init)
        upstreamURL = reader.text("http_upstream_url") ?? reader.text("upstream_url")
        execTimeout = try reader.limit("exec_timeout", default: .seconds(30))
        gracePeriod = try reader.limit("grace_period", default: .seconds(10)) ?? .zero
        let inFlight = try reader.number("max_inflight", in: 0...Int(Int32.max)) ?? 0
        maxInFlight = inFlight == 0 ? nil : inFlight
        queueDepth = try reader.setting("com.martlet.queue.depth", in: 0...1_000_000) ?? CallPolicy.usualQueueDepth
        contentType = reader.text("content_type") ?? "application/octet-stream"
        buffersRequestBody = reader.flag("http_buffer_req_body") || reader.flag("buffer_http")
        readiness = try reader.probe("com.openfaas.ready.http") ?? Probe(path: reader.text("ready_path"))
        liveness = try reader.probe("com.openfaas.health.http")
        minReplicas = max(1, try reader.label("com.openfaas.scale.min", in: 0...Int(Int32.max)) ?? 1)
        maxReplicas = try reader.label("com.openfaas.scale.max", in: 1...Int(Int32.max)) ?? ScalingSpec.usualMaximum
        scaleFactor = try reader.label("com.openfaas.scale.factor", in: 0...100) ?? ScalingSpec.usualFactor
        scaling = try ScalingRules(labels: deployment.labels ?? [:], annotations: deployment.annotations ?? [:])
        retry = try reader.retry()
        let lineLimit = try reader.number("log_buffer_size", in: -1...Int(Int32.max)) ?? 65_536
        logLineLimit = lineLimit < 0 ? nil : lineLimit
        try checkScale()
        try checkResources(deployment)
    }

    private func checkScale() throws(PlatformFault) {
        guard minReplicas <= maxReplicas else {
            throw PlatformFault(
                .invalidValue,
                "com.openfaas.scale.min (\(minReplicas)) is above com.openfaas.scale.max (\(maxReplicas))."
            )
        }
    }

    private func checkResources(_ deployment: FunctionDeployment) throws(PlatformFault) {
        for (kind, amounts) in [("limits", deployment.limits), ("requests", deployment.requests)] {
            if let text = amounts?.memory, !text.isEmpty, Quantity.parseMemoryBytes(text) == nil {
                throw PlatformFault(
                    .invalidValue,
                    "\(kind).memory \"\(NameRule.printable(text))\" is not an amount of memory.",
                    hint: "Write it as 128Mi or 1Gi."
                )
            }
            if let text = amounts?.cpu, !text.isEmpty, Quantity.parseMilliCPU(text) == nil {
                throw PlatformFault(
                    .invalidValue,
                    "\(kind).cpu \"\(NameRule.printable(text))\" is not an amount of CPU.",
                    hint: "Write it as 100m or 0.5."
                )
            }
        }
    }
}
