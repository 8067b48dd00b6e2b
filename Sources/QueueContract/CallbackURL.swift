// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A URL that can be called back: `http` or `https`, with a host.
public struct CallbackURL: Sendable {
    /// Longest text, in bytes: what everybody has to understand (RFC 9110 section 4.1).
    public static let limit = 8000

    /// `http` or `https`.
    public let scheme: String
    /// In lower case.
    public let host: String
    /// Host and port as the URL has them, in lower case.
    public let authority: String
    /// Undecoded, beginning with a slash.
    public let path: String
    /// Undecoded, without its question mark; nil for none.
    public let query: String?
    /// The whole text.
    public let text: String

    /// Nil for a text that can never be called back.
    public init?(_ text: String) {
        guard text.utf8.count <= Self.limit, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }),
            let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            scheme == "http" || scheme == "https", let host = parts.host?.lowercased(), !host.isEmpty
        else { return nil }
        self.scheme = scheme
        self.host = host
        authority = parts.port.map { "\(host):\($0)" } ?? host
        path = parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath
        query = parts.percentEncodedQuery
        self.text = text
    }

    /// For logs: a URL without the password and the query that it may carry.
    public static func withoutSecrets(_ text: String) -> String {
        guard let url = CallbackURL(text) else { return "?" }
        return "\(url.scheme)://\(url.authority)\(url.path)"
    }
}
