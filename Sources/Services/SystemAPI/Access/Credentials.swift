// SPDX-License-Identifier: Apache-2.0

import Crypto
import Foundation
import HTTPTypes
public import Hummingbird

/// The user and password of the platform.
///
/// Prints as `***`.
public struct Credentials: Sendable, CustomStringConvertible {
    private let name: String
    private let user: SHA256Digest
    private let password: SHA256Digest

    /// Keeps what is needed to compare.
    public init(user: String, password: String) {
        name = user
        self.user = SHA256.hash(data: Data(user.utf8))
        self.password = SHA256.hash(data: Data(password.utf8))
    }

    /// Nothing of the secret.
    public var description: String { "***" }

    /// Whether an `Authorization` carries them (RFC 7617).
    ///
    /// Both parts are always compared, as digests, which takes the same time however much of them is right.
    public func accept(_ authorization: String?) -> Bool {
        guard let authorization, authorization.lowercased().hasPrefix("basic "),
            let data = Data(base64Encoded: authorization.dropFirst(6).trimmingCharacters(in: .whitespaces)),
            let colon = data.firstIndex(of: UInt8(ascii: ":"))
        else { return false }
        let isUser = SHA256.hash(data: data[..<colon]) == user
        let isPassword = SHA256.hash(data: data[data.index(after: colon)...]) == password
        return isUser && isPassword
    }
}

extension Credentials: Authenticator {
    /// Whoever has them may do everything.
    public func authenticate(_ request: Request) async -> Principal? {
        accept(request.headers[.authorization]) ? .administrator(name) : nil
    }
}
