// SPDX-License-Identifier: Apache-2.0

import NIOCore
public import ProviderContract

/// Limits of the front door and of calls.
public struct EngineSettings: Sendable {
    /// What it stands in front of.
    public var profile: EngineProfile
    /// The gateway's limit of one synchronous call; nil means none (contract §22, `upstream_timeout`).
    public var upstreamTimeout: Duration?
    /// Most that a client may take for a request's head, from its first byte on.
    public var headTimeout: Duration
    /// Most that a client may pause within a body (contract §22, `read_timeout`).
    public var readTimeout: Duration
    /// Most that a client may pause in reading an answer (contract §22, `write_timeout`).
    public var writeTimeout: Duration
    /// Most that a kept connection waits for its next request.
    public var keepAliveTimeout: Duration
    /// How long a client that has connected and not asked yet is waited for when the door drains.
    public var newcomerTimeout: Duration
    /// Most silence of an event stream or an upgraded connection.
    public var streamIdleTimeout: Duration
    /// Most that connecting to a replica may take.
    public var connectTimeout: Duration
    /// Longest head of a request and of an answer, in bytes; each field counts 32 more.
    public var headLimit: Int
    /// Most bytes of a request's body; nil means no limit.
    public var bodyLimit: Int?
    /// Most bytes of memory that all bodies take which are held until they are whole.
    public var bodyMemory: Int
    /// Most bytes that such bodies take on disk where there is no memory for them.
    public var bodyDisk: Int
    /// The folder of those; nil means none.
    public var bodyFolder: String?
    /// Most calls of one function that wait for its first replica.
    public var waitingLimit: Int
    /// What `X-Served-By` says, as `martlet/1.0.0`.
    public var servedBy: String

    /// The ways to carry calls out.
    public var origins: OriginFactories
    /// Whether an `Authorization` is a login for this hop alone, which no function is to hear of; nil where none is.
    ///
    /// Asked on event loops, so it must not block.
    public var isOwnLogin: (@Sendable (String) -> Bool)?
    /// Accepts asynchronous calls; nil where none are.
    public var intake: (any CallIntake)?
    /// Hears of calls that have ended; nil costs nothing.
    public var accessLog: (any AccessLog)?
    /// What a function's calls have to pass, made of its route whenever that changes; nil lets all of them in.
    ///
    /// By default it is what the function's deployment asks for.
    public var admission: @Sendable (FunctionRoute) -> (any AdmissionHook)?
    /// Answers for a watchdog's health; asked on event loops, so it must not block.
    public var health: (@Sendable (HealthQuestion) -> HealthAnswer)?

    /// Makes settings; the defaults are those of the documentation.
    public init(
        profile: EngineProfile = .gateway,
        upstreamTimeout: Duration? = .seconds(60),
        headTimeout: Duration = .seconds(10),
        readTimeout: Duration = .seconds(60),
        writeTimeout: Duration = .seconds(60),
        keepAliveTimeout: Duration = .seconds(75),
        newcomerTimeout: Duration = .milliseconds(500),
        streamIdleTimeout: Duration = .seconds(300),
        connectTimeout: Duration = .seconds(5),
        headLimit: Int = 65_536,
        bodyLimit: Int? = nil,
        bodyMemory: Int = 67_108_864,
        bodyDisk: Int = 1_073_741_824,
        bodyFolder: String? = nil,
        waitingLimit: Int = 10_000,
        servedBy: String,
        origins: OriginFactories = OriginFactories(),
        isOwnLogin: (@Sendable (String) -> Bool)? = nil,
        intake: (any CallIntake)? = nil,
        accessLog: (any AccessLog)? = nil,
        admission: @escaping @Sendable (FunctionRoute) -> (any AdmissionHook)? = { PolicyHook($0.policy) },
        health: (@Sendable (HealthQuestion) -> HealthAnswer)? = nil
    ) {
        self.profile = profile
        self.upstreamTimeout = upstreamTimeout
        self.headTimeout = headTimeout
        self.readTimeout = readTimeout
        self.writeTimeout = writeTimeout
        self.keepAliveTimeout = keepAliveTimeout
        self.newcomerTimeout = newcomerTimeout
        self.streamIdleTimeout = streamIdleTimeout
        self.connectTimeout = connectTimeout
        self.headLimit = headLimit
        self.bodyLimit = bodyLimit
        self.bodyMemory = bodyMemory
        self.bodyDisk = bodyDisk
        self.bodyFolder = bodyFolder
        self.waitingLimit = waitingLimit
        self.servedBy = servedBy
        self.origins = origins
        self.isOwnLogin = isOwnLogin
        self.intake = intake
        self.accessLog = accessLog
        self.admission = admission
        self.health = health
    }
}

extension EngineLimits {
    /// The limits of the settings, converted once.
    init(_ settings: EngineSettings) {
        let read = TimeAmount(settings.readTimeout)
        let write = TimeAmount(settings.writeTimeout)
        self.init(
            // Nobody may pause for longer in a head than elsewhere.
            head: min(TimeAmount(settings.headTimeout), read),
            read: read,
            write: write,
            stall: min(read, write),
            keepAlive: TimeAmount(settings.keepAliveTimeout),
            newcomer: TimeAmount(settings.newcomerTimeout),
            streamIdle: TimeAmount(settings.streamIdleTimeout),
            connect: TimeAmount(settings.connectTimeout),
            upstream: settings.upstreamTimeout.map { TimeAmount($0) },
            headBytes: settings.headLimit,
            bodyBytes: settings.bodyLimit,
            waiting: settings.waitingLimit
        )
    }
}
