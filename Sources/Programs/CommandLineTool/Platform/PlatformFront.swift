// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GatewayService
import InvocationEngine
import Logging
import NIOCore
import ProcessControl
import ProcessProvider
import RuntimeSettings
import SystemAPI

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
        isWorkerAlone: Bool = false,
        listensAtOnce: Bool = false,
        exportsUsage: Bool = false,
        inherited: InheritedSockets? = nil
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
            isWorkerAlone: isWorkerAlone,
            listensAtOnce: listensAtOnce,
            exportsUsage: exportsUsage,
            inherited: inherited,
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
