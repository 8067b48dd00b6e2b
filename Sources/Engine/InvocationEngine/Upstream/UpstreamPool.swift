// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import ProviderContract
import Synchronization

/// What carries out calls at one replica that is a server: the connections of one event loop to it.
final class UpstreamPool: OriginSource {
    let server: UpstreamServer
    let replica: Replica
    private var idle: [UpstreamConnection] = []
    private var isRetired = false
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
    /// Whether connections are being opened: what fails at once is seen to where they are.
    var isOpening = false

    init(_ server: UpstreamServer, _ replica: Replica) {
        self.server = server
        self.replica = replica
    }

    // MARK: Calls

    /// Gives a call a kept connection, or lets it wait for one.
    func begin(_ call: OriginCall) {
        let exchange = call.exchange
        if let connection = takeIdle() { return connection.carryOut(exchange) }
        guard server.isReachable else {
            return exchange.refuse(
                PlatformFault(.functionUnreachable, "\(exchange.functionName) speaks TLS, which this program does not.")
            )
        }
        wait(exchange, isFresh: false)
    }

    /// Lets a call wait for a connection: one that is opened, or one that falls free before.
    func wait(_ exchange: Exchange, isFresh: Bool) {
        let waiter = ConnectionWaiter(exchange, at: self, isFresh: isFresh)
        exchange.wait(in: waiter)
        add(waiter, in: exchange.loopContext)
    }

    /// Whether it refused a connection lately: its process may have ended, and the provider is about to say so.
    ///
    /// Failing quickly, it would look like the least loaded of all and draw every call.
    func isSuspect(at now: NIODeadline) -> Bool { suspectUntil > now }

    func suspect() { suspectUntil = .now() + .seconds(1) }

    // MARK: Kept connections

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
    func connect(_ connection: UpstreamConnection, in context: LoopContext) -> EventLoopFuture<any Channel> {
        let connections = replica.connections
        if connections.mayBlockOthers {
            closeIdle()
            context.closeIdleElsewhere(replica)
        }
        connections.unanswered.add(1, ordering: .relaxed)
        return server.connect(connection, in: context)
    }
}
