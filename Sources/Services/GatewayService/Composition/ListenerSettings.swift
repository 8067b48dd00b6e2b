// SPDX-License-Identifier: Apache-2.0

import FunctionModel
public import RuntimeSettings

/// Where is listened, and what for.
public struct ListenerSettings: SettingsSection {
    /// Below which they stand in the file.
    public static let name: String? = "listeners"

    /// A socket in the file system.
    public struct Socket: Sendable, Equatable {
        /// Its absolute path.
        public let path: String
        /// The rights of its file.
        public let mode: UInt32
    }

    /// The address to listen on.
    public let host: String
    /// The port of the API, 0 to 65535.
    public let port: Int
    /// The port of management, 0 to 65535; nil where that is the port of the API.
    public let managementPort: Int?
    /// The port of metrics, 0 to 65535.
    public let metricsPort: Int
    /// The port of the page, 0 to 65535; nil where it is left out.
    public let pagePort: Int?
    /// The address that the page listens on.
    public let pageHost: String
    /// The socket where functions and management are, too; nil where there is none.
    public let socket: Socket?
    /// The address by which others reach the gateway; nil where none is told.
    public let publicURL: String?
    /// The certificate and its key; nil where TLS is off.
    public let tlsFiles: (certificate: String, key: String)?

    /// `http` or `https`.
    public var scheme: String { tlsFiles == nil ? "http" : "https" }

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        host = reader.text(Setting("host", default: "127.0.0.1", "Address to listen on.", flag: .value))
        port = reader.number(
            Setting(
                "port",
                also: ["port"],
                default: "8080",
                "Port of the API and the functions; 0 takes a free one.",
                flag: .value
            ),
            in: 0...65_535
        )
        let management = reader.number(
            Setting(
                "management-port",
                "Port of management (/system/…) in place of port, where only functions are left; 0 takes a free one.",
                flag: .value
            ),
            in: 0...65_535,
            or: ""
        )
        managementPort =
            management != port || management == 0
            ? management : reader.refuse("management-port", "is the port of the functions, too", nil)
        metricsPort = reader.number(
            Setting("metrics-port", default: "8082", "Port of /metrics; 0 takes a free one.", flag: .value),
            in: 0...65_535
        )
        pagePort = reader.number(
            Setting(
                "ui-port",
                default: "8083",
                "Port of the page for people, /ui/; 0 takes a free one, off leaves the page out.",
                flag: .value
            ),
            in: 0...65_535,
            or: "off"
        )
        let page = Setting("ui-host", "Address that the page listens on; that of the API by default.", flag: .value)
        pageHost = reader.optionalText(page) ?? host
        socket = Self.socket(&reader)
        publicURL = reader.optionalURL(
            Setting(
                "public-url",
                "The address by which others reach this gateway, as https://faas.example.org.",
                flag: .value
            )
        )
        tlsFiles = reader.pair(
            Setting(
                "tls-cert",
                "File of the certificate chain (PEM); with it the API speaks TLS. Read again on SIGHUP.",
                flag: .value
            ),
            Setting("tls-key", "File of the certificate's private key (PEM).", flag: .value)
        )
    }

    private static func socket(_ reader: inout SettingsReader) -> Socket? {
        let name = Setting(
            "socket",
            "Absolute path of a socket in the file system where functions are called and managed, too, without TLS; none by default.",
            flag: .value
        )
        let rights = Setting(
            "socket-mode",
            default: "600",
            "Rights of that socket's file, in octal digits: who may connect. The password is wanted there, too.",
            flag: .value
        )
        let text = reader.optionalText(name)
        let mode =
            mode(reader.text(rights)) ?? reader.refuse(rights.name, "is not a file's rights, as 600 or 660", 0)
        guard let text else { return nil }
        let path = reader.absolutePath(text)
        if text.hasPrefix("/") || text.hasPrefix("~/"), UnixURL.isPath(path) { return Socket(path: path, mode: mode) }
        let why = "is not an absolute path of at most \(UnixURL.longestPath) bytes, as /run/martlet/martlet.sock"
        return reader.refuse(name.name, why, nil)
    }

    private static func mode(_ digits: String) -> UInt32? {
        guard (3...4).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x37).contains($0) }),
            let mode = UInt32(digits, radix: 8), mode <= 0o777
        else { return nil }
        return mode
    }
}
