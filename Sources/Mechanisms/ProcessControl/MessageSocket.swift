// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc
import Synchronization

/// A connection between two programs on this machine by which short messages go, and open descriptors with them.
public final class MessageSocket: Sendable {
    /// One message.
    public struct Message: Sendable {
        /// What it says.
        public var text: String
        /// What it brings; the receiver's to close.
        public var descriptors: [Int32]

        /// Makes a message.
        public init(_ text: String, _ descriptors: [Int32] = []) {
            self.text = text
            self.descriptors = descriptors
        }
    }

    private let descriptor: Int32
    /// Most bytes of a message.
    private static let limit = 4096

    fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Connects to whoever listens by a name in a folder; nil where nobody does.
    public static func connect(folder: String, name: String) -> MessageSocket? {
        withSocket(folder, name) { descriptor, address, length in
            Glibc.connect(descriptor, address, length) == 0
        }.map(MessageSocket.init)
    }

    /// The user and the process at the other end; nil where the system does not say.
    public var peer: (user: UInt32, process: Int32)? {
        var (user, process) = (uid_t(), pid_t())
        return martlet_peer(descriptor, &user, &process) == 0 ? (user, process) : nil
    }

    /// Sends a message; false where nobody is there to receive it.
    ///
    /// Blocks while the other one does not read. The descriptors stay the sender's to close.
    @discardableResult
    public func send(_ message: Message) -> Bool {
        Self.send(message, on: descriptor)
    }

    /// How long `send` waits for room, in milliseconds, before it counts the other one as gone.
    public func limitSending(to milliseconds: Int32) {
        var limit = timeval(tv_sec: Int(milliseconds) / 1000, tv_usec: Int(milliseconds) % 1000 * 1000)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Waits for a message; nil at the end, or where none came in time.
    ///
    /// One that does not come whole, since it is too long or there is no room for its descriptors, is left out.
    ///
    /// Blocks.
    public func receive(within milliseconds: Int32 = -1) -> Message? {
        let deadline = milliseconds < 0 ? nil : ContinuousClock.now + .milliseconds(milliseconds)
        while hasMessage(before: deadline) {
            switch take() {
            case .message(let message): return message
            case .incomplete: continue
            case .end: return nil
            }
        }
        return nil
    }

    private enum Taken {
        case message(Message)
        case incomplete
        case end
    }

    /// Waits for a message, or the end; a signal that comes meanwhile is neither.
    private func hasMessage(before deadline: ContinuousClock.Instant?) -> Bool {
        var question = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            let left = deadline.map { Self.milliseconds(ContinuousClock.now.duration(to: $0)) } ?? -1
            let count = poll(&question, 1, left)
            guard count < 0, errno == EINTR else { return count == 1 }
        }
    }

    private static func milliseconds(_ duration: Duration) -> Int32 {
        let (seconds, attoseconds) = duration.components
        return max(0, Int32(clamping: seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000))
    }

    /// Takes what is there.
    private func take() -> Taken {
        var bytes = [UInt8](repeating: 0, count: Self.limit)
        var descriptors = [Int32](repeating: -1, count: Int(MARTLET_MESSAGE_DESCRIPTORS))
        var held = 0
        let count = martlet_receive_message(descriptor, &bytes, bytes.count, &descriptors, &held)
        // What the other side has not read when it ends is told once, before what it has sent.
        guard count > 0 else { return count < 0 && [EMSGSIZE, ECONNRESET].contains(errno) ? .incomplete : .end }
        return .message(
            Message(String(decoding: bytes.prefix(count), as: UTF8.self), Array(descriptors.prefix(held)))
        )
    }

