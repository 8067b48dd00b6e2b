// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Where the page and the functions are, as browsers see it.
///
/// Ports of its own choice are known once the gateway listens.
final class PageSite: Sendable {
    private let settings: Gateway.Page
    private let scheme: String
    private let apiPort: Int
    private let addresses: @Sendable () -> Gateway.Addresses?

    /// `addresses` is where the gateway listens; nil until it does.
    init(
        _ settings: Gateway.Page,
        apiPort: Int,
        isEncrypted: Bool,
        addresses: @escaping @Sendable () -> Gateway.Addresses?
    ) {
        self.settings = settings
        scheme = isEncrypted ? "https" : "http"
        self.apiPort = apiPort
        self.addresses = addresses
    }

    /// Whether a `Host` is one by which the page may be asked for.
    ///
    /// A bare address is always one: there is no name in it that somebody could make lead elsewhere.
    func isKnown(_ authority: String?) -> Bool {
        guard let authority, let host = HostName(authority) else { return false }
        return host.isAddress || host.isLoopback || settings.names.contains(host.text)
    }

    /// The page's address for whoever asked for the gateway by a `Host`; nil before it listens on a port of its choice.
    func page(asSeenBy authority: String?) -> String? {
        let port = addresses()?.page?.port ?? settings.port
        guard port != 0 else { return nil }
        let host = settings.isOnHostOfAPI ? authority.flatMap(HostName.init) : nil
        return "\(scheme)://\(host?.text ?? settings.fallbackHost):\(port)/ui/"
    }

    /// The functions' address for whoever asked for the page by a `Host`.
    func functions(asSeenBy authority: String?) -> String {
        if let url = settings.publicURL { return url }
        let host = settings.isOnHostOfAPI ? authority.flatMap(HostName.init) : nil
        return "\(scheme)://\(host?.text ?? settings.fallbackHost):\(addresses()?.api?.port ?? apiPort)"
    }
}

extension Gateway {
    /// How the page for people is served, on a listener of its own.
    public struct Page: Sendable {
        /// The address to listen on.
        public var host: String
        /// The port to listen on; 0 takes a free one.
        public var port: Int
        /// The names by which it may be asked for, beside `localhost` and bare addresses.
        public let names: Set<String>
        /// Where others reach the functions; nil where that is the API's own address.
        public var publicURL: String?
        let isOnHostOfAPI: Bool
        /// What is named where a request does not say by which name it came.
        let fallbackHost: String

        /// Describes it; `apiHost` is the address that the API listens on.
        public init(host: String, port: Int, apiHost: String, names: [String] = [], publicURL: String? = nil) {
            self.host = host
            self.port = port
            self.names = Set(([host, apiHost] + names).map { $0.lowercased() })
            self.publicURL = publicURL.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
            isOnHostOfAPI = HostName.isAnywhere(host) || host == apiHost
            fallbackHost = HostName.here(host)
        }
    }
}

/// The host in a `Host` field, without its port: a name in lower case or an address.
struct HostName {
    /// As it stands in a URL, with brackets around an IPv6 address.
    let text: String
    /// Whether it is an IP address.
    let isAddress: Bool

    /// Whether it is a name that nobody can make lead to another machine (RFC 6761 §6.3).
    var isLoopback: Bool { text == "localhost" || text.hasSuffix(".localhost") }

    /// Nil for what is neither a name nor an address.
    init?(_ authority: String) {
        // A bare IPv6 address, as settings have it, has colons and no port.
        let isBare = authority.utf8.count { $0 == UInt8(ascii: ":") } > 1 && !authority.hasPrefix("[")
        if authority.hasPrefix("[") || isBare {
            let address = isBare ? authority[...] : authority.dropFirst().prefix { $0 != "]" }
            guard (try? SocketAddress(ipAddress: String(address), port: 0)) != nil else { return nil }
            text = "[\(address.lowercased())]"
            isAddress = true
            return
        }
        var name = authority.prefix { $0 != ":" }.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        guard !name.isEmpty, name.utf8.count <= 253, name.utf8.allSatisfy(Self.isNameByte) else { return nil }
        text = name
        isAddress = (try? SocketAddress(ipAddress: name, port: 0)) != nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
        default: false
        }
    }
}
