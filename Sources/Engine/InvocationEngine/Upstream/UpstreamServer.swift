// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import NIOPosix
import ProviderContract

/// A server as calls need it, made ready when its route arrives.
final class UpstreamServer {
    private let address: Upstream.Address
    /// What stands before each path, without a slash at its end.
    let pathPrefix: String
    /// What `Host` says for a client that sent none (HTTP/1.0).
    let host: String
    /// What every request gets besides; nil for nothing.
    let added: AddedFields?
    /// Bytes that all of these take in a head, at most.
    let room: Int
    /// Less is no sign that a connection will not come about.
    let leastPatience: TimeAmount
    private let tls: UpstreamTLS?
    private let security: (any UpstreamSecurity)?

    init(_ upstream: Upstream, security: (any UpstreamSecurity)?) {
        address = upstream.address
        pathPrefix = upstream.pathPrefix
        host = upstream.address.authority
        added = upstream.headers.isEmpty ? nil : AddedFields(upstream.headers)
        room = pathPrefix.utf8.count + host.utf8.count + (added?.lines.utf8.count ?? 0)
        leastPatience = upstream.address.leastPatience
        tls = upstream.tls
        self.security = security
    }

    /// Whether what is sent has to be encrypted.
    var isSecured: Bool { tls != nil }

    /// Whether this program speaks what it speaks.
    var isReachable: Bool { tls == nil || security != nil }

    /// Connects on an event loop; the channel is there before the server is known to be the right one, as the connection's
    /// `handshake` tells.
    ///
    /// A name may have several addresses, which are tried side by side: only the channel that comes about first gets the
    /// connection as its handler.
    func connect(_ connection: UpstreamConnection, in context: LoopContext) -> EventLoopFuture<any Channel> {
        let limit = context.limits.connect
        let bound = NIOLoopBound((connection, self), eventLoop: context.loop)
        let bootstrap = ClientBootstrap(group: context.loop)
            .connectTimeout(limit)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 1024, maximum: 65_536)
            )
            .channelInitializer { channel in
                bound.value.0.begin(on: channel)
                return channel.eventLoop.makeSucceededVoidFuture()
            }
        return connect(bootstrap).flatMapThrowing { channel in
            let (connection, server) = bound.value
            try connection.take(channel) { server.secure(channel, within: limit) }
            return channel
        }
    }

    private func connect(_ bootstrap: ClientBootstrap) -> EventLoopFuture<any Channel> {
        switch address {
        case .unix(let path): return bootstrap.connect(unixDomainSocketPath: path)
        case .tcp(let host, let port):
            guard let address = try? SocketAddress(ipAddress: host, port: port) else {
                return bootstrap.connect(host: host, port: port)
            }
            return bootstrap.connect(to: address)
        }
    }

    private func secure(_ channel: any Channel, within limit: TimeAmount) -> EventLoopFuture<Void>? {
        guard let tls, let security else { return nil }
        return security.secure(channel, by: tls, host: address.name, within: limit)
    }
}

extension Upstream.Address {
    /// On this machine a connection comes about at once or not at all; where a name has several addresses, each is given a
    /// while.
    fileprivate var leastPatience: TimeAmount {
        switch self {
        case .tcp(let host, _) where host.hasPrefix("127.") || host == "::1": .milliseconds(25)
        case .tcp: .milliseconds(name == nil ? 250 : 1000)
        case .unix: .milliseconds(25)
        }
    }

    /// The name that a certificate may be for; nil for an address without one.
    fileprivate var name: String? {
        guard case .tcp(let host, _) = self, (try? SocketAddress(ipAddress: host, port: 0)) == nil else { return nil }
        return host
    }
}

/// The fields that every request to a server gets, in place of the client's own of those names.
struct AddedFields {
    /// As they go out.
    let lines: String
    /// Whether `Host` is among them.
    let replaceHost: Bool
    private let names: [[UInt8]]

    init(_ headers: [Upstream.Header]) {
        lines = headers.map { "\($0.name): \($0.value)\r\n" }.joined()
        names = headers.map { Array($0.name.utf8) }
        replaceHost = headers.contains { $0.name.lowercased() == "host" }
    }

    /// Whether one of them stands in for a client's field.
    func replace(_ name: UnsafeRawBufferPointer) -> Bool {
        names.contains { own in own.withUnsafeBytes { equalsIgnoringCase($0, name) } }
    }
}
