// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GatewayService
import InvocationEngine
import Logging
import NIOCore
import NIOPosix
import ProcessControl
import ProcessProvider
import RuntimeSettings
import SystemAPI

/// The embedded platform: provider and gateway in one process.
struct Platform: Sendable {
    let limitsAreEnforced: Bool
    private let provider: LocalProcessProvider
    private let gateway: Gateway
    private let settings: PlatformSettings
    private let log: PlatformLog
    private let front: PlatformFront
    private let queue: PlatformQueue?
    private let signals = TerminationSignals()

    /// Opens the data directory and restores what was deployed.
    ///
    /// A provider alone, which is not the whole, leaves asynchronous calls and scaling to the gateway before it.
    init(_ settings: PlatformSettings, isWhole: Bool = true, log: PlatformLog) async throws(PlatformFault) {
        self.settings = settings
        ResourceBounds.prepare()
        self.log = log
        let logger = log.logger
        front = try PlatformFront(settings, signals: signals, log: log)
        let directory = try DataDirectory(path: settings.dataDirectory)
        let credentials: Credentials? =
            settings.requiresCredentials ? try CredentialFiles(folder: settings.credentialsFolder).readOrMake() : nil
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        provider = try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                dataDirectory: directory,
                defaultNamespace: settings.defaultNamespace,
                platformURL: "\(settings.tlsFiles == nil ? "http" : "https")://127.0.0.1:\(settings.port)",
                requiresLimits: settings.requiresLimits,
                version: Release.version
            ),
            logger: logger
        )
        limitsAreEnforced = provider.limitsAreEnforced
        queue =
            isWhole ? try PlatformQueue(settings, folder: directory.path, logger: logger) : nil
        gateway = Gateway(
            front.gateway(
                settings,
                directory: directory,
                credentials: credentials,
                isProvider: !isWhole,
                exportsUsage: true
            ),
            provider: provider,
            bundles: provider,
            counts: try log.counts(in: directory),
            asynchrony: queue?.asynchrony,
            scaling: settings.scaling(of: isWhole ? .whole : .part),
            group: group,
            logger: logger
        )
    }

    /// Why asynchronous calls cannot be accepted at the moment; nil when they can, or are switched off.
    var queueProblem: PlatformFault? { queue?.problem }

    /// Begins to listen, when the routing table knows all functions.
    func start() async throws -> Gateway.Addresses {
        let (known, continuation) = AsyncStream.makeStream(of: Void.self)
        let gateway = gateway
        // Lives as long as the process; the provider's end of the stream ends it.
        Task { await gateway.followProvider { continuation.finish() } }
        for await _ in known {}
        await queue?.settle(within: .seconds(3))
        do throws(PlatformFault) {
            let addresses = try await gateway.start()
            ServiceNotification.ready()
            return addresses
        } catch {
            await provider.shutdown(within: .seconds(1))
            throw error
        }
    }

    /// Runs until the first SIGINT or SIGTERM, then lets calls end; a second one ends at once.
    func runUntilSignal(whenStopping: () -> Void = {}) async {
        await signals.first()
        whenStopping()
        log.warn(
            "\nStopping: calls may end for \(settings.drainTimeout.components.seconds) s. Ctrl-C again ends at once."
        )
        signals.endAtNext()
        ServiceNotification.stopping()
        await gateway.drain(within: settings.drainTimeout)
        await queue?.close()
        await provider.shutdown(within: settings.drainTimeout)
        // The event loops end with the process: nothing of theirs needs more care than that.
    }
}

/// What stands between clients and the gateway, as the settings have it: TLS and the log of calls.
struct PlatformFront: Sendable {
    private let identity: TLSIdentity?
    private let callLog: CallLog?

    /// - Throws: `badSettings` for a certificate that cannot be used.
    init(_ settings: PlatformSettings, signals: TerminationSignals, log: PlatformLog) throws(PlatformFault) {
        identity = try settings.tlsFiles.map { files throws(PlatformFault) in try TLSIdentity(files) }
        if let identity { signals.onHangUp { identity.reload(log.logger) } }
        callLog =
            settings.accessLog == "off"
            ? nil
            : CallLog(
                writer: log.errors,
                errorsOnly: settings.accessLog == "errors",
                isJSON: PlatformLog.isJSON(settings)
            )
    }

    /// The gateway's share of the settings.
    func gateway(
        _ settings: PlatformSettings,
        directory: DataDirectory?,
        credentials: Credentials?,
        isProvider: Bool = false,
        exportsUsage: Bool = false
    ) -> Gateway.Settings {
        var prepare: (@Sendable (any Channel) throws -> Void)?
        if let identity { prepare = { try identity.prepare($0) } }
        // A provider alone is for a gateway, which has the page.
        let page = isProvider ? nil : settings.page
        return Gateway.Settings(
            host: settings.host,
            port: settings.port,
            metricsPort: settings.metricsPort,
            defaultNamespace: settings.defaultNamespace,
            version: Release.version,
            authenticator: credentials,
            engine: EngineSettings(
                upstreamTimeout: settings.upstreamTimeout,
                headTimeout: settings.headerTimeout,
                readTimeout: settings.readTimeout,
                writeTimeout: settings.writeTimeout,
                headLimit: settings.headLimit,
                bodyLimit: settings.bodyLimit,
                bodyMemory: settings.bodyMemory,
                bodyDisk: settings.bodyDisk,
                bodyFolder: directory?.file("spill") ?? FileManager.default.temporaryDirectory.path,
                waitingLimit: settings.waitingLimit,
                servedBy: "martlet/\(Release.number)",
                accessLog: callLog
            ),
            isProvider: isProvider,
            exportsUsage: exportsUsage,
            page: page,
            prepareConnection: prepare
        )
    }
}

extension PlatformSettings {
    /// How the page is served; nil where it is left out.
    fileprivate var page: Gateway.Page? {
        guard let pagePort else { return nil }
        let publicHost = publicURL.flatMap { ServerURL($0)?.host }
        return Gateway.Page(
            host: pageHost,
            port: pagePort,
            apiHost: host,
            names: [MachineName.own, publicHost].compactMap(\.self),
            publicURL: publicURL
        )
    }
}

extension PlatformLog {
    /// The invocation counts of a data directory; what hinders them is logged.
    func counts(in directory: DataDirectory) throws(PlatformFault) -> InvocationCounts {
        try InvocationCounts(path: directory.file("counters")) { [logger] fault in
            logger.warning(
                "invocation counts last until the end of this run only",
                metadata: ["why": "\(fault.message)"]
            )
        }
    }
}
