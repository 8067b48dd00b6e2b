// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc

/// The file of a socket for streams that this program listens on.
public final class SocketFile: Sendable {
    /// Why nobody can listen at a path.
    public enum Problem: Error, CustomStringConvertible {
        /// Somebody listens there.
        case inUse
        /// A file is there that is no socket.
        case noSocket
        /// What the system said.
        case system(Int32)

        /// What is wrong, to stand behind a colon.
        public var description: String {
            switch self {
            case .inUse: "another program listens there"
            case .noSocket: "there is a file of that name that is not a socket"
            case .system(let code): String(cString: strerror(code)).lowercased()
            }
        }
    }

    private struct Identity: Equatable {
        let device: dev_t
        let number: ino_t
    }

    /// Its path.
    public let path: String
    private let identity: Identity
    /// How many clients may wait until they are accepted.
    private static let backlog: Int32 = 1024

    private init?(known path: String) {
        guard let identity = Self.identity(of: path) else { return nil }
        self.path = path
        self.identity = identity
    }

    // MARK: Listening

    /// Listens on a new socket, which is the caller's to close, whose file has the rights of a mode, its owner being this
    /// user; the file of a program that has ended is replaced.
    ///
    /// Blocks for as long as others do the same in that folder, which is short.
    public static func listen(at path: String, mode: UInt32) throws(Problem) -> (file: SocketFile, socket: Int32) {
        let folder = try lockFolder(of: path)
        defer { close(folder) }
        try makeRoom(at: path)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .system(errno) }
        // Nobody can connect before it listens, and by then the file has its rights.
        let listens =
            withAddress(path) { bind(descriptor, $0, $1) == 0 } && chmod(path, mode) == 0
            && Glibc.listen(descriptor, backlog) == 0
        guard listens, let file = SocketFile(known: path) else {
            let code = errno
            close(descriptor)
            throw .system(code)
        }
        return (file, descriptor)
    }

    /// Goes on with a socket that listens at a path already, and says whose it is from now on; the rights stay where no
    /// mode is given.
    ///
    /// Nil where there is no file any more by which it could be reached.
    public static func adopt(_ socket: Int32, at path: String, mode: UInt32?) -> SocketFile? {
        guard isSocket(path), let file = SocketFile(known: path) else { return nil }
        // The system tells clients who listened last.
        _ = Glibc.listen(socket, backlog)
        if let mode { _ = chmod(path, mode) }
        return file
    }

    /// Removes the file, unless somebody has put another one in its place.
    public func remove() {
        guard let folder = try? Self.lockFolder(of: path) else { return }
        defer { close(folder) }
        if Self.identity(of: path) == identity { unlink(path) }
    }

    /// Removes a socket's file that nobody listens on any more.
    public static func removeLeftover(at path: String) {
        guard let folder = try? lockFolder(of: path) else { return }
        defer { close(folder) }
        if isSocket(path), !isAnswered(path) { unlink(path) }
    }

    /// The process that listens at a path; nil where none does, or where this user may not know.
    public static func listener(at path: String) -> Int32? {
        guard let descriptor = connection(to: path) else { return nil }
        defer { close(descriptor) }
        var (user, process) = (uid_t(), pid_t())
        return martlet_peer(descriptor, &user, &process) == 0 && process > 0 ? process : nil
    }

    // MARK: Files

    /// Makes sure that nothing is at a path.
    private static func makeRoom(at path: String) throws(Problem) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw .noSocket }
        guard !isAnswered(path) else { throw .inUse }
        guard unlink(path) == 0 else { throw .system(errno) }
    }

    private static func isSocket(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    private static func identity(of path: String) -> Identity? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return Identity(device: status.st_dev, number: status.st_ino)
    }

    /// Keeps others from doing the same, until the folder is closed: what is found out about a path is true until then.
    private static func lockFolder(of path: String) throws(Problem) -> Int32 {
        let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        let descriptor = open(folder.isEmpty ? "/" : String(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(errno) }
        while flock(descriptor, LOCK_EX) != 0 {
            guard errno == EINTR else {
                let code = errno
                close(descriptor)
                throw .system(code)
            }
        }
        return descriptor
    }

    // MARK: Connecting

    /// Whether somebody listens, of whatever kind the socket is, and however many wait there.
    private static func isAnswered(_ path: String) -> Bool {
        guard let descriptor = connection(to: path) else { return errno != ECONNREFUSED && errno != ENOENT }
        close(descriptor)
        return true
    }

    /// Nil where none comes about at once, as `errno` says.
    private static func connection(to path: String) -> Int32? {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(AF_UNIX, Int32(kind), 0)
        guard descriptor >= 0 else { return nil }
        if withAddress(path, { connect(descriptor, $0, $1) == 0 }) { return descriptor }
        let code = errno
        close(descriptor)
        errno = code
        return nil
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Bool) -> Bool {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            errno = ENAMETOOLONG
            return false
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
