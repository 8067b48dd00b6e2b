// SPDX-License-Identifier: Apache-2.0

import FaultModel
import GatewayService
import Glibc
import Logging
import ProcessControl
import ProcessProvider
import ServiceLifecycle

/// The Martlet whose place this one takes, which has let go of everything that has one owner.
struct Predecessor: Sendable {
    /// A client's connection.
    typealias Connection = (role: ListenerRole, socket: CInt)

    /// Which run this one is.
    let generation: Generation
    let listeners: InheritedSockets
    private let socket: MessageSocket
    /// Connections that came early.
    private let connections: [Connection]

    /// Asks the Martlet that runs on a data directory for its place; nil where none does.
    ///
    /// - Throws: `conflict` where it does not let this one take over.
    static func relieve(dataDirectory path: String) async throws(PlatformFault) -> Predecessor? {
        guard let identity = DataDirectory.identity(ofDirectory: path),
            let socket = MessageSocket.connect(folder: path, name: HandOverProtocol.socket)
        else { return nil }
        guard let user = socket.peer?.user, user == geteuid() else { throw refusal }
        socket.send(.init(HandOverProtocol.hello(identity)))
        // The one before may have to wait until its own predecessor is gone.
        let offer = await socket.next(within: 2 * HandOverProtocol.patience)
        guard let offer, let (generation, sockets) = parse(offer) else { throw refusal }
        let listeners = InheritedSockets(sockets)
        socket.send(.init(HandOverProtocol.go))
        var connections: [Connection] = []
        while let message = await socket.next(within: HandOverProtocol.patience) {
            guard message.text != HandOverProtocol.stores else {
                return Predecessor(
                    generation: generation,
                    listeners: listeners,
                    socket: socket,
                    connections: connections
                )
            }
            if let connection = connection(message) { connections.append(connection) }
        }
        throw PlatformFault(.conflict, "The Martlet that runs on this data directory ended while it was relieved.")
    }

    private static var refusal: PlatformFault {
        PlatformFault(
            .conflict,
            "The Martlet that runs on this data directory does not let this one take its place.",
            hint: "It may be of another version or another user. Stop it, and start without --replace."
        )
    }

    private static func parse(
        _ offer: MessageSocket.Message
    ) -> (generation: Generation, sockets: [ListenerRole: CInt])? {
        let words = offer.text.split(separator: " ")
        guard words.count == offer.descriptors.count + 2, words[0] == HandOverProtocol.listeners,
            let generation = Generation(rawValue: String(words[1]))
        else {
            for descriptor in offer.descriptors { close(descriptor) }
            return nil
        }
        var sockets: [ListenerRole: CInt] = [:]
        for (word, socket) in zip(words.dropFirst(2), offer.descriptors) {
            guard let role = ListenerRole(rawValue: String(word)), sockets[role] == nil else {
                close(socket)
                continue
            }
            sockets[role] = socket
        }
        return (generation, sockets)
    }

    private static func connection(_ message: MessageSocket.Message) -> Connection? {
        let words = message.text.split(separator: " ")
        if words.count == 2, words[0] == HandOverProtocol.connection, message.descriptors.count == 1,
            let role = ListenerRole(rawValue: String(words[1]))
        {
            return (role, message.descriptors[0])
        }
        for descriptor in message.descriptors { close(descriptor) }
        return nil
    }

    /// Tells it that this one serves, and takes over its clients' connections until it ends; false where this one is told
    /// to stop before, and the other still has its calls.
    func follow(_ gateway: Gateway, _ logger: Logger) async -> Bool {
        socket.send(.init(HandOverProtocol.ready))
        for connection in connections { await adopt(connection, gateway, logger) }
        for await message in socket.messages() {
            guard let connection = Self.connection(message) else { continue }
            await adopt(connection, gateway, logger)
        }
        return !Task.isCancelled
    }

    private func adopt(_ connection: Connection, _ gateway: Gateway, _ logger: Logger) async {
        do {
            try await gateway.handOver.adopt(connection.socket, of: connection.role)
        } catch {
            // A client that went away meanwhile.
            logger.debug("a connection was not taken over", metadata: ["why": "\(error)"])
        }
    }
}
