// SPDX-License-Identifier: Apache-2.0

import FaultModel
import GatewayService
import Glibc
import Logging
import ProcessControl
import ProcessProvider
import ReplicaSupervision
import ServiceLifecycle
import Synchronization

/// Lets another `martlet up` on the same data directory take this one's place, without a call's being dropped.
///
/// One writer at every moment: the successor opens the stores when they are closed here. Until then whatever goes wrong
/// leaves this one serving; from then on it ends, with a failure where the successor had one before it was ready.
struct HandOverService: Service {
    let directory: DataDirectory
    let generation: Generation
    let gateway: Gateway
    let provider: LocalProcessProvider
    let queue: PlatformQueue?
    let program: ServingProgram
    /// Reached when the run before this one has ended.
    let isAlone: Milestone<Void>
    /// Reached when the stores are another one's.
    let isHandedOver: Milestone<Void>
    /// Whether somebody takes over at the moment: one at a time.
    private let isTaken = Flag()

    /// One that has what has one owner.
    private struct Successor: Sendable {
        let socket: MessageSocket
        let process: Int32
        let mail: HandOverMail
    }

    /// Whether something is so, which one at a time can make so.
    private final class Flag: Sendable {
        private let state = Atomic<Bool>(false)

        /// Whether it was not so before.
        func raise() -> Bool { !state.exchange(true, ordering: .sequentiallyConsistent) }

        func lower() { state.store(false, ordering: .sequentiallyConsistent) }
    }

    private var logger: Logger { program.log.logger }

    func run() async throws {
        guard await gateway.addresses.reached() != nil else { return }
        guard let successor = try await successor() else {
            try? await gracefulShutdown()
            return
        }
        let isReady = await successor.socket.next(within: HandOverProtocol.patience)?.text == HandOverProtocol.ready
        try? await gracefulShutdown()
        // Open until everything else has ended, which the successor takes for the end of this process.
        try await end(with: successor, isReady: isReady)
    }

    /// Waits for one that takes over; nil where the program ends before.
    private func successor() async throws -> Successor? {
        guard let listener = MessageListener(folder: directory.path, name: HandOverProtocol.socket) else {
            logger.warning("no other Martlet can take this one's place", metadata: ["why": "\(errno)"])
            return nil
        }
        defer { listener.end() }
        let found = Milestone<Successor>()
        try await withThrowingDiscardingTaskGroup { group in
            for await candidate in listener.connections().cancelOnGracefulShutdown() {
                group.addTask {
                    guard let successor = try await handOver(to: candidate) else { return }
                    found.reach(successor)
                    program.end.reach(.replaced(by: successor.process))
                    listener.end()
                }
            }
        }
        if let why = listener.failure {
            logger.warning("no other Martlet can take this one's place any more", metadata: ["why": "\(why)"])
        }
        return found.value
    }

    /// Whom the stores belong to now; nil where everything is as before.
    private func handOver(to candidate: MessageSocket) async throws -> Successor? {
        guard let process = await accept(candidate) else { return nil }
        guard isTaken.raise() else {
            candidate.send(.init(HandOverProtocol.taken))
            return nil
        }
        candidate.send(.init(HandOverProtocol.heard))
        // What is left of the run before has the names that a successor would use.
        guard await isAlone.reached() != nil, try await offer(to: candidate) else {
            isTaken.lower()
            return nil
        }
        logger.notice("another Martlet takes over", metadata: ["process": "\(process)"])
        let mail = await letGo(to: candidate)
        isHandedOver.reach(())
        return Successor(socket: candidate, process: process, mail: mail)
    }

    /// The process of one that may take over; others are told that they may not.
    private func accept(_ candidate: MessageSocket) async -> Int32? {
        // Whoever has not said yet what it wants keeps nobody from ending.
        let hello = await program.untilEnd { await candidate.next(within: HandOverProtocol.firstPatience)?.text }
        guard let peer = candidate.peer, peer.user == geteuid() else { return nil }
        let identity = DataDirectory.identity(ofDirectory: directory.path)
        if let identity, hello == HandOverProtocol.hello(identity) { return peer.process }
        candidate.send(.init(HandOverProtocol.refused))
        return nil
    }

    /// Stops accepting, and hands out the sockets; false where the other one gives up.
    private func offer(to candidate: MessageSocket) async throws -> Bool {
        // It may have waited for long.
        guard !candidate.hasEnded else { return false }
        let listeners = await gateway.handOver.stopListening()
        let names = listeners.map(\.role.rawValue).joined(separator: " ")
        let offer = "\(HandOverProtocol.listeners) \(generation.other.rawValue) \(names)"
        candidate.send(.init(offer, listeners.map(\.socket)))
        if await candidate.next(within: HandOverProtocol.goPatience)?.text == HandOverProtocol.go {
            for listener in listeners { close(listener.socket) }
            return true
        }
        guard !program.stopping.hasBegun else {
            for listener in listeners { close(listener.socket) }
            return false
        }
        logger.warning("another Martlet gave up before it took over; this one serves on")
        try await gateway.handOver.takeBack(listeners)
        return false
    }

    /// Gives up everything that has one owner; connections go on to go over by what is returned.
    private func letGo(to successor: MessageSocket) async -> HandOverMail {
        let mail = HandOverMail(to: successor)
        await gateway.handOver.letGo { mail.send($1, of: $0) }
        await queue?.close()
        await provider.handOver()
        directory.release()
        successor.send(.init(HandOverProtocol.stores))
        return mail
    }

    /// Ends when everything has gone over.
    private func end(with successor: Successor, isReady: Bool) async throws {
        guard isReady else {
            throw PlatformFault(
                .internalError,
                "The Martlet that took over ended before it was ready.",
                hint: "Its output says why. Start Martlet again."
            )
        }
        let lost = await successor.mail.lost()
        if lost > 0 {
            logger.warning("connections at rest were closed: nobody took them over", metadata: ["count": "\(lost)"])
        }
        ServiceNotification.mainProcess(successor.process)
    }
}

/// What a Martlet and the one that takes its place say to each other, by messages on a Unix socket in the data directory.
///
/// The successor: `martlet 1 IDENTITY`. The other, at once: `heard`, or `taken` where somebody else is before it, or
/// `refused`. When its own predecessor is gone it stops accepting: `listeners GENERATION ROLE …`, with the sockets. The
/// successor: `go`. The other lets go of calls and stores: `connection ROLE`, with a client's connection, any number of
/// times from now on, and once `stores`. The successor opens them and listens: `ready`.
enum HandOverProtocol {
    /// The socket's name in the data directory.
    static let socket = "successor"
    static let heard = "heard"
    static let taken = "taken"
    static let listeners = "listeners"
    static let go = "go"
    static let connection = "connection"
    static let stores = "stores"
    static let ready = "ready"
    static let refused = "refused"
    /// How long the other one may take for its first word, in milliseconds: it has nothing to do before.
    static let firstPatience: Int32 = 10_000
    /// How long it may take for what it says when it has found nothing wrong: nobody accepts meanwhile.
    static let goPatience: Int32 = 2_000
    /// How long it may take for any other step.
    static let patience: Int32 = 30_000

    /// The first message; its number is raised with every change of what follows.
    static func hello(_ identity: String) -> String { "martlet 1 \(identity)" }
}
