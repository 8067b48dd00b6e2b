// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Glibc
import InvocationEngine
import NIOCore
import ServiceLifecycle

/// A front door, and where it is to be found.
struct Door: Sendable {
    let surface: Gateway.Surface
    let front: FrontDoor
    let host: String
    /// Nil where calls come in by the platform's own hand alone.
    let port: Int?
    /// The flag that chooses another port.
    let flag: String
    /// Puts what decodes bytes before they are HTTP into each connection.
    var prepare: (@Sendable (any Channel) throws -> Void)?

    /// Begins to listen, where it does, on a socket that listens already if there is one.
    ///
    /// - Throws: `conflict` naming the port that is taken.
    func open(_ inherited: InheritedSockets?) async throws(PlatformFault) -> SocketAddress? {
        guard let port else { return nil }
        do {
            if let socket = inherited?.take(surface, port: port) {
                return try await front.listen(on: socket, prepare: prepare)
            }
            return try await front.listen(host: host, port: port, prepare: prepare)
        } catch {
            throw PlatformFault(
                .conflict,
                "Martlet cannot listen on \(host):\(port): \(Self.words(for: error)).",
                hint: "Choose another port by \(flag), or stop what uses it.",
                cause: error
            )
        }
    }

    private static func words(for error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return String(cString: strerror(error.errnoCode)).lowercased()
    }
}

/// Listens from when calls can be taken until the program stops, and lets calls in flight end.
struct ListenerService: Service {
    private let doors: [Door]
    private let setting: GatewaySetting
    /// What those that ask about the program itself have to end.
    private static let limitOfQuestions = Duration.milliseconds(100)

    init(_ doors: [Door], _ setting: GatewaySetting) {
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
        var addresses = Gateway.Addresses()
        for door in doors {
            let address = try await door.open(setting.settings.inherited)
            switch door.surface {
            case .api: addresses.api = address
            case .metrics: addresses.metrics = address
            case .page: addresses.page = address
            }
        }
        return addresses
    }

    /// Stops accepting, lets calls in flight end within the limit, then cuts the rest; the program's own state can be
    /// asked for until then.
    private func drain() async {
        for door in doors where door.surface == .api { await door.front.drain(within: setting.stopping.left) }
        for door in doors where door.surface != .api { await door.front.drain(within: Self.limitOfQuestions) }
    }
}
