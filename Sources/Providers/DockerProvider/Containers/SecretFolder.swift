// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation

/// The secrets of one replica, as files of a folder that its container has read-only.
///
/// Every user inside may read them, whoever the image's is, and no other user outside: the folder above them is closed.
/// A value is put in the place of the old one, which containers see at once. Everything blocks.
struct SecretFolder: Sendable {
    /// The folder that nobody else may enter.
    let path: String

    /// What a container is given.
    var inner: String { "\(path)/secrets" }

    /// Where functions look for their secrets (contract §8.1).
    static let mountPoint = "/var/openfaas/secrets"

    /// Makes the folder with these values, in place of what a former replica of that name left.
    func fill(_ values: [(name: String, value: Data)]) throws {
        try? FileManager.default.removeItem(atPath: path)
        for (folder, mode) in [(path, mode_t(0o700)), (inner, 0o755)] where mkdir(folder, mode) != 0 {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
        for (name, value) in values { try write(value, as: name) }
        guard chmod(inner, 0o555) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }

    /// Gives a container that runs the new value; true also where it has none of that name.
    func replace(_ name: String, by value: Data) -> Bool {
        guard access("\(inner)/\(name)", F_OK) == 0 else { return true }
        // Its owner alone can do that, and root needs no permission.
        chmod(inner, 0o755)
        defer { chmod(inner, 0o555) }
        return (try? write(value, as: name)) != nil
    }

    func remove() {
        chmod(inner, 0o755)
        try? FileManager.default.removeItem(atPath: path)
    }

    private func write(_ value: Data, as name: String) throws {
        let temporary = "\(path)/.\(UUID().uuidString)"
        let isWritten = FileManager.default.createFile(
            atPath: temporary,
            contents: value,
            attributes: [.posixPermissions: 0o444]
        )
        guard isWritten, chmod(temporary, 0o444) == 0, rename(temporary, "\(inner)/\(name)") == 0 else {
            let code = errno
            unlink(temporary)
            throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO)
        }
    }
}
