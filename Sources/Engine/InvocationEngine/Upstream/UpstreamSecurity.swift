// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import NIOCore

/// TLS towards servers that carry out calls, for programs that have it: the engine itself has none.
public protocol UpstreamSecurity: Sendable {
    /// Puts what encrypts into the pipeline of a channel that is about to connect, and begins when it has connected.
    ///
    /// Called on the channel's event loop, once per connection. `host` is the name that the server goes by where `tls`
    /// has none; nil where it has no name but an address. The future succeeds when the server is known to be the right
    /// one, within a limit, and before a byte of a request is sent; else it fails, with a fault that says why where that
    /// is known, and the channel is closed. A server that ends a connection without saying so first is told of as an
    /// error of the channel, since what it sent may have been cut off.
    func secure(
        _ channel: any Channel,
        by tls: UpstreamTLS,
        host: String?,
        within limit: TimeAmount
    ) -> EventLoopFuture<Void>
}
