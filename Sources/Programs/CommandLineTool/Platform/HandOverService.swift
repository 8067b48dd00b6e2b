// SPDX-License-Identifier: Apache-2.0

import FaultModel
import GatewayService
import Glibc
import Logging
import ProcessControl
import ReplicaSupervision
import ServiceLifecycle
import Synchronization

/// Lets another `martlet up` on the same data directory take this one's place, without a call's being dropped.
///
/// One writer at every moment: the successor opens the stores when they are closed here. Until then whatever goes wrong
/// leaves this one serving. From then on it ends; where the successor has ended before it was ready, this one begins anew
/// in its process, on its sockets, where clients have waited meanwhile.
struct HandOverService: Service {
    let directory: DataDirectory
    let generation: Generation
    let gateway: Gateway
    let provider: any PlatformProvider
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
        /// What clients wait on, should it end before it is ready.
        let listeners: [HandOver.Listening]
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
        let isReady = await isReady(successor)
        if isReady { for listener in successor.listeners { close(listener.socket) } }
        try? await gracefulShutdown()
        // Open until everything else has ended, which the successor takes for the end of this process.
        try await end(with: successor, isReady: isReady)
    }

    /// Whether it has said so; false where it has ended before, which is waited for: until then the stores are its own.
    private func isReady(_ successor: Successor) async -> Bool {
        while true {
            let word = await successor.socket.next(within: HandOverProtocol.patience)?.text
            if word == HandOverProtocol.ready { return true }
            if successor.socket.hasEnded { return false }
            logger.warning(
                "the Martlet that takes over is not ready yet: calls wait until it is, or has ended",
                metadata: ["process": "\(successor.process)"]
            )
        }
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
        guard await isAlone.reached() != nil, let listeners = try await offer(to: candidate) else {
            isTaken.lower()
            return nil
        }
        logger.notice("another Martlet takes over", metadata: ["process": "\(process)"])
        let mail = await letGo(to: candidate)
        isHandedOver.reach(())
        return Successor(socket: candidate, process: process, mail: mail, listeners: listeners)
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

    /// Stops accepting, and hands out the sockets, which are returned; nil where the other one gives up.
    private func offer(to candidate: MessageSocket) async throws -> [HandOver.Listening]? {
        // It may have waited for long.
        guard !candidate.hasEnded else { return nil }
        let listeners = await gateway.handOver.stopListening()
        let names = listeners.map(\.role.rawValue).joined(separator: " ")
        let offer = "\(HandOverProtocol.listeners) \(generation.other.rawValue) \(names)"
        candidate.send(.init(offer, listeners.map(\.socket)))
        if await candidate.next(within: HandOverProtocol.goPatience)?.text == HandOverProtocol.go {
            return listeners
        }
        guard !program.stopping.hasBegun else {
            for listener in listeners { close(listener.socket) }
            return nil
        }
        logger.warning("another Martlet gave up before it took over; this one serves on")
        try await gateway.handOver.takeBack(listeners)
        return nil
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
        guard isReady else { throw ProgramRestart(listeners: successor.listeners) }
        let lost = await successor.mail.lost()
        if lost > 0 {
            logger.warning("connections at rest were closed: nobody took them over", metadata: ["count": "\(lost)"])
        }
        ServiceNotification.mainProcess(successor.process)
    }
}

/// A program is to begin anew in its process, since the one that was to take its place has ended.
struct ProgramRestart: Error {
    /// On which clients wait.
    let listeners: [HandOver.Listening]

    /// Returns only where it fails.
    func carryOut() -> PlatformFault {
        printError("The Martlet that took over ended before it was ready: this one starts again.")
        let code = ProcessRestart.begin(with: listeners.map { (ServiceSockets.name($0.role), $0.socket) })
        return PlatformFault(
            .internalError,
            "Martlet cannot start again: \(String(cString: strerror(code))).",
            hint: "Start it."
        )
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
    /// When whoever waits for a word says so, in milliseconds.
    static let silence: Int32 = 2_000
    /// How long the other one may take for its first word, in milliseconds: it has nothing to do before.
    static let firstPatience: Int32 = 10_000
    /// How long it may take for what it says when it has found nothing wrong: nobody accepts meanwhile.
    static let goPatience: Int32 = 2_000
    /// How long it may take for any other step.
    static let patience: Int32 = 30_000

    /// The first message; its number is raised with every change of what follows.
    static func hello(_ identity: String) -> String { "martlet 1 \(identity)" }
}
