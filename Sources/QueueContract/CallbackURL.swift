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
    /// The whole text, but for a fragment, which is no receiver's business.
    public let text: String
    /// The function's address as its caller wrote it, which queues keep in the fragment.
    public let calledAs: String?

    private static let mark = "called-as="

    /// Nil for a text that can never be called back.
    public init?(_ whole: String) {
        let halves = whole.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let text = String(halves[0])
        calledAs = halves.count == 2 ? Self.name(halves[1]) : nil
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

    /// The text for a queue, which gives back how the function was called.
    public func text(calledAs name: String) -> String { "\(text)#\(Self.mark)\(name)" }

    /// Nil for what is no address of a function.
    private static func name(_ fragment: Substring) -> String? {
        guard fragment.hasPrefix(mark) else { return nil }
        let name = fragment.dropFirst(mark.count)
        let isAddress = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        return isAddress && !name.isEmpty ? String(name) : nil
    }

    /// For logs: a URL without the password and the query that it may carry.
    public static func withoutSecrets(_ text: String) -> String {
        guard let url = CallbackURL(text) else { return "?" }
        return "\(url.scheme)://\(url.authority)\(url.path)"
    }
}
