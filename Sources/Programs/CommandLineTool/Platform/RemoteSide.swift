// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import FaultModel
import FunctionModel
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

    /// - Throws: `badSettings` for an address that is none, and for files that cannot be used.
    init(
        _ url: String,
        _ settings: RemoteSettings,
        login: SystemClient.Login?,
        connector: TLSConnector,
        _ log: PlatformLog
    ) throws(PlatformFault) {
        guard ServerURL(url)?.scheme == "https" else {
            guard settings.isEmpty else {
                throw PlatformFault(
                    .badSettings,
                    "The settings provider-ca, provider-cert, provider-key and provider-server-name are about TLS.",
                    hint: "Write the address as https://HOST:PORT/, or leave them out."
                )
            }
            client = SystemClient(baseURL: url, login: login, http: Self.keep(SystemClient.makeHTTPClient()))
            provider = try HTTPFunctionProvider(client: client, warn: log.warnOfFunction)
            return
        }
        let tls = try settings.tls()
        try connector.prepare(tls)
        client = SystemClient(
            baseURL: url,
            login: login,
            http: Self.keep(try SystemClient.makeHTTPClient(tls, of: url)),
            serverName: tls.serverName
        )
        provider = try HTTPFunctionProvider(client: client, tls: tls, warn: log.warnOfFunction)
    }
}
