// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import RuntimeSettings

/// The files and the name by which a server elsewhere, a provider or a worker's gateway, is told from others.
public struct RemoteSettings: SettingsSection {
    /// Below which they stand in the file.
    public static let name: String? = "provider"

    /// The file of the authorities; nil for those that the machine trusts.
    public let authorities: String?
    /// The files of the certificate that the server is shown, and its key; nil for none.
    public let identity: (certificate: String, key: String)?
    /// The name that its certificate is for; nil for that of its address.
    public let serverName: String?

    /// Whether anything was said.
    public var isEmpty: Bool { authorities == nil && identity == nil && serverName == nil }

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        authorities = reader.optionalText(
            Setting(
                "provider-ca",
                "File of the authorities (PEM) that the certificate of the provider, or of a queue worker's gateway, must lead to; those that the machine trusts by default. Read again on SIGHUP.",
                flag: .value
            )
        )
        identity = reader.pair(
            Setting(
                "provider-cert",
                "File of the certificate chain (PEM) that this server is shown.",
                flag: .value
            ),
            Setting("provider-key", "File of the private key (PEM) of that certificate.", flag: .value)
        )
        let name = reader.optionalText(
            Setting(
                "provider-server-name",
                "The name that this server's certificate is for, where it is not that of its address.",
                flag: .value
            )
        )
        let isName = name.map { ServerURL("https://\($0)")?.host == $0.lowercased() && !Self.isAddress($0) }
        serverName = isName ?? true ? name : reader.refuse("provider-server-name", "is not a host's name", nil)
    }

    private static func isAddress(_ name: String) -> Bool {
        name.hasPrefix("[") || name.allSatisfy { $0.isNumber || $0 == "." }
    }

    /// How connections to the server are made, with what the files say now.
    ///
    /// - Throws: `badSettings` for a file that cannot be read.
    public func tls() throws(PlatformFault) -> UpstreamTLS {
        var identity: UpstreamTLS.Identity?
        if let files = self.identity {
            identity = UpstreamTLS.Identity(
                certificates: try Self.text(files.certificate, "provider-cert"),
                privateKey: try Self.text(files.key, "provider-key")
            )
        }
        var roots: String?
        if let file = authorities { roots = try Self.text(file, "provider-ca") }
        return UpstreamTLS(serverName: serverName, roots: roots, identity: identity)
    }

    private static func text(_ file: String, _ setting: String) throws(PlatformFault) -> String {
        let why: String
        do throws(UnreadableFile) {
            if let text = try SettingsReader.contents(ofFile: file) { return text }
            why = "does not exist"
        } catch {
            why = "\(error)"
        }
        throw PlatformFault(
            .badSettings,
            "The file \(NameRule.printable(file)) \(why).",
            hint: "Name another one by --\(setting)."
        )
    }
}
