// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import InvocationEngine
import QueueContract

/// What the receiver of a callback has answered.
struct CallbackAnswer: Sendable, Equatable {
    /// 0 where there was no answer.
    var status: Int
    /// `Location`.
    var location: String?

    init(status: Int, location: String? = nil) {
        self.status = status
        self.location = location
    }

    /// What a function of this platform has answered.
    init(_ answer: DirectAnswer) {
        let location = FieldLines.read(answer.fields).first { $0.name.lowercased() == "location" }?.value
        self.init(status: answer.status, location: location)
    }
}

/// Where a callback is sent to: the receiver that its sender named, or one that this has named instead.
struct CallbackHop: Sendable, Equatable {
    let server: ServerURL
    /// `Authorization`, of a URL that has a user.
    let authorization: String?
    /// How many receivers have sent it on.
    private let redirects: Int
    /// Whether it is still at the server that its sender named.
    private let isAtHome: Bool
    private static let mostRedirects = 3

    /// The receiver that the sender named.
    init(_ server: ServerURL) {
        self.server = server
        authorization = server.login.map { login in
            "Basic " + Data("\(login.user):\(login.password)".utf8).base64EncodedString()
        }
        (redirects, isAtHome) = (0, true)
    }

    private init(_ server: ServerURL, behind hop: CallbackHop) {
        self.server = server
        redirects = hop.redirects + 1
        let isSame =
            hop.server.scheme == server.scheme && hop.server.host == server.host && hop.server.port == server.port
        isAtHome = hop.isAtHome && isSame
        authorization = isAtHome ? hop.authorization : nil
    }

    /// Where the receiver wants it sent instead, with its method and its body (RFC 9110 §15.4.8, §15.4.9); nil where it
    /// says nothing of that, or what is not done: a fourth time, or from `https` to `http`.
    func next(_ answer: CallbackAnswer) -> CallbackHop? {
        guard answer.status == 307 || answer.status == 308, redirects < Self.mostRedirects,
            let location = answer.location, let next = resolved(location),
            server.scheme == "http" || next.scheme == "https"
        else { return nil }
        return CallbackHop(next, behind: self)
    }

    /// Whether a field of the function's answer goes there: what may be a secret of the sender's stays at his server.
    func takes(_ field: String) -> Bool {
        switch field.lowercased() {
        case "authorization": isAtHome && authorization == nil
        case "cookie", "proxy-authorization": isAtHome
        default: true
        }
    }

    /// A reference as seen from here (RFC 3986 §5.2).
    private func resolved(_ location: String) -> ServerURL? {
        if location.hasPrefix("//") { return ServerURL("\(server.scheme):\(location)") }
        if location.hasPrefix("/") { return ServerURL(server.base + location) }
        if location.hasPrefix("?") { return ServerURL(server.base + server.path + location) }
        let scheme = location.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard !scheme.contains(":") else { return ServerURL(location) }
        let folder = server.path[...(server.path.lastIndex(of: "/") ?? server.path.startIndex)]
        return location.isEmpty ? server : ServerURL(server.base + String(folder) + location)
    }
}
