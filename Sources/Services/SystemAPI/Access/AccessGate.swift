// SPDX-License-Identifier: Apache-2.0

import FaultModel
public import Hummingbird

/// Finds out who asks.
public protocol Authenticator: Sendable {
    /// The principal that a request comes from; nil where it shows none, for lack of credentials or by wrong ones.
    ///
    /// Takes the same time for wrong credentials however much of them is right.
    func authenticate(_ request: Request) async -> Principal?
}

/// The one gate before everything that is not open to everybody (contract §2.1): who asks, and whether that may be done.
package struct AccessGate: Sendable {
    private let authenticator: (any Authenticator)?
    private let audience: Audience

    /// Without an authenticator everybody gets through (`--no-auth`), but a browser's page not to what is for programs.
    package init(_ authenticator: (any Authenticator)?, for audience: Audience = .programs) {
        self.authenticator = authenticator
        self.audience = audience
    }

    /// Lets a request through to what needs a permission, or to what needs none but that somebody is known.
    ///
    /// - Throws: `unauthorized` for whoever is not known, `forbidden` for whoever lacks the permission, and for pages in a
    ///   browser.
    func admit(_ request: Request, to permission: Permission?) async throws(PlatformFault) -> Principal {
        if audience == .programs, BrowserTraits(request.headers).borrowsRights(areGranted: authenticator == nil) {
            throw PlatformFault(
                .forbidden,
                "The API is not for pages in a browser; use the page's own address.",
                hint: "Programs send neither Origin nor Sec-Fetch-Site."
            )
        }
        guard let authenticator else { return .nobody }
        guard let principal = await authenticator.authenticate(request) else {
            throw PlatformFault(
                .unauthorized,
                "invalid credentials",
                hint: "Log in: faas-cli login --password-stdin, or martlet login"
            )
        }
        if let permission, !principal.may(permission) {
            throw PlatformFault(
                .forbidden,
                "\(principal) may not do this: it needs \(permission).",
                hint: "Ask whoever has the password of this Martlet."
            )
        }
        return principal
    }
}
