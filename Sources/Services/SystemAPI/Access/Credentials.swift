// SPDX-License-Identifier: Apache-2.0

import Crypto
import FaultModel
import Foundation
import HTTPTypes
public import Hummingbird

/// The user and password of the platform.
///
/// Prints as `***`.
public struct Credentials: Sendable, CustomStringConvertible {
    private let user: SHA256Digest
    private let password: SHA256Digest

    /// Keeps what is needed to compare.
    public init(user: String, password: String) {
        self.user = SHA256.hash(data: Data(user.utf8))
        self.password = SHA256.hash(data: Data(password.utf8))
    }

    /// Nothing of the secret.
    public var description: String { "***" }

    /// Whether an `Authorization` carries them (RFC 7617).
    ///
    /// Both parts are always compared, as digests, which takes the same time however much of them is right.
    func accept(_ authorization: String?) -> Bool {
        guard let authorization, authorization.lowercased().hasPrefix("basic "),
            let data = Data(base64Encoded: authorization.dropFirst(6).trimmingCharacters(in: .whitespaces)),
            let colon = data.firstIndex(of: UInt8(ascii: ":"))
        else { return false }
        let isUser = SHA256.hash(data: data[..<colon]) == user
        let isPassword = SHA256.hash(data: data[data.index(after: colon)...]) == password
        return isUser && isPassword
    }
}

/// Lets only requests with the right credentials through (contract §2.1).
public struct BasicAuthMiddleware: RouterMiddleware {
    private let credentials: Credentials?
    private let audience: Audience

    /// Without credentials everybody gets through (`--no-auth`), but a browser's page not to what is for programs.
    public init(_ credentials: Credentials?, for audience: Audience = .programs) {
        self.credentials = credentials
        self.audience = audience
    }

    /// Answers 401 or 403, or goes on.
    @concurrent
    public func handle(
        _ request: Request,
        context: SystemContext,
        next: @concurrent (Request, SystemContext) async throws -> Response
    ) async throws -> Response {
        if audience == .programs, BrowserTraits(request.headers).borrowsRights(areGranted: credentials == nil) {
            throw PlatformFault(
                .forbidden,
                "The API is not for pages in a browser; use the page's own address.",
                hint: "Programs send neither Origin nor Sec-Fetch-Site."
            )
        }
        guard let credentials, !credentials.accept(request.headers[.authorization]) else {
            return try await next(request, context)
        }
        throw PlatformFault(
            .unauthorized,
            "invalid credentials",
            hint: "Log in: faas-cli login --password-stdin, or martlet login"
        )
    }
}
