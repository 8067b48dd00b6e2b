// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The address of a server as a URL from outside names it: the one way from such a text to a host and a port.
///
/// Whatever opens connections takes it for granted that a port is one, and ends the process where it is none; so no text
/// reaches it but through here.
public struct ServerURL: Sendable, Hashable {
    /// A user and a password in front of the host, decoded; prints as `***`.
    public struct Login: Sendable, Hashable, CustomStringConvertible {
        /// The user.
        public let user: String
        /// The password; empty for none.
        public let password: String

        /// Nothing of the secret.
        public var description: String { "***" }
    }

    /// The ports that the schemes of the web stand for.
    public static let webPorts = ["http": 80, "https": 443]

    /// In lower case.
    public let scheme: String
    /// Nil for none.
    public let login: Login?
    /// A name or an address in lower case, an address of IPv6 without its brackets.
    public let host: String
    /// 1 to 65535, the scheme's own where the text has none.
    public let port: Int
    /// Host and port as the text has them, in lower case: what a `Host` field says.
    public let authority: String
    /// Undecoded, beginning with a slash.
    public let path: String
    /// Undecoded, without its question mark; nil for none.
    public let query: String?

    /// Reads `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`, whose scheme is one of those with a port; a fragment
    /// is left out.
    ///
    /// Nil for anything else: for a port that is none, for control characters, for a host that nobody can be called by.
    public init?(_ text: String, defaultPorts: [String: Int] = ServerURL.webPorts) {
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }), let colon = text.firstIndex(of: ":"),
            text[colon...].hasPrefix("://")
        else { return nil }
        let scheme = text[..<colon].lowercased()
        guard let defaultPort = defaultPorts[scheme] else { return nil }
        let rest = text[colon...].dropFirst(3).prefix { $0 != "#" }
        let mark = rest.firstIndex(of: "?") ?? rest.endIndex
        let slash = rest[..<mark].firstIndex(of: "/") ?? mark
        var place = rest[..<slash]
        var login: Login?
        if let at = place.lastIndex(of: "@") {
            login = Self.login(place[..<at])
            place = place[place.index(after: at)...]
        }
        guard let (host, portText) = Self.parts(place), let port = Self.port(portText, or: defaultPort) else {
            return nil
        }
        self.scheme = scheme
        self.login = login
        self.host = host
        self.port = port
        let name = host.contains(":") ? "[\(Self.joined(zones: host, by: "%25"))]" : host
        authority = name + (portText.isEmpty ? "" : ":\(port)")
        path = slash == mark ? "/" : Self.encoded(rest[slash..<mark])
        query = mark == rest.endIndex ? nil : Self.encoded(rest[rest.index(after: mark)...])
    }

    /// Scheme, host and port, without a slash at the end.
    public var base: String { "\(scheme)://\(authority)" }

    /// Path and query.
    public var target: String { query.map { "\(path)?\($0)" } ?? path }

    /// The whole, without user and password.
    public var text: String { base + target }

    // MARK: Parts

    private static func login(_ text: Substring) -> Login {
        let colon = text.firstIndex(of: ":") ?? text.endIndex
        return Login(user: decoded(text[..<colon]), password: decoded(text[colon...].dropFirst()))
    }

    /// Splits a place into its host and the text of its port.
    private static func parts(_ place: Substring) -> (host: String, port: Substring)? {
        guard place.first != "[" else {
            guard let end = place.firstIndex(of: "]") else { return nil }
            let host = Self.unescapedZone(place[..<end].dropFirst().lowercased())
            let port = place[place.index(after: end)...]
            guard isAddress(host), port.isEmpty || port.first == ":" else { return nil }
            return (host, port.dropFirst())
        }
        let colon = place.firstIndex(of: ":") ?? place.endIndex
        let host = place[..<colon].lowercased()
        return isName(host) ? (host, place[colon...].dropFirst()) : nil
    }

    /// Digits alone: other readers of numbers take signs as well.
    private static func port(_ text: Substring, or fallback: Int) -> Int? {
        guard !text.isEmpty else { return fallback }
        guard text.utf8.count <= 5, text.utf8.allSatisfy(isDigit), let port = Int(text) else { return nil }
        return (1...65_535).contains(port) ? port : nil
    }

    private static func isName(_ host: String) -> Bool {
        (1...253).contains(host.utf8.count)
            && host.utf8.allSatisfy { isAlphanumeric($0) || "-._~".utf8.contains($0) }
    }

    /// An address of IPv6; one of a single link may name that as `%25eth0` or, as people write it, `%eth0`.
    private static func isAddress(_ host: String) -> Bool {
        let percent = host.firstIndex(of: "%") ?? host.endIndex
        let zone = host[percent...].dropFirst()
        guard percent == host.endIndex || !zone.isEmpty, zone.utf8.allSatisfy(isAlphanumeric) else { return false }
        var address = in6_addr()
        return inet_pton(AF_INET6, String(host[..<percent]), &address) == 1
    }

    // By hand: what the library has for it makes a static program a tenth larger.

    private static func joined(zones host: String, by mark: String) -> String {
        host.split(separator: "%", omittingEmptySubsequences: false).joined(separator: mark)
    }

    private static func unescapedZone(_ host: String) -> String {
        let parts = host.split(separator: "%", omittingEmptySubsequences: false)
        let zones = parts.dropFirst().map { $0.hasPrefix("25") ? $0.dropFirst(2) : $0 }
        return (parts.prefix(1) + zones).joined(separator: "%")
    }

    // MARK: Characters

    /// What a path or a query may hold as it is (RFC 3986 §3.3, §3.4); the rest is written as percent and digits.
    private static func encoded(_ text: Substring) -> String {
        let bytes = Array(text.utf8)
        var out = ""
        for (place, byte) in bytes.enumerated() {
            let isEscape =
                byte == UInt8(ascii: "%") && place + 2 < bytes.count && URLText.value(ofDigit: bytes[place + 1]) != nil
                && URLText.value(ofDigit: bytes[place + 2]) != nil
            if isEscape || isAlphanumeric(byte) || "-._~!$&'()*+,;=:@/?".utf8.contains(byte) {
                out.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                URLText.append(escaped: byte, to: &out)
            }
        }
        return out
    }

    private static func decoded(_ text: Substring) -> String {
        String(decoding: URLText.unescaped(text), as: UTF8.self)
    }

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) && byte < 0x80
    }
}
