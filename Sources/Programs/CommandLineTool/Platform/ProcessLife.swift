// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import NIOCore
import ProcessControl

/// Tells systemd about our state (sd_notify(3)); does nothing where nobody listens.
enum ServiceNotification {
    static func ready() { send("READY=1") }

    static func stopping() { send("STOPPING=1") }

    private static func send(_ state: String) {
        guard let path = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), !path.isEmpty else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            room.copyBytes(from: bytes.prefix(room.count - 1))
            // An abstract socket's name begins with a zero byte, written as "@".
            if bytes.first == UInt8(ascii: "@") { room[0] = 0 }
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + min(bytes.count, 107) + (bytes.first == 64 ? 0 : 1))
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, state, state.utf8.count, 0, $0, length)
            }
        }
    }
}

/// Bounds that the system sets to this process.
enum ResourceBounds {
    /// Makes the process ready to serve; before it has threads.
    static func prepare() {
        raiseFileLimit()
        HeapMemory.keepSmall(threads: System.coreCount)
    }

    /// Uses as many descriptors as are allowed; children get the usual number back.
    private static func raiseFileLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(7), &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(7), &limit)
    }
}

/// The descriptors that every process has, or should have.
public enum StandardStreams {
    /// Opens those that the process was started without: else the next file or socket took such a number, and what is
    /// printed went there.
    public static func open() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
            // The lowest free number is taken, which is this one.
            _ = Glibc.open("/dev/null", O_RDWR)
        }
    }
}

/// What this machine calls itself.
enum MachineName {
    /// Without asking anybody else for it; nil where it has none.
    static var own: String? {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return nil }
        let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }
}
