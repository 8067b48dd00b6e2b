// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import ReplicaSupervision

/// The contents of bundles, `bundles/sha256-DIGEST/`: each is there whole or not at all.
///
/// All methods block. Which contents are in use is for the provider to say, who places and retires them in turn.
struct BundleContents: Sendable {
    /// What was unpacked and has no place yet.
    struct Unpacked: Sendable {
        let folder: String
        let digest: String
        let description: BundleDescription

        func discard() { try? FileManager.default.removeItem(atPath: folder) }
    }

    let folder: String
    /// Which run it is, whose contents that come and go are not another run's leftovers.
    let generation: Generation

    func place(of digest: String) -> String { "\(folder)/\(digest)" }

    /// Unpacks an archive beside the contents; the archive is gone afterwards.
    ///
    /// - Throws: `malformedBody`; nothing is left then.
    func unpack(_ archive: String) throws(PlatformFault) -> Unpacked {
        defer { unlink(archive) }
        let temporary = newPath
        guard mkdir(temporary, 0o700) == 0 else {
            throw PlatformFault(.storageUnavailable, "The data directory cannot be written.")
        }
        do throws(PlatformFault) {
            let digest = try BundleArchive.unpack(archive, into: temporary)
            return Unpacked(
                folder: temporary,
                digest: digest,
                description: try BundleDescription(folder: temporary)
            )
        } catch {
            try? FileManager.default.removeItem(atPath: temporary)
            throw error
        }
    }

    /// Where something new waits for its place.
    var newPath: String { "\(folder)/.new-\(generation.rawValue)-\(UUID().uuidString)" }

    /// Puts what was unpacked into its place, unless the same is there.
    func place(_ unpacked: Unpacked) throws(PlatformFault) {
        let place = place(of: unpacked.digest)
        guard !FileManager.default.fileExists(atPath: place) else { return unpacked.discard() }
        chmod(unpacked.folder, 0o755)
        guard rename(unpacked.folder, place) == 0 else {
            unpacked.discard()
            throw PlatformFault(.storageUnavailable, "The bundle cannot be put in its place.")
        }
        DurableFile.syncFolder(of: place)
    }

    /// Takes contents that are not in use out of their places; returns the folders that are to be removed.
    func retire(besides used: Set<String>) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasPrefix("sha256-") && !used.contains($0) }.compactMap { name in
            // At once: a crash while it is removed leaves no half of it under its digest.
            let aside = "\(folder)/.old-\(generation.rawValue)-\(UUID().uuidString)"
            return rename(place(of: name), aside) == 0 ? aside : nil
        }
    }

    /// What runs that have ended left of contents that came or went; where all have, also what is of an earlier version,
    /// which named no run.
    func leftovers(of generations: [Generation]) -> [String] {
        let runs = generations.count == Generation.allCases.count ? [""] : generations.map { "\($0.rawValue)-" }
        let prefixes = runs.flatMap { [".new-\($0)", ".old-\($0)"] }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { prefixes.contains(where: $0.hasPrefix) }.map { "\(folder)/\($0)" }
    }
}
