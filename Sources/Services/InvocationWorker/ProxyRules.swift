// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import FunctionModel

/// Which proxy a request to a host goes through: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, as curl and Go read them.
public struct ProxyRules: Sendable, Equatable {
    /// A proxy's address.
    public struct Proxy: Sendable, Hashable {
        /// A name or an address.
        public var host: String
        /// 1 to 65535.
        public var port: Int
    }

    private var byScheme: [String: Proxy] = [:]
    private var exceptions: [String] = []

    /// No proxies.
    public init() {}

    /// Reads the rules; lower-case names win over upper-case ones, and an empty value counts as absent.
    ///
    /// - Throws: `badSettings` for a proxy without an address: what was to go through it must not go past it.
    public init(environment: [String: String]) throws(PlatformFault) {
        let environment = environment.filter { !$0.value.isEmpty }
        for scheme in ["http", "https"] {
            for name in ["\(scheme)_proxy", "\(scheme.uppercased())_PROXY"] where byScheme[scheme] == nil {
                byScheme[scheme] = try environment[name].map { text throws(PlatformFault) in
                    try Self.proxy(text, of: name)
                }
            }
        }
        let names = environment["no_proxy"] ?? environment["NO_PROXY"] ?? ""
        exceptions = names.lowercased().split { $0 == "," || $0 == " " }.map { name in
            String(name.drop { $0 == "." || $0 == "*" })
        }
    }

    /// The proxy for a host; nil where it is reached directly.
    public func proxy(scheme: String, host: String) -> Proxy? {
        let host = host.lowercased()
        let isLocal = host == "localhost" || host.hasPrefix("127.") || host == "::1"
        guard !isLocal, let proxy = byScheme[scheme] else { return nil }
        let isExcepted = exceptions.contains { name in
            name.isEmpty || host == name || host.hasSuffix(".\(name)")
        }
        return isExcepted ? nil : proxy
    }

    private static func proxy(_ text: String, of name: String) throws(PlatformFault) -> Proxy {
        // Whatever it is called: all of them are spoken to without TLS.
        let place = text.firstRange(of: "://").map { text[$0.upperBound...] } ?? text[...]
        guard let server = ServerURL("http://\(place)") else {
            throw PlatformFault(
                .badSettings,
                "\(name) is not an address of a proxy.",
                hint: "Write it as http://HOST:PORT, with a port from 1 to 65535."
            )
        }
        return Proxy(host: server.host, port: server.port)
    }
}
