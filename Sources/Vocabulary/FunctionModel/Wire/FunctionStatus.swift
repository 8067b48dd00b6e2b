// SPDX-License-Identifier: Apache-2.0

/// What runs: an item of the list and the answer of status (contract §8.2, martlet-api "Status").
public struct FunctionStatus: Sendable, Codable, Equatable {
    /// The function's name.
    public var name: String
    /// The image as deployed.
    public var image: String
    /// The namespace.
    public var namespace: String
    /// The command as deployed.
    public var envProcess: String?
    /// The environment as deployed.
    public var envVars: [String: String]?
    /// Placement rules as deployed.
    public var constraints: [String]?
    /// Names of secrets.
    public var secrets: [String]?
    /// Labels as deployed, and one with the function's name.
    public var labels: [String: String]?
    /// Annotations as deployed.
    public var annotations: [String: String]?
    /// Limits as deployed.
    public var limits: FunctionResources?
    /// Requests as deployed.
    public var requests: FunctionResources?
    /// As deployed.
    public var readOnlyRootFilesystem: Bool?
    /// Finished invocations; filled in by the gateway, left out when 0.
    public var invocationCount: Double = 0
    /// The same as a whole number, for people, whatever a server says.
    public var invocations: Int { max(0, Int(clamping: invocationCount.rounded())) }
    /// The desired number of replicas; left out when 0.
    public var replicas: Int = 0
    /// The number of ready replicas; left out when 0.
    public var availableReplicas: Int = 0
    /// When the function was first created.
    public var createdAt: Timestamp
    /// Use of CPU and memory, only when asked for.
    public var usage: FunctionUsage?
    /// What only Martlet says.
    public var martlet: MartletStatus?

    /// A status that shows a deployment and nothing running yet.
    public init(_ deployment: FunctionDeployment, namespace: String, createdAt: Timestamp) {
        name = deployment.service
        image = deployment.image
        self.namespace = namespace
        envProcess = deployment.envProcess
        envVars = deployment.envVars
        constraints = deployment.constraints
        secrets = deployment.secrets
        labels = deployment.asWritten.labels
        annotations = deployment.annotations
        limits = deployment.limits
        requests = deployment.requests
        readOnlyRootFilesystem = deployment.readOnlyRootFilesystem
        self.createdAt = createdAt
        addNameLabel()
    }

    /// The function's full name.
    public var id: FunctionID { FunctionID(name: name, namespace: namespace) }

    private enum CodingKeys: String, CodingKey {
        case name, image, namespace, envProcess, envVars, constraints, secrets, labels, annotations, limits, requests
        case readOnlyRootFilesystem, invocationCount, replicas, availableReplicas, createdAt, usage, martlet
    }

