// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import NIOCore
import ProcessControl

/// Bodies that are too large for the database, a file each, on disk before anybody counts on them.
struct SpillFolder: Sendable {
    /// Bodies up to this size live in the database.
    static let inlineLimit = 65_536

    /// Whether a body is too large for a row.
    static func isNeeded(for body: ByteBuffer) -> Bool { body.readableBytes > inlineLimit }

    let path: String

    /// Writes a body to a new file and syncs it and its name.
    ///
    /// Blocks.
    func write(_ bytes: ByteBuffer) throws(PlatformFault) -> String {
        let name = UUID().uuidString.lowercased()
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure() }
        let isWritten =
            bytes.withUnsafeReadableBytes { SystemFile.writeAll($0, to: descriptor) } && fsync(descriptor) == 0
        let why = errno
        close(descriptor)
        guard isWritten, syncNames() else {
            errno = why
            let fault = Self.failure()
            unlink(file)
            throw fault
        }
        return name
    }

    /// Whether a body is there.
    func has(_ name: String) -> Bool { access("\(path)/\(name)", F_OK) == 0 }

    /// Reads a body.
    ///
    /// Blocks.
    func read(_ name: String) throws -> ByteBuffer {
        ByteBuffer(bytes: try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
    }

    /// Removes a body that nothing refers to any more.
    func remove(_ name: String) { unlink("\(path)/\(name)") }

    /// The names of all bodies.
    var names: Set<String> { Set((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []) }

    /// Makes the names in the folder last.
    func syncNames() -> Bool { SystemFile.syncFolder(path) }

    private static func failure() -> PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "The call cannot be kept: \(String(cString: strerror(errno)).lowercased()).",
            hint: "Make room in the data directory; calls are taken again as soon as there is some.",
            retryAfterSeconds: 5
        )
    }
}
