// SPDX-License-Identifier: Apache-2.0

package import FaultModel
import Foundation
package import FunctionModel
import Logging
import ProviderContract
package import ReplicaSupervision
import StoreContract

/// Images of our own: bundles, immutable and named by their content (martlet-api "Bundles").
extension SupervisingProvider: ImageFacet where Home == ProcessHome {
    /// See the contract's `bundles`.
    package func bundles() async throws(PlatformFault) -> [BundleRecord] { try await store.images() }

    /// See the contract's `storeBundle`.
    package func storeBundle(
        name: String,
        tag: String,
        archive: some AsyncSequence<[UInt8], any Error> & Sendable
    ) async throws(PlatformFault) -> BundleRecord {
        try Self.checkImage(name: name, tag: tag)
        let contents = contents
        let path = try await contents.receive(archive)
        let unpacked = try await Self.onDisk(home.unpacking) { () throws(PlatformFault) in try contents.unpack(path) }
        do throws(PlatformFault) {
            // Placed in the same change as named: whoever removes what nobody uses comes before or after both.
            return try await change { () throws(PlatformFault) in
                try await Self.onDisk(self.parts.disk) { () throws(PlatformFault) in try contents.place(unpacked) }
                let record = BundleRecord(
                    name: name,
                    tag: tag,
                    digest: unpacked.digest,
                    language: unpacked.description.language,
                    createdAt: .now()
                )
                try await self.store.put(record)
                return record
            }
        } catch {
            home.unpacking.async { unpacked.discard() }
            throw error
        }
    }

    /// See the contract's `deleteBundle`.
    package func deleteBundle(name: String, tag: String) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            let images = try await self.store.images()
            guard let image = images.first(where: { $0.name == name && $0.tag == tag }) else {
                throw PlatformFault(.notFound, "There is no bundle \(NameRule.printable("\(name):\(tag)")).")
            }
            let isNamedElsewhere = images.contains { $0.digest == image.digest && ($0.name, $0.tag) != (name, tag) }
            if !isNamedElsewhere, let user = try await self.store.usedBundles()[image.digest] {
                throw PlatformFault(
                    .conflict,
                    "The function \(user) uses the bundle \(name):\(tag).",
                    hint: "Remove it first: martlet remove \(user.name) --namespace \(user.namespace)"
                )
            }
            try await self.store.deleteImage(name: name, tag: tag)
            // In a task of its own, since the name is gone whether or not somebody waits for the rest.
            await Task { await self.removeUnusedBundles() }.value
        }
    }

    private static func checkImage(name: String, tag: String) throws(PlatformFault) {
        let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
        let isName =
            name != "host" && name.count <= 255
            && name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
                !part.isEmpty && part.allSatisfy { letters.contains($0) || $0 == ":" } && part != ".."
            }
        guard isName, !tag.isEmpty, tag.count <= 128, tag.allSatisfy(letters.contains) else {
            throw PlatformFault(
                .invalidValue,
                "\"\(NameRule.printable("\(name):\(tag)"))\" cannot be a bundle's name and tag.",
                hint: "Use letters, digits, \"/\", \".\", \"_\" and \"-\", as: hello:1.0"
            )
        }
    }

    /// Removes what runs that have ended left of bundles, and those that nobody uses.
    func tidyBundles(of generations: [Generation]) async {
        discard(contents.leftovers(of: generations))
        // Where the state is a successor's by now, so are the bundles.
        try? await change { await self.removeUnusedBundles() }
    }

    /// Removes content that neither a name, nor a revision in use, nor a replica that is still there refers to.
    ///
    /// Within a change. Replicas of another run are not known here: as long as there are any, all content stays. What is
    /// not removed now is removed another time.
    func removeUnusedBundles() async {
        guard !parts.otherRun.isThere else { return }
        do throws(PlatformFault) {
            let (used, contents) = (try await bundlesInUse(), contents)
            discard(try await Self.onDisk(parts.disk) { contents.retire(besides: used) })
        } catch {
            guard error.code != .shuttingDown else { return }
            parts.logger.warning("unused bundles were not removed", metadata: ["why": "\(error)"])
        }
    }

    private func bundlesInUse() async throws(PlatformFault) -> Set<String> {
        let named = try await store.images().map(\.digest)
        let pinned = try await store.usedBundles().keys
        leaving.removeAll { $0.isGone }
        let running = (Array(functions.values) + leaving).flatMap(\.bundleFolders)
        return Set(named).union(pinned).union(running.map { ($0 as NSString).lastPathComponent })
    }

    /// Removes folders that nobody finds any more.
    func discard(_ folders: [String]) {
        home.unpacking.async {
            for folder in folders { try? FileManager.default.removeItem(atPath: folder) }
        }
    }

    private nonisolated var store: any DesiredStore { parts.store }
    private nonisolated var contents: BundleContents { home.contents }
}

extension FunctionSupervisor where Home == ProcessHome {
    /// The bundles of all replicas, ending ones too, and of those that may yet be started.
    fileprivate var bundleFolders: Set<String> {
        Set((replicas.values.map(\.revision) + [newest, serving].compactMap { $0 }).compactMap(\.bundleFolder))
    }
}

extension ProcessHome {
    var contents: BundleContents {
        BundleContents(folder: shared.directory.file("bundles"), generation: shared.generation)
    }

    /// The digest that an image name stands for now.
    func digest(of image: String, for id: FunctionID) async throws(PlatformFault) -> String {
        let parts = ImageName(image)
        if let found = try await shared.store.images().first(where: { $0.name == parts.name && $0.tag == parts.tag }) {
            return found.digest
        }
        throw PlatformFault(
            .imageNotFound,
            "The image \"\(NameRule.printable(image))\" is not in the local store.",
            hint: """
                Build it here: martlet build -f stack.yaml --filter \(id.name). \
                Or run a program of this machine: martlet deploy \(id.name) --image host --fprocess "COMMAND".
                """
        )
    }
}
