// SPDX-License-Identifier: Apache-2.0

/// How connections to a server elsewhere are encrypted, who may be at their other end, and who we are.
///
/// An object, so that what is made of it once, as the authorities that are read from its texts, can be found again by it.
public final class UpstreamTLS: Sendable {
    /// A certificate and its key, which a server may want to see.
    ///
    /// Prints as `***`.
    public struct Identity: Sendable, Hashable, CustomStringConvertible {
        /// The chain, the own certificate first, as PEM.
        public let certificates: String
        /// The private key, as PEM.
        public let privateKey: String

        /// Keeps both.
        public init(certificates: String, privateKey: String) {
            self.certificates = certificates
            self.privateKey = privateKey
        }

        /// Nothing of the secret.
        public var description: String { "***" }
    }

    /// The name that the server's certificate must be for, and that the server is asked by; nil for the address's own.
    public let serverName: String?
    /// The authorities (PEM) that the server's certificate must lead to; nil for those that the machine trusts.
    public let roots: String?
    /// What the server is shown; nil for nothing.
    public let identity: Identity?

    /// Describes connections; nothing is read yet.
    public init(serverName: String? = nil, roots: String? = nil, identity: Identity? = nil) {
        self.serverName = serverName
        self.roots = roots
        self.identity = identity
    }
}
