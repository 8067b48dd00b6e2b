// SPDX-License-Identifier: Apache-2.0

import Foundation

extension ReplicaFolder {
    /// Puts a secret's new value in the place of its old one, at once: who has the old file open reads that to its end.
    ///
    /// Blocks. True also where there is no such file: the replica has ended, or its function has removed it.
    func replaceSecret(_ name: String, by value: Data) -> Bool {
        let file = "\(secrets)/\(name)"
        guard Self.kind(of: secrets) == S_IFDIR, Self.kind(of: file) != nil else { return true }
        let temporary = "\(path)/.secret-\(UUID().uuidString)"
        let isWritten = FileManager.default.createFile(
            atPath: temporary,
            contents: value,
            attributes: [.posixPermissions: 0o400]
        )
        guard isWritten, rename(temporary, file) == 0 else {
            unlink(temporary)
            return false
        }
        return true
    }

    /// Links are not followed: what lies elsewhere is not ours to change.
    private static func kind(of path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
    }
}
