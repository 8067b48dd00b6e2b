// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import ProviderContract
import Synchronization

/// One replica as one event loop sees it: its address and the connections kept open for it.
final class LocalReplica {
    let replica: Replica
    /// Where its HTTP server is; nil for what is no server.
    let upstream: HTTPUpstream?
    private var idle: [UpstreamConnection] = []
    private(set) var isRetired: Bool
    /// Until when others are preferred, since it refused a connection.
    private var suspectUntil = NIODeadline.uptimeNanoseconds(0)

    // Opening connections.
    var waiters = WishLine()
    var attempts: [Attempt] = []
    /// Whether it waits for the right to open another.
    var isInLine = false
    var isWatched = false

    init(_ replica: Replica, isRetired: Bool = false) {
        self.replica = replica
        self.isRetired = isRetired
        if case .http(let upstream) = replica.target { self.upstream = upstream } else { upstream = nil }
    }

    /// Whether it refused a connection lately: its process may have ended, and the provider is about to say so.
    ///
    /// Failing quickly, it would look like the least loaded of all and draw every call.
    var isSuspect: Bool { suspectUntil > .now() }

    func suspect() { suspectUntil = .now() + .seconds(1) }

    /// The connection that was used last, if one is kept open: its server is the least likely to have closed it.
    func takeIdle() -> UpstreamConnection? {
        guard let connection = idle.popLast() else { return nil }
        replica.connections.noteTaken()
        return connection
    }

    var hasIdle: Bool { !idle.isEmpty }

    /// Keeps a connection for the next call; false when it must be closed instead.
    func keep(_ connection: UpstreamConnection) -> Bool {
        let connections = replica.connections
        let locksOthersOut =
            !connections.areServedInParallel && connections.unanswered.load(ordering: .relaxed) > 0
        // One more call keeps nobody out for long, and others that are answered meanwhile show that it keeps nobody out.
        let isWanted = waiters.count > 0 && !connection.isReused
        guard !isRetired, !locksOthersOut || isWanted else { return false }
        idle.append(connection)
        connections.noteKept()
        return true
    }

    /// Forgets a kept connection that was closed.
    func drop(_ connection: UpstreamConnection) {
        guard let index = idle.firstIndex(where: { $0 === connection }) else { return }
        idle.remove(at: index)
        replica.connections.noteTaken()
    }

    /// Closes all kept connections.
    func closeIdle() {
        while let connection = takeIdle() { connection.close() }
    }

    /// Keeps nothing open from now on.
    func retire() {
        isRetired = true
        closeIdle()
    }

    /// Connects on the context's event loop.
    func connect(
        _ connection: UpstreamConnection,
        _ upstream: HTTPUpstream,
        in context: LoopContext
    ) -> EventLoopFuture<any Channel> {
        let connections = replica.connections
        if connections.mayBlockOthers {
            closeIdle()
            for sibling in context.siblings { sibling.closeIdleConnections(to: replica) }
        }
        connections.unanswered.add(1, ordering: .relaxed)
        let bound = NIOLoopBound(connection, eventLoop: context.loop)
        let bootstrap = ClientBootstrap(group: context.loop)
            .connectTimeout(TimeAmount(context.settings.connectTimeout))
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 1024, maximum: 65_536)
            )
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value) }
            }
        guard let address = try? SocketAddress(ipAddress: upstream.host, port: upstream.port) else {
            return bootstrap.connect(host: upstream.host, port: upstream.port)
        }
        return bootstrap.connect(to: address)
    }
}
