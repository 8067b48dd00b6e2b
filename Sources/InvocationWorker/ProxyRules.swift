// SPDX-License-Identifier: Apache-2.0

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

    /// Reads the rules; lower-case names win over upper-case ones, and an empty value counts as absent.
    public init(environment: [String: String]) {
        let environment = environment.filter { !$0.value.isEmpty }
        for scheme in ["http", "https"] {
            let text = environment["\(scheme)_proxy"] ?? environment["\(scheme.uppercased())_PROXY"] ?? ""
            byScheme[scheme] = Self.proxy(text)
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

    private static func proxy(_ text: String) -> Proxy? {
        var rest = text[...]
        if let scheme = rest.firstRange(of: "://") { rest = rest[scheme.upperBound...] }
        if let at = rest.lastIndex(of: "@") { rest = rest[rest.index(after: at)...] }
        rest = rest.prefix { $0 != "/" }
        guard !rest.isEmpty else { return nil }
        guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]) else {
            return Proxy(host: String(rest), port: 80)
        }
        return Proxy(host: String(rest[..<colon]), port: port)
    }
}
