// SPDX-License-Identifier: Apache-2.0

/// What the replicas of a function run and how, as its deployment says it.
///
/// What is absent is nil and not a default: an image's own variables, or the provider, may say it.
public struct RunSpec: Sendable, Equatable {
    /// The image: `host`, or the name of a bundle, or a container image.
    public var image: String
    /// The command, split at single spaces (contract §15.2); empty means the image's own.
    public var command: [String]
    /// The function's variables.
    public var environment: [String: String]
    /// Names of secrets, mounted as files.
    public var secrets: [String]
    /// The most that one replica may use.
    public var limits: ResourceAmounts
    /// What one replica needs.
    public var requests: ResourceAmounts
    /// Placement rules, for providers that know them.
    public var constraints: [String]
    /// Whether the root file system is read-only.
    public var readOnlyRoot: Bool
    /// How it is found out that a replica is ready.
    public var readiness: ProbeSpec?
    /// How a ready replica is watched.
    public var liveness: ProbeSpec?
    /// The variable `mode`: how calls reach the code; images know words of their own.
    public var mode: String?
    /// The variable `upstream_url`, literal or with `$PORT`.
    public var upstreamURL: String?
    /// The variable `exec_timeout`; zero means no limit.
    public var execTimeout: Duration?
    /// The variable `grace_period`: the time between SIGTERM and SIGKILL.
    public var gracePeriod: Duration?
    /// How long a replica may take to become ready, more than zero.
    public var startTimeout: Duration?
    /// The variable `content_type`: the type of what a process per call prints.
    public var contentType: String?
    /// The variable `log_buffer_size`: the longest line of a log in bytes; −1 means as long as can be kept.
    public var logLineLimit: Int?
    /// The port on which it listens in a container, 1 to 65535.
    public var port: Int?
    /// When its container image is pulled.
    public var pullPolicy: PullPolicy?
}

/// When a container image is pulled: the annotation `com.martlet.image.pull`.
public enum PullPolicy: String, Sendable, CaseIterable {
    /// At each deployment: what its name stands for in the registry is what runs.
    case always = "Always"
    /// When the engine has none of this name.
    case ifNotPresent = "IfNotPresent"
    /// Never: the engine has it, or the deployment fails.
    case never = "Never"
}

/// Amounts of what a replica uses; nil and absent mean that nothing is said.
public struct ResourceAmounts: Sendable, Equatable {
    /// Bytes of memory.
    public var memoryBytes: Int?
    /// Thousandths of a core.
    public var milliCPU: Int?
    /// Processes and threads.
    public var processes: Int?
    /// Numbers of graphics processors, by the key of their maker (`FunctionResources.gpuKeys`).
    public var gpus: [String: Int]

    /// Makes amounts.
    public init(memoryBytes: Int? = nil, milliCPU: Int? = nil, processes: Int? = nil, gpus: [String: Int] = [:]) {
        self.memoryBytes = memoryBytes
        self.milliCPU = milliCPU
        self.processes = processes
        self.gpus = gpus
    }
}

/// How to find out whether a replica is ready, or still answers (contract §14.2).
public struct ProbeSpec: Sendable, Equatable {
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
    /// Whether an answer of any status but 503 is a success, and not one of 2xx alone.
    public var acceptsAnyStatus = false

    /// The probe of a path, or of a port that only has to accept.
    public init(path: String? = nil) { self.path = path.map { $0.hasPrefix("/") ? $0 : "/" + $0 } }
}
