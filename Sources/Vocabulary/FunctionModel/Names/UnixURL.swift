// SPDX-License-Identifier: Apache-2.0

/// The address of a server on a socket in the file system, as a URL from outside names it.
public struct UnixURL: Sendable, Hashable {
    /// Most bytes of such a path: what the system's addresses have room for.
    public static let longestPath = 107

    /// The socket's absolute path.
    public let path: String

    /// Reads `unix:///run/martlet.sock`, whose path is taken as it is, or `http+unix://%2Frun%2Fmartlet.sock`, as HTTP
    /// clients write it.
    ///
    /// Nil for anything else: for a path that is relative, too long, or holds control characters.
    public init?(_ text: String) {
        guard let path = Self.path(text), Self.isPath(path) else { return nil }
        self.path = path
    }

    /// Whether a socket can be at a path.
    public static func isPath(_ path: String) -> Bool {
        path.utf8.first == UInt8(ascii: "/") && path.utf8.last != UInt8(ascii: "/")
            && path.utf8.count <= longestPath && path.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
    }

    /// As people write it.
    public var text: String { "unix://\(path)" }

    private static func path(_ text: String) -> String? {
        for scheme in ["unix://", "unix:"] where text.hasPrefix(scheme) { return String(text.dropFirst(scheme.count)) }
        let scheme = "http+unix://"
        guard text.hasPrefix(scheme) else { return nil }
        let rest = text.dropFirst(scheme.count)
        let host = rest.prefix { $0 != "/" }
        return rest.dropFirst(host.count).count > 1 ? nil : String(decoding: URLText.unescaped(host), as: UTF8.self)
    }

    /// Scheme and host as HTTP clients write them, without a slash at the end.
    public var httpBase: String { "http+unix://\(URLText.escaped(path))" }
}
