// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GatewayService
import InvocationEngine
import Logging
import NIOCore
import ProcessControl
import ReplicaSupervision
import SystemAPI
import UpstreamTLS

/// What stands between clients and the gateway, as the settings have it: TLS and the log of calls.
struct PlatformFront: Sendable {
    private let identity: TLSIdentity?
    private let callLog: CallLog?
    /// TLS towards a provider elsewhere.
    let connector = TLSConnector()

    /// - Throws: `badSettings` for a certificate that cannot be used.
    init(_ settings: PlatformSettings, signals: TerminationSignals, log: PlatformLog) throws(PlatformFault) {
        identity = try settings.listeners.tlsFiles.map { files throws(PlatformFault) in try TLSIdentity(files) }
        if let identity { signals.onHangUp { identity.reload(log.logger) } }
        callLog =
            settings.logs.calls == .off
            ? nil
            : CallLog(
                writer: log.errors,
                errorsOnly: settings.logs.calls == .errors,
                isJSON: settings.logs.isJSON
            )
    }

    /// The gateway's share of the settings.
    func gateway(
        _ settings: PlatformSettings,
        listeners: [Listener],
        directory: DataDirectory?,
        credentials: Credentials?,
        isProvider: Bool = false,
        listensAtOnce: Bool = false,
        exportsUsage: Bool = false,
        inherited: InheritedSockets? = nil,
        keepsSockets: Bool = false
    ) -> Gateway.Settings {
        // A gateway brings the login that whatever stands before a provider wants: it is no function's business.
        var isOwnLogin: (@Sendable (String) -> Bool)?
        if isProvider, let credentials { isOwnLogin = { credentials.accept($0) } }
        var engine = settings.limits.engine(servedBy: "martlet/\(Release.number)")
        engine.bodyFolder = directory?.file("spill") ?? FileManager.default.temporaryDirectory.path
        engine.origins = OriginFactories(security: connector)
        engine.isOwnLogin = isOwnLogin
        engine.accessLog = callLog
        return Gateway.Settings(
            listeners: listeners,
            defaultNamespace: settings.provider.defaultNamespace,
            version: Release.version,
            authenticator: credentials,
            engine: engine,
            isProvider: isProvider,
            listensAtOnce: listensAtOnce,
            exportsUsage: exportsUsage,
            inherited: inherited,
            keepsSockets: keepsSockets,
            page: isProvider ? nil : settings.listeners.page
        )
    }

    /// Where functions, management, the page and metrics are; the last alone of one that only works.
    ///
    /// - Throws: `badSettings` where two want one port.
    func listeners(
        _ settings: PlatformSettings,
        isProvider: Bool = false,
        isWorkerAlone: Bool = false
    ) throws(PlatformFault) -> [Listener] {
        let settings = settings.listeners
        let metrics = Listener(.metrics, host: settings.host, port: settings.metricsPort, [.metrics])
        let listeners = (isWorkerAlone ? [] : others(settings, isProvider: isProvider)) + [metrics]
        try listeners.checkPorts()
        return listeners
    }

    private func others(_ settings: ListenerSettings, isProvider: Bool) -> [Listener] {
        // A provider alone is for a gateway, which has the page.
        let page = isProvider ? nil : settings.page
        var prepare: (@Sendable (any Channel) throws -> Void)?
        if let identity { prepare = { try identity.prepare($0) } }
        // Clients know one address, at which they manage functions and call them.
        let both: Set<Listener.Surface> = [.functions, .management]
        // A gateway asks a provider for everything at one address (contract §21).
        let all = isProvider ? both.union([.metrics]) : both
        let surfaces = settings.managementPort == nil ? all : [.functions]
        let api = Listener(.api, host: settings.host, port: settings.port, surfaces, prepare: prepare)
        let management = settings.managementPort.map {
            Listener(.management, host: settings.host, port: $0, both, prepare: prepare)
        }
        let pages = page.map { Listener(.page, host: $0.host, port: $0.port, [.page], prepare: prepare) }
        // What goes by it does not leave this machine: there is nothing to encrypt.
        let socket = settings.socket.map { Listener(.socket, .unix(path: $0.path, mode: $0.mode), all) }
        return [api] + [management, socket, pages].compactMap(\.self)
    }
}

extension ListenerSettings {
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
