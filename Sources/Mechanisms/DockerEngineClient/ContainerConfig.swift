// SPDX-License-Identifier: Apache-2.0

/// What a container is to be made with, as the engine names it.
public struct ContainerConfig: Sendable, Encodable, Equatable {
    /// A name, or an id.
    public var image: String
    /// `NAME=VALUE` each.
    public var environment: [String] = []
    /// Its labels.
    public var labels: [String: String] = [:]
    /// As `8080/tcp`; a port can be published only where it is among these.
    public var exposedPorts: [String] = []
    /// Seconds from SIGTERM to SIGKILL.
    public var stopTimeout: Int?
    /// What the engine asks it by; `["NONE"]` for nothing.
    public var healthcheck: [String]?
    /// Its place on the engine's machine.
    public var host = HostConfig()

    /// Makes one that has nothing but its image's own.
    public init(image: String) { self.image = image }

    private enum CodingKeys: String, CodingKey {
        case image = "Image"
        case environment = "Env"
        case labels = "Labels"
        case exposedPorts = "ExposedPorts"
        case stopTimeout = "StopTimeout"
        case healthcheck = "Healthcheck"
        case host = "HostConfig"
    }

    /// Writes what the engine is sent.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(image, forKey: .image)
        try container.encode(environment, forKey: .environment)
        try container.encode(labels, forKey: .labels)
        let ports = Dictionary(exposedPorts.map { ($0, [String: String]()) }, uniquingKeysWith: { $1 })
        try container.encode(ports, forKey: .exposedPorts)
        try container.encodeIfPresent(stopTimeout, forKey: .stopTimeout)
        try container.encodeIfPresent(healthcheck.map { ["Test": $0] }, forKey: .healthcheck)
        try container.encode(host, forKey: .host)
    }
}

/// How a container lives on the engine's machine.
public struct HostConfig: Sendable, Encodable, Equatable {
    /// Whether a small init is its first process.
    public var initProcess: Bool?
    /// Bytes of memory, and of memory with swap.
    public var memory: Int?
    /// The sum of memory and swap.
    public var memorySwap: Int?
    /// Bytes that it is to have where memory is short.
    public var memoryReservation: Int?
    /// Thousand-millionths of a core.
    public var nanoCPUs: Int?
    /// Its weight where cores are short; 1024 is usual.
    public var cpuShares: Int?
    /// Most processes and threads.
    public var pidsLimit: Int?
    /// Whether its root is read-only.
    public var readonlyRootfs: Bool?
    /// Options of file systems in memory, by path.
    public var tmpfs: [String: String]?
    /// Capabilities that it does not have.
    public var capDrop: [String]?
    /// As `no-new-privileges`.
    public var securityOptions: [String]?
    /// What the engine does when it has ended.
    public var restartPolicy = RestartPolicy.no
    /// Where ports of it are published.
    public var portBindings: [String: [PortBinding]]?
    /// `NAME:ADDRESS` each.
    public var extraHosts: [String]?
    /// What it has of the engine's machine.
    public var mounts: [Mount]?
    /// Where what it prints is kept.
    public var logConfig: LogConfig?
    /// Devices that it is handed.
    public var deviceRequests: [DeviceRequest]?

    /// Makes one that says nothing but that it is not restarted.
    public init() {}

    private enum CodingKeys: String, CodingKey {
        case initProcess = "Init"
        case memory = "Memory"
        case memorySwap = "MemorySwap"
        case memoryReservation = "MemoryReservation"
        case nanoCPUs = "NanoCpus"
        case cpuShares = "CpuShares"
        case pidsLimit = "PidsLimit"
        case readonlyRootfs = "ReadonlyRootfs"
        case tmpfs = "Tmpfs"
        case capDrop = "CapDrop"
        case securityOptions = "SecurityOpt"
        case restartPolicy = "RestartPolicy"
        case portBindings = "PortBindings"
        case extraHosts = "ExtraHosts"
        case mounts = "Mounts"
        case logConfig = "LogConfig"
        case deviceRequests = "DeviceRequests"
    }
}

/// What the engine does when a container has ended.
public struct RestartPolicy: Sendable, Encodable, Equatable {
    /// The engine's word.
    public let name: String

    /// Nothing.
    public static let no = RestartPolicy(name: "no")

    private enum CodingKeys: String, CodingKey { case name = "Name" }
}

/// Where a port is published.
public struct PortBinding: Sendable, Codable, Equatable {
    /// The address; empty for all.
    public let hostIP: String
    /// The port; empty for a free one.
    public let hostPort: String

    /// Names both.
    public init(hostIP: String, hostPort: String) { (self.hostIP, self.hostPort) = (hostIP, hostPort) }

    private enum CodingKeys: String, CodingKey {
        case hostIP = "HostIp"
        case hostPort = "HostPort"
    }
}

/// What a container has of the engine's machine.
public struct Mount: Sendable, Encodable, Equatable {
    /// As `bind`.
    public let type: String
    /// Its path there.
    public let source: String
    /// Its path in the container.
    public let target: String
    /// Whether the container may not write it.
    public let readOnly: Bool

    /// Describes one.
    public init(type: String, source: String, target: String, readOnly: Bool) {
        (self.type, self.source, self.target, self.readOnly) = (type, source, target, readOnly)
    }

    private enum CodingKeys: String, CodingKey {
        case type = "Type"
        case source = "Source"
        case target = "Target"
        case readOnly = "ReadOnly"
    }
}

/// Where what a container prints is kept.
public struct LogConfig: Sendable, Encodable, Equatable {
    /// As `json-file`.
    public let type: String
    /// The driver's options.
    public let options: [String: String]

    /// Describes one.
    public init(type: String, options: [String: String]) { (self.type, self.options) = (type, options) }

    private enum CodingKeys: String, CodingKey {
        case type = "Type"
        case options = "Config"
    }
}

/// Devices that a container is handed.
public struct DeviceRequest: Sendable, Encodable, Equatable {
    /// As `nvidia`.
    public let driver: String
    /// How many.
    public let count: Int
    /// What they can do: one of these lists.
    public let capabilities: [[String]]

    /// Describes some.
    public init(driver: String, count: Int, capabilities: [[String]]) {
        (self.driver, self.count, self.capabilities) = (driver, count, capabilities)
    }

    private enum CodingKeys: String, CodingKey {
        case driver = "Driver"
        case count = "Count"
        case capabilities = "Capabilities"
    }
}
