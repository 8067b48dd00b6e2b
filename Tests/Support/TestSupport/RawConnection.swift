// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc

/// A client's connection that sends exactly the bytes it is told to: for what no well-behaved client would send.
public final class RawConnection: Sendable {
    private let descriptor: Int32
    private let queue = DispatchQueue(label: "raw-connection")

    /// Why a connection could not be used.
    public struct Failure: Error {
        /// The system's words.
        public let words: String
    }

    /// Connects to a loopback port; reading gives up after 10 seconds of silence.
    ///
    /// `receiveBuffer` is how many bytes the system takes for it before they are read, about.
    public init(port: Int, receiveBuffer: Int? = nil) throws {
        descriptor = Self.socket(AF_INET)
        if var bytes = receiveBuffer.map({ Int32(clamping: $0) }) {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        try Self.connect(descriptor, &address)
    }

    /// Connects to a socket in the file system.
    public init(path: String) throws {
        descriptor = Self.socket(AF_UNIX)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Failure(words: "a long path") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        try Self.connect(descriptor, &address)
    }

    private static func socket(_ family: Int32) -> Int32 {
        let descriptor = Glibc.socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }

    private static func connect<Address>(_ descriptor: Int32, _ address: inout Address) throws {
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        guard result == 0 else { throw Failure(words: String(cString: strerror(errno))) }
    }

    deinit { Glibc.close(descriptor) }

    /// Goes away without a word, and without reading what is on its way.
    public func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Sends all bytes of a text.
    public func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    /// Sends bytes.
    public func send(_ all: [UInt8]) async throws {
        try await run { descriptor in
            var bytes = all[...]
            while !bytes.isEmpty {
                let count = bytes.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { throw Failure(words: String(cString: strerror(errno))) }
                bytes = bytes.dropFirst(count)
            }
        }
    }

    /// Says that nothing more will be sent.
    public func endInput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Whether something has come that was not read yet, or the other side has closed.
    public var hasInput: Bool {
        var question = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&question, 1, 0) == 1
    }

    /// What comes until the other side closes, or until a text has come.
    public func receive(until end: String? = nil) async throws -> String {
        try await run { descriptor in
            var all: [UInt8] = []
            var room = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(descriptor, &room, room.count, 0)
                guard count > 0 else {
                    guard count == 0 || errno == ECONNRESET else { throw Failure(words: "nothing came for 10 seconds") }
                    return String(decoding: all, as: UTF8.self)
                }
                all += room[..<count]
                if let end, String(decoding: all, as: UTF8.self).contains(end) {
                    return String(decoding: all, as: UTF8.self)
                }
            }
        }
    }

    /// So many bytes; fewer when the other side closes.
    public func receive(count wanted: Int) async throws -> [UInt8] {
        try await run { descriptor in
            var all: [UInt8] = []
            while all.count < wanted {
                var room = [UInt8](repeating: 0, count: wanted - all.count)
                let count = recv(descriptor, &room, room.count, 0)
                guard count > 0 else {
                    guard count == 0 || errno == ECONNRESET else { throw Failure(words: "nothing came for 10 seconds") }
                    return all
                }
                all += room[..<count]
            }
            return all
        }
    }

    private func run<Value: Sendable>(_ work: @escaping @Sendable (Int32) throws -> Value) async throws -> Value {
        let descriptor = descriptor
        return try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try work(descriptor) }) }
        }
    }
}
