// SPDX-License-Identifier: Apache-2.0

extension ListenerSettings {
    /// The URL by which somebody on this machine reaches what is found on a port.
    ///
    /// `host` is the address that is listened on, where that is known better than by the settings.
    public func url(of surface: Listener.Surface, port: Int, host: String? = nil) -> String {
        switch surface {
        case .functions, .management: "\(scheme)://\(HostName.here(host ?? self.host)):\(port)"
        case .metrics: "http://\(HostName.here(host ?? self.host)):\(port)/metrics"
        case .page: "\(scheme)://\(HostName.here(host ?? pageHost)):\(port)/ui/"
        }
    }
}

extension ListenerSettings {
    /// Whether a host is this machine's alone, and no other machine can reach it.
    public static func isOnlyHere(_ host: String) -> Bool { HostName.isOnlyHere(host) }
}

extension HostName {
    /// An address that is listened on, as it stands in a URL that leads there from this machine.
    static func here(_ host: String) -> String {
        // With every address of IPv6 come those of IPv4, of which each machine has its own.
        isAnywhere(host) ? "127.0.0.1" : HostName(host)?.text ?? host
    }

    /// Whether it is an address of this machine alone, which no other can reach (RFC 1122 §3.2.1.3, RFC 6761 §6.3).
    static func isOnlyHere(_ host: String) -> Bool {
        guard let name = HostName(host) else { return false }
        let isLoopback = name.isAddress && (name.text.hasPrefix("127.") || ["::1", "[::1]"].contains(name.text))
        return isLoopback || name.isLoopback
    }

    /// Whether two may be one: `localhost` is an address of this machine, and which one is not known.
    static func mayMeet(_ host: String, _ other: String) -> Bool {
        if host == other || isAnywhere(host) || isAnywhere(other) { return true }
        let isNamed = [host, other].contains { HostName($0)?.isLoopback == true }
        return isNamed && isOnlyHere(host) && isOnlyHere(other)
    }

    /// Whether it stands for all addresses of the machine.
    static func isAnywhere(_ host: String) -> Bool { host == "0.0.0.0" || host == "::" }
}
