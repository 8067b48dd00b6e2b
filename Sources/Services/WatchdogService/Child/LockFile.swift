// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The file by which a container's health check sees that the watchdog listens (contract §15.1, §15.8).
struct LockFile: Sendable {
    let path: String

    init(_ environment: [String: String]) {
        let folder = environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        path = folder.hasSuffix("/") ? folder + ".lock" : folder + "/.lock"
    }

    var exists: Bool { access(path, F_OK) == 0 }

    /// False where it cannot be made; `errno` says why.
    func create() -> Bool {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o660)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }

    func remove() { unlink(path) }
}
