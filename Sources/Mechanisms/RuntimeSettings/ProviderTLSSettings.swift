// SPDX-License-Identifier: Apache-2.0

import FunctionModel

/// The files and the name by which a server elsewhere, a provider or a gateway, is told from others.
public struct ProviderTLSSettings: Sendable {
    /// The file of the authorities; nil for those that the machine trusts.
    public let authorities: String?
    /// The files of the certificate that the server is shown, and its key; nil for none.
    public let identity: (certificate: String, key: String)?
    /// The name that its certificate is for; nil for that of its address.
    public let serverName: String?

    /// Whether anything was said.
    public var isEmpty: Bool { authorities == nil && identity == nil && serverName == nil }

    init(_ reader: inout SettingsReader) {
        let file = reader.text("provider-ca")
        authorities = file.isEmpty ? nil : file
        identity = reader.pair("provider-cert", "provider-key")
        let name = reader.text("provider-server-name")
        let isName = ServerURL("https://\(name)")?.host == name.lowercased() && !Self.isAddress(name)
        serverName =
            name.isEmpty ? nil : isName ? name : reader.refuse("provider-server-name", "is not a host's name", nil)
    }

    private static func isAddress(_ name: String) -> Bool {
        name.hasPrefix("[") || name.allSatisfy { $0.isNumber || $0 == "." }
    }
}
