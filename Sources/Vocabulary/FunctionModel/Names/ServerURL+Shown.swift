// SPDX-License-Identifier: Apache-2.0

extension ServerURL {
    /// A text that should be the URL of a server, as people may see it: without the user and the password in it.
    ///
    /// `***` stands for all up to the last `@`, since in a password that is not encoded there may be anything; and for all
    /// where the host was forgotten, so that a password stands in the port's place.
    public static func shown(_ text: String) -> String {
        let scheme = text[..<endOfScheme(text)]
        let rest = text[scheme.endIndex...]
        if let at = rest.lastIndex(of: "@") { return scheme + "***" + rest[at...] }
        return scheme.isEmpty || hasPort(rest) ? text : scheme + "***"
    }

    /// Any text from outside, as people may see it: without what may be a user and a password in it.
    ///
    /// Where an address is mistyped, or has got into another's place, there is no telling where a password begins.
    public static func withoutLogin(_ text: String) -> String {
        guard let at = text.lastIndex(of: "@"), text[..<at].contains(":") else { return text }
        return UnixURL(text) == nil ? text[..<endOfScheme(text)] + "***" + text[at...] : text
    }

    /// Whether a user and a password have got into the path, as in `http:/USER:PASSWORD@HOST`.
    public var hasMisplacedLogin: Bool { Self.withoutLogin(path) != path }

    /// Whether what stands in the place of a port, if anything, is a number.
    private static func hasPort(_ rest: Substring) -> Bool {
        let place = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let ports = place.split(separator: ":", omittingEmptySubsequences: false).dropFirst()
        return place.first == "[" || ports.allSatisfy { $0.utf8.allSatisfy(isDigit) }
    }

    /// Behind `://`, or the beginning where that is missing.
    private static func endOfScheme(_ text: String) -> String.Index {
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else { return text.startIndex }
        return text.index(colon, offsetBy: 3)
    }
}
