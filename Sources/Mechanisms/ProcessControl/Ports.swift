// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// Hands out loopback ports for servers that have to be told theirs.
///
/// The ports lie below the system's ephemeral range: above it, a connection attempt can be given the very port it
/// tries to reach and connect to itself, a false "ready" that takes the port as well.
///
/// Between a port's being handed out and its server's listening nobody would see that it is taken. So each is reserved
/// for as long as it is held, for all pools of the machine: one whose server answers on another's port would be taken
/// for ready.
public final class PortPool: Sendable {
    private let range: Range<Int>
    /// The reservations by port.
    private let taken = Mutex<[Int: Int32]>([:])
    /// Those of ports that were not chosen here.
    private let named = Mutex<[Int: Int32]>([:])

    /// Makes a pool of the ports between 10,000 and the ephemeral range.
    public convenience init() {
        let low = SystemFile.word("/proc/sys/net/ipv4/ip_local_port_range").flatMap { Int($0) } ?? 32_768
        self.init(range: low > 11_000 ? 10_000..<min(low, 65_000) : 61_000..<65_000)
    }

    /// Makes a pool of some ports.
    public init(range: Range<Int>) { self.range = range }

    deinit {
        for reservation in taken.withLock({ Array($0.values) }) + named.withLock({ Array($0.values) }) {
            close(reservation)
        }
    }

    /// A port that nobody listens on now, and that no other pool gets until it is released; nil when there is none.
    public func claim() -> Int? {
        let start = Int.random(in: range)
        for offset in 0..<range.count {
            let port = range.lowerBound + (start - range.lowerBound + offset) % range.count
            guard let reservation = Self.reserve("port-\(port)") else { continue }
            if Self.isFree(port) {
                taken.withLock { $0[port] = reservation }
                return port
            }
            close(reservation)
        }
        return nil
    }

    /// Gives a port back.
    public func release(_ port: Int) {
        if let reservation = taken.withLock({ $0.removeValue(forKey: port) }) { close(reservation) }
    }

    /// Takes a port that somebody else chose, before its server listens; false where another pool has taken it, or somebody
    /// listens on it.
    public func take(_ port: Int) -> Bool {
        guard let reservation = Self.reserve("named-port-\(port)") else { return false }
        guard Self.isFree(port) else {
            close(reservation)
            return false
        }
        if let old = named.withLock({ $0.updateValue(reservation, forKey: port) }) { close(old) }
        return true
    }

    /// Gives a port back that was taken; nothing where it was not.
    public func giveBack(_ port: Int) {
        if let reservation = named.withLock({ $0.removeValue(forKey: port) }) { close(reservation) }
    }

    /// Whether `take` would take a port now.
    public static func mayTake(_ port: Int) -> Bool {
        guard let reservation = reserve("named-port-\(port)") else { return false }
        close(reservation)
        return isFree(port)
    }

    /// A name in the abstract namespace of Unix sockets: it is as wide as the ports are, needs no file, and is gone
    /// with its owner however that ends.
    private static func reserve(_ what: String) -> Int32? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        let name = Array("\0martlet-\(what)".utf8)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) == 0 }
        }
        if isBound { return descriptor }
        close(descriptor)
        return nil
    }

    /// Whether somebody accepts connections on a loopback port now; nil when that is not known at once, as when the
    /// server has more connections waiting than it lets wait.
    ///
    /// Never blocks: on the loopback device a connection is made or refused by the time the call returns.
    public static func accepts(_ port: Int) -> Bool? {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(AF_INET, Int32(kind), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let isConnected = withLoopback(port) { connect(descriptor, $0, $1) == 0 }
        guard isConnected || errno == EINPROGRESS else { return errno == ECONNREFUSED ? false : nil }
        switch outcome(descriptor) {
        case 0: return !isOwnPort(descriptor, port)
        case ECONNREFUSED: return false
        default: return nil
        }
    }

    /// The error with which a connection attempt has ended, 0 for none; nil when it has not ended yet.
    private static func outcome(_ descriptor: Int32) -> Int32? {
        var question = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&question, 1, 0) == 1 else { return nil }
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : nil
    }

    /// Whether a connection met itself.
    private static func isOwnPort(_ descriptor: Int32, _ port: Int) -> Bool {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isKnown = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) == 0 }
        }
        return isKnown && Int(UInt16(bigEndian: address.sin_port)) == port
    }

    /// Whether nobody listens on a loopback port now.
    public static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        return withLoopback(port) { bind(descriptor, $0, $1) == 0 }
    }
}

private func withLoopback<Value>(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
