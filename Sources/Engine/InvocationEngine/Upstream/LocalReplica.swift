// SPDX-License-Identifier: Apache-2.0

import NIOCore
import ProviderContract
import Synchronization

/// One replica as one event loop sees it: what carries out calls there, and the connections kept open for it.
final class LocalReplica {
    let replica: Replica
    /// What begins calls that have no connection yet.
    let source: any OriginSource
    /// The same where it is a server; nil for what is none.
    let server: UpstreamServer?
    private var idle: [UpstreamConnection] = []
    private(set) var isRetired: Bool
    /// Until when others are preferred, since it refused a connection.
    private var suspectUntil = NIODeadline.uptimeNanoseconds(0)

    // Opening connections.
    var waiters = ConnectionWaiters()
    var attempts: [Attempt] = []
    /// Whether it waits for the right to open another.
    var isInLine = false
    /// Whether the server's line of connections was found full a moment ago.
    var isLineFull = false
    var isWatched = false

    init(_ replica: Replica, _ origins: OriginFactories, isRetired: Bool = false) {
        self.replica = replica
        self.isRetired = isRetired
        source = origins.source(for: replica.target)
        server = source as? UpstreamServer
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
        to server: UpstreamServer,
        in context: LoopContext
    ) -> EventLoopFuture<any Channel> {
        let connections = replica.connections
        if connections.mayBlockOthers {
            closeIdle()
            for sibling in context.siblings { sibling.closeIdleConnections(to: replica) }
        }
        connections.unanswered.add(1, ordering: .relaxed)
        return server.connect(connection, in: context)
    }
}
