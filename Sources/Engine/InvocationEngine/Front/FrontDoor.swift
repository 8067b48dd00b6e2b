// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
import Glibc
public import NIOCore
import NIOPosix
import ProviderContract
import Synchronization

/// The listener and the invocation engine behind it.
///
/// Calls of functions are carried out here; every other request goes to the local responder. Made once; `listen` may
/// be called for several addresses.
public final class FrontDoor: Sendable {
    /// The event loops that calls are carried out on.
    public let loops: EngineLoops
    private let listeners = Mutex<[(offer: ListenerOffer, channel: any Channel)]>([])
    /// How many clients may wait until they are accepted.
    private static let backlog: CInt = 1024

    /// Makes an engine on the event loops of a group, following a routing table.
    public convenience init(
        group: any EventLoopGroup,
        settings: EngineSettings,
        table: RoutingTable,
        responder: any LocalResponder,
        ledger: (any InvocationLedger)? = nil
    ) {
        self.init(
            loops: EngineLoops(group: group),
            settings: settings,
            table: table,
            responder: responder,
            ledger: ledger
        )
    }

    /// The same on event loops that others know already, and that no other door has.
    public init(
        loops: EngineLoops,
        settings: EngineSettings,
        table: RoutingTable,
        responder: any LocalResponder,
        ledger: (any InvocationLedger)? = nil
    ) {
        self.loops = loops
        loops.open(EngineParts(settings: settings, table: table, responder: responder, ledger: ledger))
    }

    deinit {
        for listener in listeners.withLock({ $0 }) { listener.channel.close(promise: nil) }
    }

    /// Begins to accept connections; returns the address with the port that was taken.
    ///
    /// Throws the system's error, as when the port is in use.
    ///
    /// `offer` is what clients find there.
    public func listen(
        host: String,
        port: Int,
        offer: ListenerOffer = ListenerOffer()
    ) async throws -> SocketAddress {
        try await bind(host: host, port: port, offer: offer).get()
    }

    /// The same, for programs without tasks.
    package func bind(
        host: String,
        port: Int,
        offer: ListenerOffer = ListenerOffer()
    ) -> EventLoopFuture<SocketAddress> {
        listening(offer, by: { $0.bind(host: host, port: port) })
    }