    /// Reads a status of any OpenFaaS provider: what may be left out may be missing.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        image = try container.decodeIfPresent(String.self, forKey: .image) ?? ""
        namespace = try container.decodeIfPresent(String.self, forKey: .namespace) ?? ""
        envProcess = try container.decodeIfPresent(String.self, forKey: .envProcess)
        envVars = try container.decodeIfPresent([String: String].self, forKey: .envVars)
        constraints = try container.decodeIfPresent([String].self, forKey: .constraints)
        secrets = try container.decodeIfPresent([String].self, forKey: .secrets)
        labels = try container.decodeIfPresent([String: String].self, forKey: .labels)
        annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations)
        limits = try container.decodeIfPresent(FunctionResources.self, forKey: .limits)
        requests = try container.decodeIfPresent(FunctionResources.self, forKey: .requests)
        readOnlyRootFilesystem = try container.decodeIfPresent(Bool.self, forKey: .readOnlyRootFilesystem)
        invocationCount = try container.decodeIfPresent(Double.self, forKey: .invocationCount) ?? 0
        replicas = try container.decodeIfPresent(Int.self, forKey: .replicas) ?? 0
        availableReplicas = try container.decodeIfPresent(Int.self, forKey: .availableReplicas) ?? 0
        let never = Timestamp(nanosecondsSinceEpoch: 0)
        createdAt = (try? container.decodeIfPresent(Timestamp.self, forKey: .createdAt)) ?? never
        usage = try container.decodeIfPresent(FunctionUsage.self, forKey: .usage)
        martlet = try container.decodeIfPresent(MartletStatus.self, forKey: .martlet)
    }

    /// Writes the status; counts of 0 are left out, as OpenFaaS does.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(image, forKey: .image)
        try container.encode(namespace, forKey: .namespace)
        try container.encodeIfPresent(envProcess, forKey: .envProcess)
        try container.encodeIfPresent(envVars, forKey: .envVars)
        try container.encodeIfPresent(constraints, forKey: .constraints)
        try container.encodeIfPresent(secrets, forKey: .secrets)
        try container.encodeIfPresent(labels, forKey: .labels)
        try container.encodeIfPresent(annotations, forKey: .annotations)
        try container.encodeIfPresent(limits, forKey: .limits)
        try container.encodeIfPresent(requests, forKey: .requests)
        try container.encodeIfPresent(readOnlyRootFilesystem, forKey: .readOnlyRootFilesystem)
        if invocationCount > 0 { try container.encode(invocationCount, forKey: .invocationCount) }
        if replicas > 0 { try container.encode(replicas, forKey: .replicas) }
        if availableReplicas > 0 { try container.encode(availableReplicas, forKey: .availableReplicas) }
        try container.encode(createdAt, forKey: .createdAt)
        try container.encodeIfPresent(usage, forKey: .usage)
        try container.encodeIfPresent(martlet, forKey: .martlet)
    }
}

/// Use of CPU and memory, summed over a function's replicas (contract §8.2).
public struct FunctionUsage: Sendable, Codable, Equatable {
    /// Thousandths of a core, over the last interval of measuring.
    public var cpu: Double
    /// Bytes of memory.
    public var totalMemoryBytes: Double
    /// Seconds of CPU that the function has used since the provider started, ended replicas included; nil from providers
    /// that do not tell.
    public var cpuSecondsTotal: Double?

    /// Makes a reading.
    public init(cpu: Double, totalMemoryBytes: Double, cpuSecondsTotal: Double? = nil) {
        self.cpu = cpu
        self.totalMemoryBytes = totalMemoryBytes
        self.cpuSecondsTotal = cpuSecondsTotal
    }
}

/// Where a function is in its life.
///
/// Open: what a newer or another provider says is kept as its word, shown and passed on.
public struct FunctionState: RawRepresentable, Sendable, Hashable, Codable {
    /// The word on the wire.
    public let rawValue: String

    /// A state by its word, known here or not.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// All desired replicas are ready.
    public static let ready = FunctionState(rawValue: "ready")
    /// Replicas are being started and none failed.
    public static let starting = FunctionState(rawValue: "starting")
    /// No replica is desired; the next call starts one.
    public static let idle = FunctionState(rawValue: "idle")
    /// A new revision is being brought up while the old one serves.
    public static let updating = FunctionState(rawValue: "updating")
    /// Replicas of the newest revision do not become or stay ready; the reason says why.
    public static let failing = FunctionState(rawValue: "failing")
    /// The function is being removed.
    public static let deleting = FunctionState(rawValue: "deleting")
}

/// What Martlet says of a function beyond OpenFaaS (martlet-api "Status").
public struct MartletStatus: Sendable, Codable, Equatable {
    /// Where a function is in its life.
    public typealias State = FunctionState

    /// The number of the newest revision, from 1.
    public var revision: Int
    /// The revision that answers calls; 0 when none was ever ready.
    public var readyRevision: Int
    /// Where the function is in its life.
    public var state: State
    /// Why the function is in this state, as a sentence; empty when there is nothing to say.
    public var reason: String
    /// Since when it is in this state.
    public var since: Timestamp
    /// Whether the limits of the deployment are enforced by the system.
    public var limitsEnforced: Bool

    /// Makes a status.
    public init(
        revision: Int,
        readyRevision: Int,
        state: State,
        reason: String,
        since: Timestamp,
        limitsEnforced: Bool
    ) {
        self.revision = revision
        self.readyRevision = readyRevision
        self.state = state
        self.reason = reason
        self.since = since
        self.limitsEnforced = limitsEnforced
    }
}
