// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird

/// For whom a listener's guarded routes are.
///
/// A browser keeps a password for an origin and sends it with whatever a page of that origin asks for. Functions answer
/// with pages, so no password may come into being on their origin: there only programs are asked for one.
public enum Audience: Sendable {
    /// Clients that are told a password for what they do: the origin of the functions.
    case programs
    /// People with a browser: an origin on which nothing but our own pages is.
    case browsers

    /// What asks for a password; nil where nobody may be asked.
    func challenge(to request: Request) -> String? {
        switch self {
        case .programs: BrowserTraits(request.headers).isBrowser ? nil : "Basic realm=\"Restricted\""
        case .browsers: "Basic realm=\"Martlet\", charset=\"UTF-8\""
        }
    }
}

/// What header fields tell of a browser behind a request.
struct BrowserTraits {
    private let origin: String?
    /// `same-origin`, `same-site`, `cross-site`, or `none` for what a person typed (Fetch Metadata).
    private let site: String?
    private let hasCredentials: Bool
    /// A browser sends it, and asks its user for a password when it is told to.
    let isBrowser: Bool

    init(_ headers: HTTPFields) {
        origin = headers[.origin]
        site = Self.value("Sec-Fetch-Site", headers)
        hasCredentials = headers[.authorization] != nil
        let agent = headers[.userAgent] ?? ""
        // PowerShell says that it is Mozilla, and waits for the challenge before it sends a password.
        let isBrowserAgent = agent.hasPrefix("Mozilla/") && !agent.contains("PowerShell/")
        let metadata = ["Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User"]
        isBrowser =
            isBrowserAgent || origin != nil || site != nil || metadata.contains { Self.value($0, headers) != nil }
    }

    /// Whether a page may be acting with rights that are its visitor's.
    ///
    /// They are the visitor's password, or, where none is needed, that the visitor's machine reaches this one. What a
    /// person typed into the address bar is no page's doing, but the browser would keep the password of it.
    func borrowsRights(areGranted: Bool) -> Bool {
        guard !hasCredentials else { return origin != nil || site != nil }
        return areGranted && (origin != nil || (site ?? "none") != "none")
    }

    private static func value(_ name: String, _ headers: HTTPFields) -> String? {
        HTTPField.Name(name).flatMap { headers[$0] }
    }
}
