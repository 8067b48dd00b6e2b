// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import FaultModel
import FunctionModel
import Logging
import ProcessControl
import RemoteProvider
import Synchronization
import SystemClient
import UpstreamTLS

/// A provider elsewhere, or what is one to a queue worker: its gateway.
struct RemoteSide {
    private let client: SystemClient
    let provider: HTTPFunctionProvider

    /// Clients live as long as the process, whose end needs no more care than that.
    private static let clients = Mutex<[HTTPClient]>([])

    private static func keep(_ http: HTTPClient) -> HTTPClient {
        clients.withLock { $0.append(http) }
        return http
    }

    /// Where it is, without a password.
    var address: String { client.baseURL }

    /// Reads certificates again on SIGHUP.
    ///
    /// - Throws: `badSettings` for an address that is none, and for files that cannot be used.
    init(
        _ url: String,
        _ settings: RemoteSettings,
        login: SystemClient.Login?,
        front: PlatformFront,
        _ program: ServingProgram
    ) throws(PlatformFault) {
        let log = program.log
        guard let security = try RemoteSecurity(url, settings, front.connector) else {
            client = SystemClient(baseURL: url, login: login, http: Self.keep(SystemClient.makeHTTPClient()))
            provider = try HTTPFunctionProvider(client: client, warn: log.warnOfProvider)
            return
        }
        let http = Self.keep(try SystemClient.makeHTTPClient(security.tls, of: url))
        client = security.client(of: url, login: login, http)
        provider = try HTTPFunctionProvider(client: client, tls: security.tls, warn: log.warnOfProvider)
        program.signals.onHangUp { security.reload(log.logger) }
    }
}

/// How a server elsewhere is told from others by TLS, as its files have it.
struct RemoteSecurity: Sendable {
    let tls: UpstreamTLS
    private let current: ClientTLS
    private let settings: RemoteSettings
    private let connector: TLSConnector

    /// Nil for an address without TLS.
    ///
    /// - Throws: `badSettings` for files that cannot be used, or are of no use.
    init?(_ url: String, _ settings: RemoteSettings, _ connector: TLSConnector) throws(PlatformFault) {
        self.settings = settings
        self.connector = connector
        guard ServerURL(url)?.scheme == "https" else {
            guard settings.isEmpty else {
                throw PlatformFault(
                    .badSettings,
                    "The settings provider-ca, provider-cert, provider-key and provider-server-name are about TLS.",
                    hint: "Write the address as https://HOST:PORT/, or leave them out."
                )
            }
            return nil
        }
        tls = try settings.tls()
        try connector.prepare(tls)
        current = try ClientTLS(tls)
    }

    func client(
        of url: String,
        login: SystemClient.Login?,
        _ http: HTTPClient,
        timeout: Duration = .seconds(60)
    ) -> SystemClient {
        SystemClient(baseURL: url, login: login, http: http, timeout: timeout, serverName: tls.serverName, tls: current)
    }

    /// Reads the files again; what is wrong with them leaves the old ones in use.
    ///
    /// Blocks.
    func reload(_ logger: Logger) {
        do throws(PlatformFault) {
            let fresh = try settings.tls()
            try connector.renew(tls, as: fresh)
            try current.renew(fresh)
            logger.notice("the certificates for the server elsewhere were read again")
        } catch {
            logger.error("the certificates for the server elsewhere stay the old ones", metadata: ["why": "\(error)"])
        }
    }
}
