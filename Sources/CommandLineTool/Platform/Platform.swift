// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
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
    private let logger: Logger
    private let signals = TerminationSignals()

    /// Opens the data directory and restores what was deployed.
    init(_ settings: PlatformSettings) async throws(PlatformFault) {
        self.settings = settings
        ResourceBounds.raiseFileLimit()
        logger = PlatformLog.logger(settings)
        let directory = try DataDirectory(path: settings.dataDirectory)
        let credentials: Credentials? =
            settings.requiresCredentials ? try CredentialFiles(folder: settings.credentialsFolder).readOrMake() : nil
        let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
        provider = try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                dataDirectory: directory,
                defaultNamespace: settings.defaultNamespace,
                platformURL: "http://127.0.0.1:\(settings.port)",
                requiresLimits: settings.requiresLimits,
                version: Release.version
            ),
            logger: logger
        )
        limitsAreEnforced = provider.limitsAreEnforced
        gateway = Gateway(
            settings.gateway(credentials: credentials),
            provider: provider,
            bundles: provider,
            counts: try InvocationCounts(path: directory.file("counters")),
            group: group,
            logger: logger
        )
    }

    /// Begins to listen, when the routing table knows all functions.
    func start() async throws -> Gateway.Addresses {
        let (known, continuation) = AsyncStream.makeStream(of: Void.self)
        let gateway = gateway
        // Lives as long as the process; the provider's end of the stream ends it.
        Task { await gateway.followProvider { continuation.finish() } }
        for await _ in known {}
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
        printError(
            "\nStopping: calls may end for \(settings.drainTimeout.components.seconds) s. Ctrl-C again ends at once."
        )
        signals.endAtNext()
        ServiceNotification.stopping()
        await gateway.drain(within: settings.drainTimeout)
        await provider.shutdown(within: settings.drainTimeout)
        // The event loops end with the process: nothing of theirs needs more care than that.
    }
}

extension PlatformSettings {
    /// The gateway's share.
    func gateway(credentials: Credentials?) -> Gateway.Settings {
        Gateway.Settings(
            host: host,
            port: port,
            metricsPort: metricsPort,
            defaultNamespace: defaultNamespace,
            version: Release.version,
            credentials: credentials,
            engine: engine
        )
    }

    /// The engine's share.
    private var engine: EngineSettings {
        EngineSettings(
            upstreamTimeout: upstreamTimeout,
            readTimeout: readTimeout,
            writeTimeout: writeTimeout,
            headLimit: headLimit,
            bodyLimit: bodyLimit,
            servedBy: "martlet/\(Release.number)"
        )
    }
}

/// Logging as the settings have it.
enum PlatformLog {
    static func logger(_ settings: PlatformSettings) -> Logger {
        let isJSON = settings.logFormat == "json" || (settings.logFormat == "auto" && isatty(STDERR_FILENO) == 0)
        var logger = Logger(label: "martlet") { label -> any LogHandler in
            if isJSON { JSONLogHandler() } else { StreamLogHandler.standardError(label: label) }
        }
        logger.logLevel = Logger.Level(rawValue: settings.logLevel) ?? .info
        return logger
    }
}
