// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import AsyncHTTPClient
import FaultModel
import FunctionModel
import RemoteProvider
import RuntimeSettings
import Synchronization
import SystemClient
import UpstreamTLS

/// The flags of commands that work with a provider, or a gateway, elsewhere.
struct RemoteOptions: ParsableArguments {
    @Option(help: "File of the authorities (PEM) that its certificate must lead to (those that the machine trusts).")
    var providerCa: String?

    @Option(help: "File of the certificate chain (PEM) that it is shown.")
    var providerCert: String?

    @Option(help: "File of the private key (PEM) of that certificate.")
    var providerKey: String?

    @Option(help: "The name that its certificate is for (that of its address).")
    var providerServerName: String?

    /// Each is a setting of the table.
    var flags: [String: String] {
        var flags: [String: String] = [:]
        flags["provider-ca"] = providerCa
        flags["provider-cert"] = providerCert
        flags["provider-key"] = providerKey
        flags["provider-server-name"] = providerServerName
        return flags
    }
}

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
        _ settings: PlatformSettings,
        login: SystemClient.Login?,
        connector: TLSConnector,
        _ log: PlatformLog
    ) throws(PlatformFault) {
        guard ServerURL(url)?.scheme == "https" else {
            guard settings.providerTLS.isEmpty else {
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
        let tls = try UpstreamTLS(settings.providerTLS)
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

extension UpstreamTLS {
    fileprivate convenience init(_ settings: ProviderTLSSettings) throws(PlatformFault) {
        var identity: Identity?
        if let files = settings.identity {
            identity = Identity(
                certificates: try Self.text(files.certificate, "provider-cert"),
                privateKey: try Self.text(files.key, "provider-key")
            )
        }
        var roots: String?
        if let file = settings.authorities { roots = try Self.text(file, "provider-ca") }
        self.init(serverName: settings.serverName, roots: roots, identity: identity)
    }

    private static func text(_ file: String, _ setting: String) throws(PlatformFault) -> String {
        guard let text = PlatformSettings.contents(ofFile: file) else {
            throw PlatformFault(
                .badSettings,
                "The file \(file) cannot be read.",
                hint: "Name another one by --\(setting)."
            )
        }
        return text
    }
}
