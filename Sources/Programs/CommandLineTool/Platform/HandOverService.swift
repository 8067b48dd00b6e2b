// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FaultModel
import GatewayService
import Glibc
import Logging
import ProcessControl
import ProcessProvider
import ServiceLifecycle

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

    private var logger: Logger { program.log.logger }

    func run() async throws {
        guard await gateway.addresses.reached() != nil else { return }
        let successor = try await successor()
        try? await gracefulShutdown()
        // Open until everything else has ended, which the successor takes for the end of this process.
        if let successor { try await confirm(successor) }
    }

    /// Waits for one that takes over; nil where the program ends before.
    private func successor() async throws -> MessageSocket? {
        guard let listener = MessageListener(folder: directory.path, name: HandOverProtocol.socket) else {
            logger.warning("no other Martlet can take this one's place", metadata: ["why": "\(errno)"])
            return nil
        }
        defer { listener.end() }
        for await candidate in listener.connections().cancelOnGracefulShutdown() {
            if try await handOver(to: candidate) { return candidate }
        }
        if let why = listener.failure {
            logger.warning("no other Martlet can take this one's place any more", metadata: ["why": "\(why)"])
        }
        return nil
    }

    /// Whether the stores are the other one's now.
    private func handOver(to successor: MessageSocket) async throws -> Bool {
        guard let process = await accept(successor) else { return false }
        // What is left of the run before has the names that a successor would use.
        guard await isAlone.reached() != nil else { return false }
        let listeners = await gateway.handOver.stopListening()
        let names = listeners.map(\.role.rawValue).joined(separator: " ")
        let offer = "\(HandOverProtocol.listeners) \(generation.other.rawValue) \(names)"
        successor.send(.init(offer, listeners.map(\.socket)))
        guard await successor.next(within: HandOverProtocol.patience)?.text == HandOverProtocol.go else {
            logger.warning("another Martlet gave up before it took over; this one serves on")
            try await gateway.handOver.takeBack(listeners)
            return false
        }
        for listener in listeners { close(listener.socket) }
        logger.notice("another Martlet takes over", metadata: ["process": "\(process)"])
        await letGo(to: successor)
        isHandedOver.reach(())
        program.end.reach(.replaced(by: process))
        return true
    }

    /// The process of one that may take over; others are told that they may not.
    private func accept(_ successor: MessageSocket) async -> Int32? {
        let hello = await successor.next(within: HandOverProtocol.patience)?.text
        guard let peer = successor.peer, peer.user == geteuid() else { return nil }
        let identity = DataDirectory.identity(ofDirectory: directory.path)
        if let identity, hello == HandOverProtocol.hello(identity) { return peer.process }
        successor.send(.init(HandOverProtocol.refused))
        return nil
    }

    /// Gives up everything that has one owner.
    private func letGo(to successor: MessageSocket) async {
        let mail = DispatchQueue(label: "martlet.hand-over")
        await gateway.handOver.letGo { role, socket in
            mail.async {
                successor.send(.init("\(HandOverProtocol.connection) \(role.rawValue)", [socket]))
                close(socket)
            }
        }
        await queue?.close()
        await provider.handOver()
        directory.release()
        successor.send(.init(HandOverProtocol.stores))
    }

    /// Waits until the successor serves.
    private func confirm(_ successor: MessageSocket) async throws {
        guard await successor.next(within: HandOverProtocol.patience)?.text == HandOverProtocol.ready else {
            throw PlatformFault(
                .internalError,
                "The Martlet that took over ended before it was ready.",
                hint: "Its output says why. Start Martlet again."
            )
        }
        if let process = successor.peer?.process { ServiceNotification.mainProcess(process) }
    }
}

/// What a Martlet and the one that takes its place say to each other, by messages on a Unix socket in the data directory.
///
/// The successor: `martlet 1 IDENTITY`. The other stops accepting: `listeners GENERATION ROLE …`, with the sockets. The
/// successor: `go`. The other lets go of calls and stores: `connection ROLE`, with a client's connection, any number of
/// times from now on, and once `stores`. The successor opens them and listens: `ready`.
enum HandOverProtocol {
    /// The socket's name in the data directory.
    static let socket = "successor"
    static let listeners = "listeners"
    static let go = "go"
    static let connection = "connection"
    static let stores = "stores"
    static let ready = "ready"
    static let refused = "refused"
    /// How long the other one may take for a step, in milliseconds.
    static let patience: Int32 = 30_000

    /// The first message; its number is raised with every change of what follows.
    static func hello(_ identity: String) -> String { "martlet 1 \(identity)" }
}