    private func listening(
        _ offer: ListenerOffer,
        by begin: (ServerBootstrap) -> EventLoopFuture<any Channel>
    ) -> EventLoopFuture<SocketAddress> {
        begin(bootstrap(offer)).flatMapThrowing { [self] channel in
            // Where the socket was there before, NIO has set another bound.
            _ = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                Glibc.listen($0, Self.backlog)
            }
            listeners.withLock { $0.append((offer, channel)) }
            guard let address = channel.localAddress else { throw ChannelError.unknownLocalAddress }
            return address
        }
    }

    private func bootstrap(_ offer: ListenerOffer) -> ServerBootstrap {
        let byLoop = Dictionary(uniqueKeysWithValues: loops.handles.map { (ObjectIdentifier($0.loop), $0) })
        return ServerBootstrap(group: loops.group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // Without descriptors left nothing can be accepted; in a moment some may have come back.
                    let backOff = AcceptBackoffHandler { _ in .milliseconds(50) }
                    try channel.pipeline.syncOperations.addHandler(backOff)
                }
            }
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: ReadSizes())
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                guard let loop = byLoop[ObjectIdentifier(channel.eventLoop)] else {
                    return channel.eventLoop.makeFailedFuture(ChannelError.inappropriateOperationForState)
                }
                return loop.welcome(channel, offer)
            }
    }

    // MARK: Handing over

    /// Begins to accept the connections of a socket that listens already, which is the door's from now on.
    ///
    /// Nobody else may accept on it at the same time.
    public func listen(on socket: CInt, offer: ListenerOffer = ListenerOffer()) async throws -> SocketAddress {
        try await listening(offer, by: { $0.withBoundSocket(socket) }).get()
    }

    /// Stops accepting; returns the sockets, on which clients wait until somebody accepts again, and what they find there.
    ///
    /// They are the caller's to close.
    public func stopListening() async -> [(offer: ListenerOffer, socket: CInt)] {
        let sockets = await copiesOfListeners()
        let all = listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in all {
            await pause(listener.channel)
            try? await listener.channel.close().get()
        }
        return sockets
    }

    /// Accepts no more, and returns when every connection that was accepted has come to its event loop: one that is still
    /// on the way when its listener closes is closed with it, and its client meets a reset.
    private func pause(_ listener: any Channel) async {
        try? await listener.setOption(.autoRead, value: false).get()
        for loop in loops.handles { try? await loop.submit { _ in }.get() }
        try? await listener.eventLoop.submit {}.get()
        for loop in loops.handles { try? await loop.submit { _ in }.get() }
    }

    /// The sockets that it listens on, which are the caller's to close; it goes on to accept.
    public func copiesOfListeners() async -> [(offer: ListenerOffer, socket: CInt)] {
        var sockets: [(offer: ListenerOffer, socket: CInt)] = []
        for (offer, channel) in listeners.withLock({ $0 }) {
            let copy = channel.eventLoop.submit { channel.pipeline.syncOperations.copyOfSocket() }
            if let socket = try? await copy.get() { sockets.append((offer, socket)) }
        }
        return sockets
    }

    /// Gives away each connection that has nothing to do, now or after its answer, with what its client has sent that was
    /// not read yet; connections that somebody decodes before are kept, and end after their next answer.
    ///
    /// `take` is called on event loops and closes what it is given.
    public func handOn(to take: @escaping @Sendable (ListenerOffer, CInt) -> Void) async {
        for loop in loops.handles { try? await loop.submit { $0.connections.handOn(to: take) }.get() }
    }

    /// Goes on with a connection that somebody else has given away.
    public func adopt(_ socket: CInt, offer: ListenerOffer) async throws {
        let handle = loops.next()
        _ = try await ClientBootstrap(group: handle.loop)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: ReadSizes())
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { handle.welcome($0, offer) }
            .withConnectedSocket(socket)
            .get()
    }

    /// Waits a while until no request is in flight that the platform itself answers, or takes in.
    public func ownRequestsEnd(within limit: Duration) async {
        let deadline = ContinuousClock.now + limit
        while await ownRequests() > 0, ContinuousClock.now < deadline {
            guard (try? await Task.sleep(for: .milliseconds(5))) != nil else { return }
        }
    }

    private func ownRequests() async -> Int {
        var count = 0
        for loop in loops.handles { count += (try? await loop.submit { $0.connections.ownRequests }.get()) ?? 0 }
        return count
    }

    // MARK: Numbers

    /// What was counted, summed over the event loops.
    public func metrics() async throws -> [FunctionMetrics] { try await loops.metrics() }

    /// How busy some functions are; those that are not known are left out.
    public func activity(of functions: [FunctionID]) async throws -> [FunctionID: FunctionActivity] {
        try await loops.activity(of: functions)
    }

    /// Stops accepting, lets calls in flight end, and cuts what is left when the limit has passed.
    ///
    /// Kept connections are told by `Connection: close` on their last answer, and are lingered on, so that no client
    /// meets a reset.
    public func drain(within limit: Duration) async {
        // Before anybody can see that nothing is accepted any more: whoever is answered after that is told to go.
        for loop in loops.handles { try? await loop.submit { $0.connections.announceDrain() }.get() }
        for listener in listeners.withLock({ $0 }) {
            await pause(listener.channel)
            try? await listener.channel.close().get()
        }
        let drained = loops.handles.map { loop in loop.flatSubmit { $0.connections.drain() } }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { for future in drained { try? await future.get() } }
            tasks.addTask { try? await Task.sleep(for: limit) }
            await tasks.next()
            tasks.cancelAll()
            for loop in loops.handles { loop.run { $0.connections.closeAll() } }
        }
    }
}
