// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Glibc
import NIOCore
import ProcessControl
import Synchronization

/// Listening sockets that are there before this program serves: those of the one that it replaces, or the service
/// manager's.
///
/// A listener gets the one that is bound to its address, whosever it was; each is taken once, and those that nobody took are
/// closed with this.
public final class InheritedSockets: Sendable {
    /// A socket that listens, and whose it was.
    public typealias Socket = (role: ListenerRole, socket: CInt)

    fileprivate struct State {
        /// By the listener that is to have them.
        var chosen: [ListenerRole: CInt] = [:]
        /// Those that nobody has asked for.
        var rest: [Socket]
    }

    private let state: Mutex<State>
    /// How many clients may wait until they are accepted.
    private static let backlog: CInt = 1024

    /// Owns sockets from now on; several may have been of one listener.
    public init(_ sockets: [Socket]) { state = Mutex(State(rest: sockets)) }

    deinit {
        let state = state.withLock { $0 }
        for socket in state.chosen.values { close(socket) }
        for (_, socket) in state.rest { close(socket) }
    }

    // MARK: Before there is no way back

    /// Makes sure that all listeners will be able to listen, and begins to where nobody does yet.
    ///
    /// Sockets that nobody asks for are listened on as before. Blocks while names are looked up.
    ///
    /// - Throws: `conflict` naming the address that cannot be listened on.
    public func prepare(_ listeners: [Listener]) throws(PlatformFault) {
        choose(for: listeners)
        for listener in listeners where state.withLock({ $0.chosen[listener.role] == nil }) {
            do {
                guard let socket = try open(listener) else { continue }
                state.withLock { $0.chosen[listener.role] = socket }
            } catch {
                throw listener.conflict(error)
            }
        }
    }

    /// Nil where one that nobody asks for is in the way, and will not be for long.
    private func open(_ listener: Listener) throws -> CInt? {
        if case .unix(let path, let mode) = listener.address {
            return try SocketFile.listen(at: path, mode: mode).socket
        }
        let address = try listener.resolved()
        do { return try Self.listen(on: address) } catch let error as IOError where error.errnoCode == EADDRINUSE {
            let ports = state.withLock { state in state.rest.map { SocketName.port(of: $0.socket) } }
            guard ports.contains(address.port) else { throw error }
            // Whether the host is this machine's is seen on any port.
            var anywhere = address
            anywhere.port = 0
            close(try Self.listen(on: anywhere))
            return nil
        }
    }

    private static func listen(on address: SocketAddress) throws -> CInt {
        let family = CInt(address.protocol.rawValue)
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        var one: CInt = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<CInt>.size))
        let isBound = address.withSockAddr { bind(descriptor, $0, socklen_t($1)) == 0 }
        guard isBound, Glibc.listen(descriptor, backlog) == 0 else {
            let code = errno
            close(descriptor)
            throw IOError(errnoCode: code, reason: "bind")
        }
        return descriptor
    }

    // MARK: Choosing

    /// Gives each listener the socket with its address; nobody listens on the others any more, so that they are in nobody's
    /// way and let no client wait in vain.
    func settle(for listeners: [Listener]) {
        choose(for: listeners)
        let rest = state.withLock { state in
            defer { state.rest = [] }
            return state.rest
        }
        for (_, socket) in rest {
            let path = SocketAddress(boundTo: socket)?.pathname
            // Others may have it, too, who would keep it open.
            shutdown(socket, CInt(SHUT_RDWR))
            close(socket)
            if let path { SocketFile.removeLeftover(at: path) }
        }
    }

    private func choose(for listeners: [Listener]) {
        // Those that want one port only, before those that take any.
        let addresses = listeners.compactMap { listener in (try? listener.resolved()).map { (listener.role, $0) } }
        for (role, address) in addresses.filter({ $0.1.port != 0 }) + addresses.filter({ $0.1.port == 0 }) {
            state.withLock { $0.choose(for: role, at: address) }
        }
    }

    /// The socket of a listener, which is the caller's from now on.
    func take(_ role: ListenerRole) -> CInt? {
        state.withLock { $0.chosen.removeValue(forKey: role) }
    }
}

extension InheritedSockets.State {
    /// One that was the listener's already goes before others.
    fileprivate mutating func choose(for role: ListenerRole, at address: SocketAddress) {
        guard chosen[role] == nil else { return }
        let fitting = rest.indices.filter { SocketAddress(boundTo: rest[$0].socket)?.fits(address) == true }
        let own = fitting.first { rest[$0].role == role }
        // On any port only what it had: the port of another is asked for by name.
        guard let index = own ?? (address.port == 0 ? nil : fitting.first) else { return }
        chosen[role] = rest.remove(at: index).socket
    }
}

extension SocketAddress {
    /// The address that a socket is bound to; nil where it has none.
    init?(boundTo descriptor: CInt) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let isKnown = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) == 0 }
        }
        guard isKnown else { return nil }
        switch CInt(storage.ss_family) {
        case AF_INET: self.init(withUnsafeBytes(of: storage) { $0.load(as: sockaddr_in.self) })
        case AF_INET6: self.init(withUnsafeBytes(of: storage) { $0.load(as: sockaddr_in6.self) })
        case AF_UNIX:
            let path = withUnsafeBytes(of: storage) { bytes in
                bytes.prefix(Int(length)).dropFirst(MemoryLayout<sa_family_t>.size).prefix { $0 != 0 }
            }
            guard !path.isEmpty else { return nil }
            try? self.init(unixDomainSocketPath: String(decoding: path, as: UTF8.self))
        default: return nil
        }
    }

    /// Whether it is what is asked for, where port 0 is any.
    fileprivate func fits(_ wanted: SocketAddress) -> Bool {
        guard wanted.port == 0, port != nil else { return self == wanted }
        var anywhere = self
        anywhere.port = 0
        return anywhere == wanted
    }
}
