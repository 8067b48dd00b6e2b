// SPDX-License-Identifier: Apache-2.0

import FaultModel
import GatewayService
import Glibc
import Logging
import ProcessControl
import ReplicaSupervision
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
    /// Those that come from now on: it waits while nobody takes them.
    private let messages: AsyncStream<MessageSocket.Message>

    private init(
        generation: Generation,
        listeners: InheritedSockets,
        socket: MessageSocket,
        connections: [Connection]
    ) {
        self.generation = generation
        self.listeners = listeners
        self.socket = socket
        self.connections = connections
        messages = socket.messages()
    }

    /// Asks the Martlet that runs on a data directory for its place; nil where none does.
    ///
    /// `prepare` is given the sockets that it listens on, and may refuse them: until it has returned the other one serves
    /// on, whatever happens, and a signal ends the program. - Throws: `conflict` where the other one does not let this one
    /// take over; what `prepare` throws.
    static func relieve(
        dataDirectory path: String,
        for program: ServingProgram,
        prepare: (InheritedSockets) throws(PlatformFault) -> Void
    ) async throws(PlatformFault) -> Predecessor? {
        guard let identity = DataDirectory.identity(ofDirectory: path),
            let socket = MessageSocket.connect(folder: path, name: HandOverProtocol.socket)
        else { return nil }
        guard let user = socket.peer?.user, user == geteuid() else { throw refusal }
        socket.send(.init(HandOverProtocol.hello(identity)))
        let (generation, listeners) = try await offer(socket, program)
        try prepare(listeners)
        guard program.end.value == nil else { throw cancellation }
        socket.send(.init(HandOverProtocol.go))
        guard let connections = await connections(socket) else {
            guard socket.hasEnded else { throw silence(of: socket) }
            throw PlatformFault(.conflict, "The Martlet that runs on this data directory ended while it was relieved.")
        }
        return Predecessor(generation: generation, listeners: listeners, socket: socket, connections: connections)
    }

    /// What it listens on.
    private static func offer(
        _ socket: MessageSocket,
        _ program: ServingProgram
    ) async throws(PlatformFault) -> (Generation, InheritedSockets) {
        switch try await word(socket, within: HandOverProtocol.firstPatience, program).text {
        case HandOverProtocol.heard: break
        case HandOverProtocol.taken:
            throw PlatformFault(
                .conflict,
                "Another Martlet is taking the place of the one that runs on this data directory.",
                hint: "Wait until it is ready, and try again."
            )
        default: throw refusal
        }
        // It may have to wait until its own predecessor is gone.
        let offer = try await word(socket, within: 2 * HandOverProtocol.patience, program)
        guard let (generation, sockets) = parse(offer) else { throw refusal }
        return (generation, InheritedSockets(sockets))
    }

    /// What it says next, unless a signal comes; that it is waited for is told.
    private static func word(
        _ socket: MessageSocket,
        within milliseconds: Int32,
        _ program: ServingProgram
    ) async throws(PlatformFault) -> MessageSocket.Message {
        let message = await program.untilEnd {
            if let early = await socket.next(within: HandOverProtocol.silence) { return early }
            guard !socket.hasEnded, program.end.value == nil else { return nil }
            program.log.warn(
                "Waiting for process \(process(of: socket)), which runs on this data directory, to make room: "
                    + "\(milliseconds / 1000) s at most."
            )
            return await socket.next(within: milliseconds - HandOverProtocol.silence)
        }
        if let message { return message }
        guard program.end.value == nil else { throw cancellation }
        throw socket.hasEnded ? refusal : silence(of: socket)
    }

    /// What it gives away until it has given up the stores; nil where it ends before.
    private static func connections(_ socket: MessageSocket) async -> [Connection]? {
        var connections: [Connection] = []
        while let message = await socket.next(within: HandOverProtocol.patience) {
            guard message.text != HandOverProtocol.stores else { return connections }
            if let connection = connection(message) { connections.append(connection) }
        }
        return nil
    }

    private static var cancellation: PlatformFault {
        PlatformFault(
            .shuttingDown,
            "Stopped before it took over: the Martlet that runs on this data directory serves on."
        )
    }

    private static func process(of socket: MessageSocket) -> String { socket.peer.map { "\($0.process)" } ?? "unknown" }

    private static func silence(of socket: MessageSocket) -> PlatformFault {
        let process = process(of: socket)
        return PlatformFault(
            .conflict,
            "The Martlet that runs on this data directory, process \(process), does not answer.",
            hint: "Nothing was changed. It may be stopped (kill -CONT \(process) lets it go on) or hang: then end it, "
                + "and start without --replace."
        )
    }

    private static var refusal: PlatformFault {
        PlatformFault(
            .conflict,
            "The Martlet that runs on this data directory does not let this one take its place.",
            hint: "It may be of another version or another user. Stop it, and start without --replace."
        )
    }

    private static func parse(_ offer: MessageSocket.Message) -> (Generation, [InheritedSockets.Socket])? {
        let words = offer.text.split(separator: " ")
        guard words.count == offer.descriptors.count + 2, words[0] == HandOverProtocol.listeners,
            let generation = Generation(rawValue: String(words[1]))
        else {
            for descriptor in offer.descriptors { close(descriptor) }
            return nil
        }
        var sockets: [InheritedSockets.Socket] = []
        for (word, socket) in zip(words.dropFirst(2), offer.descriptors) {
            if let role = ListenerRole(rawValue: String(word)) { sockets.append((role, socket)) } else { close(socket) }
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
        for await message in messages {
            guard let connection = Self.connection(message) else { continue }
            await adopt(connection, gateway, logger)
        }
        return socket.hasEnded
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
