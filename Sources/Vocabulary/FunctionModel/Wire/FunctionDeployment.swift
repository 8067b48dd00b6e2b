// SPDX-License-Identifier: Apache-2.0

/// What a user wants to run: the body of create and update (contract §8.1).
///
/// Unknown members are ignored.
public struct FunctionDeployment: Sendable, Codable, Equatable {
    /// The function's name.
    public var service: String
    /// The image: `host`, or the name of a bundle in the local store, or a container image.
    public var image: String
    /// The namespace; nil or empty means the default one.
    public var namespace: String?
    /// The command of the function; becomes the variable `fprocess`.
    public var envProcess: String?
    /// The function's environment.
    public var envVars: [String: String]?
    /// Placement rules, for providers that know them.
    public var constraints: [String]?
    /// Names of secrets, mounted as files.
    public var secrets: [String]?
    /// Labels (contract §14.1).
    public var labels: [String: String]?
    /// Annotations (contract §14.2).
    public var annotations: [String: String]?
    /// Most that one replica may use.
    public var limits: FunctionResources?
    /// What one replica needs.
    public var requests: FunctionResources?
    /// Whether the function's root file system is read-only.
    public var readOnlyRootFilesystem: Bool?

    /// Makes a deployment.
    public init(
        service: String,
        image: String,
        namespace: String? = nil,
        envProcess: String? = nil,
        envVars: [String: String]? = nil,
        constraints: [String]? = nil,
        secrets: [String]? = nil,
        labels: [String: String]? = nil,
        annotations: [String: String]? = nil,
        limits: FunctionResources? = nil,
        requests: FunctionResources? = nil,
        readOnlyRootFilesystem: Bool? = nil
    ) {
        self.service = service
        self.image = image
        self.namespace = namespace
        self.envProcess = envProcess
        self.envVars = envVars
        self.constraints = constraints
        self.secrets = secrets
        self.labels = labels
        self.annotations = annotations
        self.limits = limits
        self.requests = requests
        self.readOnlyRootFilesystem = readOnlyRootFilesystem
    }

    /// Whether it runs a program of the machine: the image `host`, with whatever tag a client gives every image.
    public var runsOnHost: Bool { image == "host" || image.hasPrefix("host:") }
}

/// Amounts of resources as Kubernetes quantities (contract §8.1).
public struct FunctionResources: Sendable, Equatable {
    /// Memory, as `128Mi`.
    public var memory: String?
    /// CPU, as `100m`.
    public var cpu: String?
    /// Numbers of graphics processors, by `gpuKeys`.
    public var gpus: [String: String]

    /// The keys of graphics processors, one for each maker.
    public static let gpuKeys = ["amd.com/gpu", "intel.com/gpu", "nvidia.com/gpu"]

    /// Makes amounts.
    public init(memory: String? = nil, cpu: String? = nil, gpus: [String: String] = [:]) {
        self.memory = memory
        self.cpu = cpu
        self.gpus = gpus
    }
}

extension FunctionResources: Codable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }

        init?(intValue: Int) { nil }

        static let memory = Key(stringValue: "memory")
        static let cpu = Key(stringValue: "cpu")
    }

    /// Reads amounts; unknown members are ignored.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        memory = try container.decodeIfPresent(String.self, forKey: .memory)
        cpu = try container.decodeIfPresent(String.self, forKey: .cpu)
        gpus = [:]
        for key in Self.gpuKeys.map(Key.init(stringValue:)) {
            gpus[key.stringValue] = try container.decodeIfPresent(String.self, forKey: key)
        }
    }

    /// Writes amounts; what is not said is left out.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encodeIfPresent(memory, forKey: .memory)
        try container.encodeIfPresent(cpu, forKey: .cpu)
        for (key, number) in gpus { try container.encode(number, forKey: Key(stringValue: key)) }
    }
}
