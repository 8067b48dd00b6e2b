// SPDX-License-Identifier: Apache-2.0

public import InvocationEngine
public import RuntimeSettings

/// How long calls may take, and how large they may be.
public struct LimitSettings: SettingsSection {
    /// Below which they stand in the file.
    public static let name: String? = "limits"

    /// Most that a client may take for a request's head.
    public let headerTimeout: Duration
    /// The longest pause of a client that sends.
    public let readTimeout: Duration
    /// The longest pause of a client that reads.
    public let writeTimeout: Duration
    /// Of one call; nil means no limit.
    public let upstreamTimeout: Duration?
    /// In bytes; each field counts 32 more.
    public let headLimit: Int
    /// In bytes; nil means no limit.
    public let bodyLimit: Int?
    /// In bytes, of all bodies that are held.
    public let bodyMemory: Int
    /// In bytes, of all bodies that are held.
    public let bodyDisk: Int
    /// Calls of one function.
    public let waitingLimit: Int
    /// How long calls may take to end when the program does.
    public let drainTimeout: Duration

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        headerTimeout = reader.duration(Self.headerTimeout)
        readTimeout = reader.duration(Self.readTimeout)
        writeTimeout = reader.duration(Self.writeTimeout)
        let upstream = reader.duration(Self.upstreamTimeout, allowsZero: true)
        upstreamTimeout = upstream == .zero ? nil : upstream
        headLimit = reader.number(Self.headLimit, in: 1024...16_777_216)
        let body = reader.number(Self.bodyLimit, in: 0...Int.max)
        bodyLimit = body == 0 ? nil : body
        bodyMemory = reader.number(Self.bodyMemory, in: 0...Int.max / 2)
        bodyDisk = reader.number(Self.bodyDisk, in: 0...Int.max / 2)
        waitingLimit = reader.number(Self.waitingLimit, in: 0...Int.max)
        drainTimeout = reader.duration(Self.drainTimeout, allowsZero: true)
    }

    /// What an engine is told of them.
    public func engine(servedBy name: String) -> EngineSettings {
        EngineSettings(
            upstreamTimeout: upstreamTimeout,
            headTimeout: headerTimeout,
            readTimeout: readTimeout,
            writeTimeout: writeTimeout,
            headLimit: headLimit,
            bodyLimit: bodyLimit,
            bodyMemory: bodyMemory,
            bodyDisk: bodyDisk,
            waitingLimit: waitingLimit,
            servedBy: name
        )
    }
}

/// The settings themselves.
extension LimitSettings {
    private static let headerTimeout = Setting(
        "header-timeout",
        also: ["header_timeout"],
        default: "10s",
        "Most that a client may take for a request's head, from its first byte on; at most the read-timeout."
    )
    private static let readTimeout = Setting(
        "read-timeout",
        also: ["read_timeout"],
        default: "60s",
        "Longest pause of a client that sends."
    )
    private static let writeTimeout = Setting(
        "write-timeout",
        also: ["write_timeout"],
        default: "60s",
        "Longest pause of a client that reads."
    )
    private static let upstreamTimeout = Setting(
        "upstream-timeout",
        also: ["upstream_timeout"],
        default: "60s",
        "The gateway's limit of one call; 0 means none."
    )
    private static let headLimit = Setting(
        "head-limit",
        default: "65536",
        "Longest head of a request or an answer, in bytes, to which each field adds 32; fields have no other limit."
    )
    private static let bodyLimit = Setting(
        "body-limit",
        default: "0",
        "Longest body of a call, in bytes; 0 means no limit."
    )
    private static let bodyMemory = Setting(
        "body-memory",
        default: "67108864",
        "Memory for all bodies that are read whole before anybody hears of them, in bytes; a quarter is kept for reading back."
    )
    private static let bodyDisk = Setting(
        "body-disk",
        default: "1073741824",
        "Most bytes that such bodies take on disk when that memory is used up; beyond it calls get 503."
    )
    private static let waitingLimit = Setting(
        "waiting-limit",
        default: "10000",
        "Most calls of one function that wait for its first replica; beyond it calls get 503."
    )
    private static let drainTimeout = Setting(
        "drain-timeout",
        default: "10s",
        "How long calls may take to end when Martlet stops.",
        flag: .value
    )
}