    /// The same, on a thread of its own; the connection ends when the task that waits is cancelled.
    public func next(within milliseconds: Int32 = -1) async -> Message? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                NamedThread.start("messages") { continuation.resume(returning: self.receive(within: milliseconds)) }
            }
        } onCancel: {
            shutdown(descriptor, Int32(SHUT_RDWR))
        }
    }

    /// Whether the other side is there no more; what it has sent before can still be received.
    public var hasEnded: Bool {
        var question = pollfd(fd: descriptor, events: 0, revents: 0)
        return poll(&question, 1, 0) == 1 && question.revents & Int16(POLLHUP) != 0
    }

    /// The messages from now on until the end; once, and in place of `receive`.
    public func messages() -> AsyncStream<Message> {
        let (stream, continuation) = AsyncStream.makeStream(of: Message.self)
        NamedThread.start("messages") { [self] in
            while let message = receive() { continuation.yield(message) }
            continuation.finish()
        }
        return stream
    }

    /// Sends a message by itself to a socket of datagrams, whose path begins with `@` where it has no file.
    ///
    /// Never waits: where there is no room it is lost.
    public static func sendDatagram(_ message: Message, to path: String) {
        let kind = SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(AF_UNIX, Int32(kind), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8.prefix(MemoryLayout.size(ofValue: address.sun_path) - 1))
        let isAbstract = bytes.first == UInt8(ascii: "@")
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            room.copyBytes(from: bytes)
            // The name of one without a file begins with a zero byte, and is as long as it is.
            if isAbstract { room[0] = 0 }
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (isAbstract ? 0 : 1))
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, length) == 0 }
        }
        guard isConnected else { return }
        _ = MessageSocket.send(message, on: descriptor)
    }

    private static func send(_ message: Message, on descriptor: Int32) -> Bool {
        let bytes = Array(message.text.utf8)
        return martlet_send_message(
            descriptor,
            bytes,
            bytes.count,
            message.descriptors,
            message.descriptors.count
        ) == 0
    }

    /// A socket and the address of a name in a folder, whose path may be longer than an address has room for; nil where
    /// `body` says no.
    fileprivate static func withSocket(
        _ folder: String,
        _ name: String,
        _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool
    ) -> Int32? {
        let place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard place >= 0 else { return nil }
        defer { close(place) }
        let path = Array("/proc/self/fd/\(place)/\(name)".utf8)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let isDone = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(descriptor, $0, length) }
        }
        if isDone { return descriptor }
        close(descriptor)
        return nil
    }
}

/// Listens for programs on this machine, by a name in a folder that only this user may enter.
public final class MessageListener: Sendable {
    private let descriptor: Int32
    private let state = Mutex<(hasEnded: Bool, failure: Int32?)>((false, nil))
    /// How long to wait, in microseconds, where the system has no room for one more connection.
    private static let pause: UInt32 = 100_000

    /// Takes the name from whoever had it; nil where the system does not let it.
    public init?(folder: String, name: String) {
        unlink("\(folder)/\(name)")
        let made = MessageSocket.withSocket(folder, name) { descriptor, address, length in
            bind(descriptor, address, length) == 0 && listen(descriptor, 4) == 0
        }
        guard let made else { return nil }
        chmod("\(folder)/\(name)", 0o600)
        descriptor = made
    }

    deinit { close(descriptor) }

    /// Those who connect, one after another, until `end`; once.
    public func connections() -> AsyncStream<MessageSocket> {
        let (stream, continuation) = AsyncStream.makeStream(of: MessageSocket.self)
        NamedThread.start("hand-over") { [self] in
            while true {
                let connected = martlet_accept(descriptor)
                if connected >= 0 {
                    continuation.yield(MessageSocket(connected))
                } else if !goesOn(after: errno) {
                    break
                }
            }
            continuation.finish()
        }
        return stream
    }

    /// Whether there may be further connections, after a pause where that helps.
    func goesOn(after error: Int32) -> Bool {
        switch error {
        case EINTR, ECONNABORTED:
            return true
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            usleep(Self.pause)
            return true
        default:
            state.withLock { if !$0.hasEnded { $0.failure = error } }
            return false
        }
    }

    /// Why the waiting ended though nobody ended it; nil where it did not.
    public var failure: String? {
        state.withLock { $0.failure }.map { String(cString: strerror($0)) }
    }

    /// Ends the waiting; the name stays until somebody else takes it.
    public func end() {
        state.withLock { $0.hasEnded = true }
        shutdown(descriptor, Int32(SHUT_RDWR))
    }
}

/// The address that a socket is bound to.
public enum SocketName {
    /// Its port; nil where it has none.
    public static func port(of descriptor: Int32) -> Int? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let isKnown = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) == 0 }
        }
        guard isKnown else { return nil }
        let family = Int32(storage.ss_family)
        return withUnsafeBytes(of: storage) { bytes in
            switch family {
            case AF_INET: Int(UInt16(bigEndian: bytes.load(as: sockaddr_in.self).sin_port))
            case AF_INET6: Int(UInt16(bigEndian: bytes.load(as: sockaddr_in6.self).sin6_port))
            default: nil
            }
        }
    }
}
