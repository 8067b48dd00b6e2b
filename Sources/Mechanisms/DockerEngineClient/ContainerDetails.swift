// SPDX-License-Identifier: Apache-2.0

/// What an engine tells of one container.
public struct ContainerDetails: Sendable, Decodable {
    /// Its id.
    public let id: String
    /// Where it is in its life.
    public let state: State
    /// Its networks, by name.
    public var networks: [String: Network] { settings.networks ?? [:] }
    /// Where its ports are published; what is told of a container that does not run is out of date.
    public var ports: [String: [PublishedPort]] { (settings.ports ?? [:]).compactMapValues { $0 } }

    private let settings: Settings

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case state = "State"
        case settings = "NetworkSettings"
    }

    /// Where a container is in its life.
    public struct State: Sendable, Decodable {
        /// As `created`, `running`, `paused` or `exited`.
        public let status: String
        /// Whether its first process lives.
        public let running: Bool
        /// Whether it ran out of memory; stays so when it is started again.
        public let oomKilled: Bool
        /// The status of its first process, 0 as long as it lives.
        public let exitCode: Int
        /// When it was started last.
        public let startedAt: String

        private enum CodingKeys: String, CodingKey {
            case status = "Status"
            case running = "Running"
            case oomKilled = "OOMKilled"
            case exitCode = "ExitCode"
            case startedAt = "StartedAt"
        }
    }

    /// Its place in a network.
    public struct Network: Sendable, Decodable {
        /// Its address; empty where it has none.
        public let ipAddress: String
        /// The address of the network's bridge.
        public let gateway: String

        private enum CodingKeys: String, CodingKey {
            case ipAddress = "IPAddress"
            case gateway = "Gateway"
        }
    }

    private struct Settings: Decodable, Sendable {
        let networks: [String: Network]?
        let ports: [String: [PublishedPort]?]?

        private enum CodingKeys: String, CodingKey {
            case networks = "Networks"
            case ports = "Ports"
        }
    }
}

/// Where a port of a container is published.
public struct PublishedPort: Sendable, Decodable, Equatable {
    /// The address of the engine's machine.
    public let hostIP: String
    /// The port there; 0 where it is no number.
    public let hostPort: Int

    private enum CodingKeys: String, CodingKey {
        case hostIP = "HostIp"
        case hostPort = "HostPort"
    }

    /// Reads one.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        hostIP = try container.decode(String.self, forKey: .hostIP)
        hostPort = Int(try container.decode(String.self, forKey: .hostPort)) ?? 0
    }
}

/// What a list says of a container.
public struct ContainerSummary: Sendable, Decodable {
    /// Its id.
    public let id: String
    /// Its name, without the slash before it.
    public var name: String { (names.first ?? "").drop { $0 == "/" }.description }
    /// As `created`, `running`, `paused` or `exited`.
    public let state: String
    /// Its labels.
    public let labels: [String: String]

    private let names: [String]

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case names = "Names"
        case state = "State"
        case labels = "Labels"
    }

    /// Reads one.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        names = try container.decodeIfPresent([String].self, forKey: .names) ?? []
        state = try container.decode(String.self, forKey: .state)
        labels = try container.decodeIfPresent([String: String].self, forKey: .labels) ?? [:]
    }
}

/// A container that was made.
public struct ContainerCreated: Sendable, Decodable {
    /// Its id.
    public let id: String
    /// What the engine has to say about it.
    public let warnings: [String]

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case warnings = "Warnings"
    }

    /// Reads what the engine answered.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        warnings = try container.decodeIfPresent([String].self, forKey: .warnings) ?? []
    }
}

/// What an engine tells of an image.
public struct ImageDetails: Sendable, Decodable {
    /// `sha256:…`; the same for ever.
    public let id: String
    /// As `amd64`.
    public let architecture: String
    /// Its variables, `NAME=VALUE` each.
    public var environment: [String] { config?.environment ?? [] }

