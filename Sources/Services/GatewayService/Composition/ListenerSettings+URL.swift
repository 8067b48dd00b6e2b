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

extension HostName {
    /// An address that is listened on, as it stands in a URL that leads there from this machine.
    static func here(_ host: String) -> String {
        // With every address of IPv6 come those of IPv4, of which each machine has its own.
        isAnywhere(host) ? "127.0.0.1" : HostName(host)?.text ?? host
    }

    /// Whether it stands for all addresses of the machine.
    static func isAnywhere(_ host: String) -> Bool { host == "0.0.0.0" || host == "::" }
}
