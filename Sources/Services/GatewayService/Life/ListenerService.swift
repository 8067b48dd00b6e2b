// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Glibc
import InvocationEngine
import NIOCore
import ProcessControl
import ServiceLifecycle
import Synchronization
import SystemAPI

/// A way into a front door: a listener, and what is found there.
struct Door: Sendable {
    let listener: Listener
    let front: FrontDoor
    let offer: ListenerOffer

    /// Begins to listen, on a socket that listens already if there is one; `files` keeps the file of one that has a file.
    ///
    /// - Throws: `conflict` naming the address that is taken.
    func open(_ inherited: InheritedSockets?, _ files: SocketFiles) async throws(PlatformFault) -> SocketAddress {
        do {
            if let socket = inherited?.take(listener.role) {
                files.adopt(socket, listener.address)
                return try await front.listen(on: socket, offer: offer)
            }
            switch listener.address {
            case .tcp(let host, let port): return try await front.listen(host: host, port: port, offer: offer)
            case .unix(let path, let mode):
                return try await front.listen(on: files.listen(at: path, mode: mode), offer: offer)
            }
        } catch {
            throw listener.conflict(error)
        }
    }
}

extension Listener {
    /// The address to listen on, which is that of the first answer to its name.
    ///
    /// Blocks where it is a name. - Throws: what NIO says of a name that is nobody's.
    func resolved() throws -> SocketAddress {
        switch address {
        case .tcp(let host, let port): try .makeAddressResolvingHost(host, port: port)
        case .unix(let path, _): try SocketAddress(unixDomainSocketPath: path)
        }
    }

    /// What is told where it cannot be listened on.
    func conflict(_ cause: any Error) -> PlatformFault {
        PlatformFault(
            .conflict,
            "Martlet cannot listen on \(address): \(words(for: cause)).",
            hint: isOfHost(cause)
                ? "Name an address of this machine by \(role.hostFlag), as 127.0.0.1 or 0.0.0.0."
                : "Choose another \(address.port == nil ? "path" : "port") by \(role.flag), or stop what uses it.",
            // Others repeat the host, where a password may have got by mistake.
            cause: cause as? IOError
        )
    }

    /// Whether the host is what is wrong: a name that is nobody's, or the address of another machine.
    private func isOfHost(_ error: any Error) -> Bool {
        guard case .tcp = address else { return false }
        guard let error = error as? IOError else {
            return error is SocketAddressError || error is SocketAddressError.UnknownHost
        }
        return [EADDRNOTAVAIL, EAFNOSUPPORT].contains(error.errnoCode)
    }

    private func words(for error: any Error) -> String {
        if let error = error as? IOError { return String(cString: strerror(error.errnoCode)).lowercased() }
        // What NIO says of a name repeats it.
        return isOfHost(error) ? "there is no such host" : "\(error)"
    }
}

/// The files of sockets that are listened on, which go when nobody listens there any more.
final class SocketFiles: Sendable {
    private let files = Mutex<[SocketFile]>([])
    /// Whether somebody else keeps the sockets for the next start: then files and their rights are theirs.
    private let areKept: Bool

    init(areKept: Bool) { self.areKept = areKept }

    /// Listens on a new socket, which is the caller's to close.
    func listen(at path: String, mode: UInt32) throws -> CInt {
        let (file, socket) = try SocketFile.listen(at: path, mode: mode)
        files.withLock { $0.append(file) }
        return socket
    }

    /// Goes on with the file of a socket that listens already, if it has one.
    func adopt(_ socket: CInt, _ address: Listener.Address) {
        guard case .unix(let path, let mode) = address,
            let file = SocketFile.adopt(socket, at: path, mode: areKept ? nil : mode)
        else { return }
        files.withLock { $0.append(file) }
    }

    /// Leaves them to whoever listens there from now on.
    func leave() { files.withLock { $0 = [] } }

    /// Nobody listens there any more.
    func end() {
        if !areKept { for file in files.withLock({ $0 }) { file.remove() } }
        leave()
    }
}

/// All ways into a gateway.
struct Doors: Sendable {
    let all: [Door]
    let engine: FrontDoor
    let questions: FrontDoor
    let files: SocketFiles

    init(_ control: ControlPlane, _ files: SocketFiles) {
        self.files = files
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
        do throws(PlatformFault) {
            for door in doors.all {
                taken.append((door.listener, try await door.open(setting.settings.inherited, doors.files)))
            }
        } catch {
            doors.files.end()
            throw error
        }
        return Gateway.Addresses(taken)
    }

    /// Stops accepting, lets calls in flight end within the limit, then cuts the rest; the program's own state can be
    /// asked for until then.
    private func drain() async {
        setting.streams.end()
        // Before calls have ended: the next start finds its place free.
        doors.files.end()
        await doors.engine.drain(within: setting.stopping.left)
        await doors.questions.drain(within: Self.limitOfQuestions)
    }
}
