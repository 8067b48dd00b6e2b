// SPDX-License-Identifier: Apache-2.0

public import Hummingbird
public import Logging

/// What a control request carries through routes and middleware.
public struct SystemContext: RequestContext {
    /// Where a context comes from: a request on the front door's connection.
    public struct Source: RequestContextSource {
        /// The request's logger.
        public let logger: Logger
        /// The client's address without port.
        public let clientAddress: String?
    }

    /// What Hummingbird needs.
    public var coreContext: CoreRequestContextStorage
    /// The client's address without port.
    public let clientAddress: String?
    /// Who asks; nobody where that was of no matter.
    public internal(set) var principal = Principal.nobody

    /// Makes a context.
    public init(source: Source) {
        coreContext = CoreRequestContextStorage(source: source)
        clientAddress = source.clientAddress
    }
}
