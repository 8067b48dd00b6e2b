// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import ProviderContract

/// Opening connections: as many as calls wait for one, but no more at a time than the server has shown to take.
extension UpstreamPool {
    /// A connection on its way.
    struct Attempt {
        let connection: UpstreamConnection
        let slot: ConnectionOpenings.Slot
        let since: NIODeadline
        /// Whether the server's machine has answered, and it is being found out whether it is the right one.
        var isHandshaking = false
        /// How often it was looked at.
        ///
        /// Between two looks the event loop has heard of what happened: a loop that is busy does not take its own slowness
        /// for the network's.
        var looks = 0
    }

    private var openings: ConnectionOpenings { replica.connections.openings }

    /// Opens a connection for a call, and hands it whichever is ready first: that, or one that falls free.
    func add(_ waiter: ConnectionWaiter, in context: LoopContext) {
        waiters.add(waiter)
        openMore(context)
        watch(context)
    }

    /// Hands kept connections to calls that wait.
    @inline(__always)
    func serveWaiters() {
        if waiters.count > 0 { serveFromIdle() }
    }

    private func serveFromIdle() {
        while hasIdle, let waiter = waiters.next(isFresh: false) {
            guard let connection = takeIdle() else { return }
            waiter.fulfil(with: connection)
        }
    }

    // MARK: Opening

    private func openMore(_ context: LoopContext) {
        guard !isOpening else { return }
        isOpening = true
        defer { isOpening = false }
        while attempts.count < waiters.count, !isInLine, !isLineFull {
            guard let slot = openings.take(at: Self.now) else { return standInLine(context) }
            open(slot, context)
        }
    }

    private func standInLine(_ context: LoopContext) {
        isInLine = true
        let bound = NIOLoopBound((self, context), eventLoop: context.loop)
        openings.enlist { slot in
            bound.eventLoop.execute {
                let (pool, context) = bound.value
                pool.take(slot, context)
            }
        }
    }

    /// A slot has become free for this event loop, which may not need it any more.
    private func take(_ slot: ConnectionOpenings.Slot, _ context: LoopContext) {
        isInLine = false
        guard attempts.count < waiters.count, !isLineFull else { return openings.noteEnded(slot) }
        open(slot, context)
        openMore(context)
    }

    private func open(_ slot: ConnectionOpenings.Slot, _ context: LoopContext) {
        let connection = UpstreamConnection(self, context)
        attempts.append(Attempt(connection: connection, slot: slot, since: .now()))
        connect(connection, in: context).assumeIsolated().whenComplete { [self] outcome in
            switch outcome {
            case .success: connected(connection, context)
            case .failure(let error): failed(connection, error, context)
            }
        }
    }

    /// The network has done its part.
    private func connected(_ connection: UpstreamConnection, _ context: LoopContext) {
        guard let index = attempts.firstIndex(where: { $0.connection === connection }) else {
            return connection.close()
        }
        let attempt = attempts[index]
        openings.noteConnected(attempt.slot, after: Self.nanoseconds(.now() - attempt.since), at: Self.now)
        guard let handshake = connection.handshake else { return established(connection) }
        attempts[index].isHandshaking = true
        handshake.assumeIsolated().whenComplete { [self] outcome in
            switch outcome {
            case .success: established(connection)
            case .failure(let error):
                connection.close()
                failed(connection, error, context)
            }
        }
    }

    private func established(_ connection: UpstreamConnection) {
        guard let attempt = remove(connection) else { return connection.close() }
        connection.slot = attempt.slot
        if let waiter = waiters.next(isFresh: true) {
            waiter.fulfil(with: connection)
        } else {
            connection.rest()
        }
    }

    private func failed(_ connection: UpstreamConnection, _ error: any Error, _ context: LoopContext) {
        connection.noteEnd()
        guard let attempt = remove(connection) else { return }
        if (error as? IOError)?.errnoCode == EAGAIN { return noteFullLine(attempt) }
        openings.noteEnded(attempt.slot)
        suspect()
        waiters.next(isFresh: true)?.fail(error)
        openMore(context)
    }

    /// Where the network would drop what finds a server's line full, a socket in the file system says so at once: that is
    /// the same to those who wait, who are served by the next look.
    private func noteFullLine(_ attempt: Attempt) {
        isLineFull = true
        openings.noteDropped(attempt.slot, after: UInt64(Self.interval.nanoseconds), at: Self.now)
    }

    private func remove(_ connection: UpstreamConnection) -> Attempt? {
        guard let index = attempts.firstIndex(where: { $0.connection === connection }) else { return nil }
        attempts.swapAt(index, attempts.count - 1)
        return attempts.removeLast()
    }

    // MARK: Watching

    private static var interval: TimeAmount { .milliseconds(5) }

    /// Looks after those that wait, as long as there are any.
    private func watch(_ context: LoopContext) {
        guard !isWatched else { return }
        isWatched = true
        context.loop.assumeIsolated().scheduleTask(in: Self.interval) { [self] in
            isWatched = false
            let wasLineFull = isLineFull
            isLineFull = false
            guard waiters.count > 0 else { return }
            if giveDroppedUp(context) || wasLineFull { endLongestWait(context) }
            openings.renew(at: Self.now)
            openMore(context)
            watch(context)
        }
    }

    /// What came to a full line was dropped, and the system would try it again after a second: a new attempt is quicker.
    ///
    /// True when there was any.
    private func giveDroppedUp(_ context: LoopContext) -> Bool {
        let limit = context.limits.connect
        let patience = max(server.leastPatience, .nanoseconds(Int64(clamping: openings.patience)))
        for index in attempts.indices { attempts[index].looks += 1 }
        guard patience < limit else { return false }
        let dropped = attempts.filter {
            Self.interval * $0.looks >= patience && $0.connection.hasChannel && !$0.isHandshaking
        }
        for attempt in dropped {
            _ = remove(attempt.connection)
            openings.noteDropped(attempt.slot, after: Self.nanoseconds(patience), at: Self.now)
            attempt.connection.close()
        }
        return !dropped.isEmpty
    }

    /// A call that has waited for as long as connecting may take is told so, as if it had been its own attempt.
    private func endLongestWait(_ context: LoopContext) {
        let limit = context.limits.connect
        guard let oldest = waiters.oldest, NIODeadline.now() - oldest >= limit else { return }
        suspect()
        waiters.next(isFresh: true)?.fail(ChannelError.connectTimeout(limit))
    }

    private static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    private static func nanoseconds(_ amount: TimeAmount) -> UInt64 { UInt64(clamping: amount.nanoseconds) }
}
