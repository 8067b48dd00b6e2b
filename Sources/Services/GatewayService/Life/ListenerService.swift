// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Glibc
import InvocationEngine
import NIOCore
import ServiceLifecycle
import SystemAPI

/// A way into a front door: a listener, and what is found there.
struct Door: Sendable {
    let listener: Listener
    let front: FrontDoor
    let offer: ListenerOffer

    /// Begins to listen, on a socket that listens already if there is one.
    ///
    /// - Throws: `conflict` naming the port that is taken.
    func open(_ inherited: InheritedSockets?) async throws(PlatformFault) -> SocketAddress {
        do {
            if let socket = inherited?.take(listener.role) {
                return try await front.listen(on: socket, offer: offer)
            }
            return try await front.listen(host: listener.host, port: listener.port, offer: offer)
        } catch {
            throw listener.conflict(error)
        }
    }
}

extension Listener {
    /// The address to listen on, which is that of the first answer to its name.
    ///
    /// Blocks where it is a name. - Throws: what NIO says of a name that is nobody's.
    func resolved() throws -> SocketAddress { try .makeAddressResolvingHost(host, port: port) }

    /// What is told where it cannot be listened on.
    func conflict(_ cause: any Error) -> PlatformFault {
        PlatformFault(
            .conflict,
            "Martlet cannot listen on \(host):\(port): \(Self.words(for: cause)).",
            hint: "Choose another port by \(role.flag), or stop what uses it.",
            cause: cause
        )
    }

    private static func words(for error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return String(cString: strerror(error.errnoCode)).lowercased()
    }
}

/// All ways into a gateway.
struct Doors: Sendable {
    let all: [Door]
    let engine: FrontDoor
    let questions: FrontDoor

    init(_ control: ControlPlane) {
        all = control.doors
        engine = control.engine
        questions = control.questions
    }

    /// The door whose offer a front door speaks of.
    func door(_ offer: ListenerOffer) -> Door? { all.first { $0.offer === offer } }

    func door(_ role: ListenerRole) -> Door? { all.first { $0.listener.role == role } }
}

/// Listens from when calls can be taken until the program stops, and lets calls in flight end.
struct ListenerService: Service {
    private let doors: Doors
    private let setting: GatewaySetting
    /// What those that ask about the program itself have to end.
    private static let limitOfQuestions = Duration.milliseconds(100)

    init(_ doors: Doors, _ setting: GatewaySetting) {
        self.doors = doors
        self.setting = setting
    }

    func run() async throws {
        guard await mayListen() else { return }
        setting.addresses.reach(try await open())
        try? await gracefulShutdown()
        await drain()
    }

    /// Waits for what clients count on; false where the program stops before.
    private func mayListen() async -> Bool {
        if let settled = setting.asynchrony?.settled, await settled.reached() == nil { return false }
        if setting.settings.listensAtOnce { return true }
        return await setting.known.reached() != nil
    }

    private func open() async throws(PlatformFault) -> Gateway.Addresses {
        setting.settings.inherited?.settle(for: setting.settings.listeners)
        var taken: [(listener: Listener, address: SocketAddress)] = []
        for door in doors.all { taken.append((door.listener, try await door.open(setting.settings.inherited))) }
        return Gateway.Addresses(taken)
    }

    /// Stops accepting, lets calls in flight end within the limit, then cuts the rest; the program's own state can be
    /// asked for until then.
    private func drain() async {
        setting.streams.end()
        await doors.engine.drain(within: setting.stopping.left)
        await doors.questions.drain(within: Self.limitOfQuestions)
    }
}
