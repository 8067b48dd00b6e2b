// SPDX-License-Identifier: Apache-2.0

public import FunctionModel

/// A server of HTTP/1.1 that carries out calls.
public struct Upstream: InvocationTarget {
    /// Where a server listens.
    public enum Address: Sendable, Hashable {
        /// A host's name or address, one of IPv6 without brackets, and a port, 1 to 65535.
        case tcp(host: String, port: Int)
        /// A socket in the file system.
        case unix(path: String)

        /// What `Host` says of it; a socket in the file system has no name that it could say.
        public var authority: String {
            switch self {
            case .tcp(let host, let port):
                host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
            case .unix: "localhost"
            }
        }
    }

    /// A field that every request gets; in place of the client's own of that name, whatever its case.
    ///
    /// Prints without its value, which may be a password.
    public struct Header: Sendable, Hashable, CustomStringConvertible {
        /// The name, as it is sent.
        public let name: String
        /// The value.
        public let value: String

        /// Nil for what would not be one line of a head.
        public init?(name: String, value: String) {
            let isName = !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }
            guard isName, value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
            self.name = name
            self.value = value
        }

        /// Nothing of the value.
        public var description: String { "\(name): ***" }
    }

    /// Where it listens.
    public var address: Address
    /// How connections to it are encrypted; nil where they are not.
    public var tls: UpstreamTLS?
    /// What every request gets besides, as credentials.
    public var headers: [Header]
    /// What stands before the call's path, without a slash at its end; empty for none.
    public var pathPrefix: String

    /// Makes an upstream.
    public init(_ address: Address, tls: UpstreamTLS? = nil, headers: [Header] = [], pathPrefix: String = "") {
        self.address = address
        self.tls = tls
        self.headers = headers
        self.pathPrefix = pathPrefix
    }

    /// The server of a URL without a query; `tls` is how it is asked where the scheme is `https`.
    ///
    /// A user and a password in the URL are the caller's business: nothing is sent that nobody asked for.
    public init(_ server: ServerURL, tls: UpstreamTLS? = nil) {
        let path = server.path
        self.init(
            .tcp(host: server.host, port: server.port),
            tls: server.scheme == "https" ? tls ?? UpstreamTLS() : nil,
            pathPrefix: path.hasSuffix("/") ? String(path.dropLast()) : path
        )
    }

    /// Reads `http://HOST[:PORT][/PATH]`; nil for anything else.
    public init?(url: String) {
        guard let server = ServerURL(url, defaultPorts: ["http": 80]), server.query == nil else { return nil }
        self.init(server)
    }
}
