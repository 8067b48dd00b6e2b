// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The clients' connections of one event loop, and what all of them answer by; confined to it.
final class ConnectionRegistry {
    /// Answers what is no call, on listeners that have no responder of their own.
    let responder: any LocalResponder
    /// Where calls are taken in that are carried out later; nil where none are.
    let intake: IntakeDesk?
    /// Answers for a watchdog's health.
    let health: (@Sendable (HealthQuestion) -> HealthAnswer)?
    private(set) var isDraining = false
    /// Takes connections that have nothing to do; nil where they are kept.
    private(set) var heir: (@Sendable (ListenerOffer, CInt) -> Void)?
    private let loop: any EventLoop
    private var connections: [ObjectIdentifier: HTTP1Connection] = [:]
    private var whenEmpty: EventLoopPromise<Void>?

    init(
        loop: any EventLoop,
        responder: any LocalResponder,
        intake: IntakeDesk?,
        health: (@Sendable (HealthQuestion) -> HealthAnswer)?
    ) {
        self.loop = loop
        self.responder = responder
        self.intake = intake
        self.health = health
    }

    func add(_ connection: HTTP1Connection) { connections[ObjectIdentifier(connection)] = connection }

    func remove(_ connection: HTTP1Connection) {
        connections[ObjectIdentifier(connection)] = nil
        if connections.isEmpty { whenEmpty?.succeed(()) }
    }

    /// From now on every answer is the last one of its connection.
    func announceDrain() {
        isDraining = true
        for connection in connections.values { connection.isDraining = true }
    }

    /// From now on connections that have nothing to do are somebody else's.
    func handOn(to heir: @escaping @Sendable (ListenerOffer, CInt) -> Void) {
        self.heir = heir
        announceDrain()
        for connection in Array(connections.values) { connection.drain() }
    }

    /// Requests whose answer needs more of the platform than a replica.
    var ownRequests: Int { connections.values.count(where: \.isOwnRequest) }

    /// Ends idle connections now and the others after their answer; the future succeeds when none is left.
    func drain() -> EventLoopFuture<Void> {
        isDraining = true
        let promise = loop.makePromise(of: Void.self)
        guard !connections.isEmpty else {
            promise.succeed(())
            return promise.futureResult
        }
        whenEmpty = promise
        for connection in Array(connections.values) { connection.drain() }
        return promise.futureResult
    }

    /// Cuts what is left.
    func closeAll() {
        for connection in Array(connections.values) { connection.abort() }
    }
}
