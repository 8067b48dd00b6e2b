// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import NIOCore
import ProcessControl

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
