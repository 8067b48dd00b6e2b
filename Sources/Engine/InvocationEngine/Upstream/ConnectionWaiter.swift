// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore

/// What carries out a call that has a slot at a replica and no connection to it yet: nobody, until there is one.
final class ConnectionWaiter: Origin {
    /// Nil when it has one, or does not want one any more.
    private var exchange: Exchange?
    private let pool: UpstreamPool
    /// Whether only a connection will do that has not carried a call yet.
    let isFresh: Bool
    let since: NIODeadline

    init(_ exchange: Exchange, at pool: UpstreamPool, isFresh: Bool) {
        (self.exchange, self.pool, self.isFresh) = (exchange, pool, isFresh)
        since = .now()
    }

    var isWaiting: Bool { exchange != nil }

    /// There is a connection.
    func fulfil(with connection: UpstreamConnection) {
        guard let exchange = exchange.take() else { return }
        connection.carryOut(exchange)
    }

    /// There is none to be had.
    func fail(_ error: any Error) {
        guard let exchange = exchange.take() else { return }
        exchange.connectionRefused(error)
    }

    // MARK: Origin

    var isWritable: Bool { false }

    func takeBody(_ piece: ByteBuffer) {}

    func endBody(trailers: ByteBuffer?) {}

    func flush() {}

    func resumeAnswer() {}

    func abandon() {
        guard exchange.take() != nil else { return }
        pool.waiters.noteGivenUp()
    }
}

/// The calls that wait for a connection to one replica on one event loop, the oldest first.
struct ConnectionWaiters {
    private var waiting = Deque<ConnectionWaiter>()
    /// How many there are that have not given up.
    private(set) var count = 0

    /// When the oldest began to wait.
    var oldest: NIODeadline? { waiting.first { $0.isWaiting }?.since }

    /// One that wants a fresh connection has waited for an answer before: it comes first.
    mutating func add(_ waiter: ConnectionWaiter) {
        count += 1
        if waiter.isFresh { waiting.prepend(waiter) } else { waiting.append(waiter) }
    }

    /// The oldest of those that a new connection, or a kept one, is good enough for.
    mutating func next(isFresh: Bool) -> ConnectionWaiter? {
        while let first = waiting.first, !first.isWaiting { waiting.removeFirst() }
        guard let index = waiting.firstIndex(where: { $0.isWaiting && (isFresh || !$0.isFresh) }) else { return nil }
        count -= 1
        return waiting.remove(at: index)
    }

    /// Those that gave up behind one that waits on are swept out when they are the most.
    mutating func noteGivenUp() {
        count -= 1
        if waiting.count > 2 * count + 64 { waiting.removeAll { !$0.isWaiting } }
    }
}
