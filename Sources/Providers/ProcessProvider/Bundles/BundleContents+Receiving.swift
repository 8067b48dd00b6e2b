// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FaultModel
import Foundation
import ProcessControl
import ProviderContract

/// Archives on their way here.
extension BundleContents {
    /// Writes an archive into a file beside the contents, piece by piece; returns its path.
    ///
    /// The next piece is taken when the one before is written. What breaks off leaves nothing; what a crash leaves is
    /// among the `leftovers`.
    ///
    /// - Throws: the archive's own fault where it ends with one; `malformedBody` where it breaks off otherwise.
    func receive(
        _ archive: some AsyncSequence<[UInt8], any Error> & Sendable
    ) async throws(PlatformFault) -> String {
        let path = "\(newPath).tar"
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.unwritable }
        defer { close(file) }
        let disk = DispatchQueue(label: "martlet.upload")
        do throws(PlatformFault) {
            for try await piece in ArchivePieces(archive) {
                let isWritten = await withCheckedContinuation { continuation in
                    disk.async {
                        continuation.resume(returning: piece.withUnsafeBytes { SystemFile.writeAll($0, to: file) })
                    }
                }
                guard isWritten else { throw Self.unwritable }
            }
            return path
        } catch {
            unlink(path)
            throw error
        }
    }

    private static var unwritable: PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "The data directory cannot be written.",
            hint: "Check its free space and its rights."
        )
    }
}