    private let config: Config?

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case architecture = "Architecture"
        case config = "Config"
    }

    private struct Config: Decodable, Sendable {
        let environment: [String]?

        private enum CodingKeys: String, CodingKey { case environment = "Env" }
    }
}

/// What an engine tells of its machine.
public struct EngineInfo: Sendable, Decodable {
    /// Cores.
    public let cpus: Int
    /// Whether limits of memory are enforced.
    public let memoryLimit: Bool
    /// Whether limits of CPU are.
    public let cpuQuota: Bool
    /// Whether limits of processes are.
    public let pidsLimit: Bool
    /// Of control groups: `1` or `2`.
    public let cgroupVersion: String

    private enum CodingKeys: String, CodingKey {
        case cpus = "NCPU"
        case memoryLimit = "MemoryLimit"
        case cpuQuota = "CpuCfsQuota"
        case pidsLimit = "PidsLimit"
        case cgroupVersion = "CgroupVersion"
    }

    /// Reads what the engine answered; what it does not tell is not enforced.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func has(_ key: CodingKeys) throws -> Bool { try container.decodeIfPresent(Bool.self, forKey: key) ?? false }
        cpus = try container.decode(Int.self, forKey: .cpus)
        memoryLimit = try has(.memoryLimit)
        cpuQuota = try has(.cpuQuota)
        pidsLimit = try has(.pidsLimit)
        cgroupVersion = try container.decodeIfPresent(String.self, forKey: .cgroupVersion) ?? "1"
    }
}

/// What an engine tells as it happens.
public struct EngineEvent: Sendable, Decodable {
    /// Of what: `container`.
    public let type: String
    /// As `start`, `oom`, `die` or `destroy`.
    public let action: String
    /// To whom it happened.
    public let actor: Actor
    /// When, in nanoseconds since 1970.
    public let timeNano: Int

    private enum CodingKeys: String, CodingKey {
        case type = "Type"
        case action = "Action"
        case actor = "Actor"
        case timeNano
    }

    /// To whom something happened.
    public struct Actor: Sendable, Decodable {
        /// Its id.
        public let id: String
        /// Its labels and what belongs to the action, as `exitCode`.
        public let attributes: [String: String]

        private enum CodingKeys: String, CodingKey {
            case id = "ID"
            case attributes = "Attributes"
        }
    }
}

/// What a container used at a moment.
public struct ContainerSample: Sendable, Decodable {
    /// CPU since its start, in nanoseconds.
    public var cpuNanoseconds: UInt64 { cpu?.usage?.total ?? 0 }
    /// Bytes of memory without what could be dropped at once; nil of a container that does not run.
    public var memoryBytes: UInt64? {
        guard let memory, let usage = memory.usage else { return nil }
        let inactive = memory.stats?["total_inactive_file"] ?? memory.stats?["inactive_file"] ?? 0
        return usage - min(usage, inactive)
    }

    private let cpu: CPU?
    private let memory: Memory?

    private enum CodingKeys: String, CodingKey {
        case cpu = "cpu_stats"
        case memory = "memory_stats"
    }

    private struct CPU: Decodable, Sendable {
        let usage: Usage?

        private enum CodingKeys: String, CodingKey { case usage = "cpu_usage" }
    }

    private struct Usage: Decodable, Sendable {
        let total: UInt64?

        private enum CodingKeys: String, CodingKey { case total = "total_usage" }
    }

    private struct Memory: Decodable, Sendable {
        let usage: UInt64?
        let stats: [String: UInt64]?
    }
}

/// What an engine tells of a network.
public struct NetworkDetails: Sendable, Decodable {
    /// What the interface of its bridge is called on the engine's machine; nil where it has none.
    public var bridge: String? { options?["com.docker.network.bridge.name"] }

    private let options: [String: String]?

    private enum CodingKeys: String, CodingKey { case options = "Options" }
}
