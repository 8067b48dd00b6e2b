// SPDX-License-Identifier: Apache-2.0

import Foundation
public import FunctionModel

/// A URL that can be called back: `http` or `https`, with a host and, where it has one, a port from 1 to 65535.
public struct CallbackURL: Sendable {
    /// Longest text, in bytes: what everybody has to understand (RFC 9110 section 4.1).
    public static let limit = 8000

    /// Where it is.
    public let server: ServerURL

    /// `http` or `https`.
    public var scheme: String { server.scheme }
    /// In lower case, an address of IPv6 without its brackets.
    public var host: String { server.host }
    /// Host and port as the URL has them, in lower case.
    public var authority: String { server.authority }
    /// Undecoded, beginning with a slash.
    public var path: String { server.path }
    /// Undecoded, without its question mark; nil for none.
    public var query: String? { server.query }
    /// The whole text, but for a fragment, which is no receiver's business.
    public let text: String
    /// The function's address as its caller wrote it, which queues keep in the fragment.
    public let calledAs: String?

    private static let mark = "called-as="

    /// Nil for a text that can never be called back.
    public init?(_ whole: String) {
        let halves = whole.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let text = String(halves[0])
        guard text.utf8.count <= Self.limit, let server = ServerURL(text) ?? Self.international(text) else {
            return nil
        }
        self.server = server
        self.text = text
        calledAs = halves.count == 2 ? Self.name(halves[1]) : nil
    }

    /// A URL whose host is written in letters of all languages.
    private static func international(_ text: String) -> ServerURL? {
        guard text.utf8.contains(where: { $0 >= 0x80 }), text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            return nil
        }
        return URLComponents(string: text)?.string.flatMap { ServerURL($0) }
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
        return url.server.base + url.path
    }

    /// For people: a URL without its user and password.
    public static func withoutLogin(_ text: String) -> String {
        guard let url = CallbackURL(text) else { return "?" }
        guard url.server.login != nil else { return url.text }
        return "\(url.scheme)://***@\(url.authority)\(url.server.target)"
    }
}
