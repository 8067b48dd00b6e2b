// SPDX-License-Identifier: Apache-2.0

import Dispatch
package import FaultModel
import Foundation
package import FunctionModel
import FunctionProcesses
import NIOCore
package import ProcessControl
package import ProviderContract
package import ReplicaSupervision
package import StoreContract

/// This machine as a home of replicas: each is a process, or a slot that starts a process per call.
package struct ProcessHome: ReplicaHome {
    /// Everything that a provider can do, this one does.
    package var behaviours: ProviderBehaviours { .all }
    /// What `info` says.
    package var names: (provider: String, orchestration: String) { ("martlet-process", "process") }
    /// Whether the system enforces limits of memory, CPU and processes.
    package let limitsAreEnforced: Bool

    let parts: ReplicaParts
    let shared: SupervisionParts
    /// Where bundles are unpacked and removed: it may take long, and no replica waits for it.
    let unpacking = DispatchQueue(label: "martlet.bundles")
    private let requiresLimits: Bool
    private let crowd: NIOLoopBoundBox<ProbeCrowd>
    private let spares: NIOLoopBoundBox<SpareFolders>
    private let memory: MemoryWatch

    init(_ shared: SupervisionParts, platformURL: String, requiresLimits: Bool) {
        self.shared = shared
        self.requiresLimits = requiresLimits
        let (directory, suffix) = (shared.directory, shared.generation.suffix)
        let groups = ControlGroupTree.detect(name: "martlet-\(directory.instance)\(suffix)", processID: getpid())
        limitsAreEnforced = groups != nil
        parts = ReplicaParts(
            loop: shared.loop,
            // As the first process of a container it inherits whatever loses its parent.
            spawner: ProcessSpawner(adoptsOrphans: getpid() == 1),
            ports: PortPool(),
            marks: ProcessMarks(owner: directory.owner + suffix),
            secrets: shared.secrets,
            groups: groups,
            runFolder: directory.file("run\(suffix)"),
            otherRun: shared.otherRun,
            platformURL: platformURL,
            folders: shared.folders,
            tidying: FolderTidying(loop: shared.loop)
        )
        crowd = .makeBoxSendingValue(ProbeCrowd(), eventLoop: shared.loop)
        spares = .makeBoxSendingValue(SpareFolders(disk: shared.disk), eventLoop: shared.loop)
        memory = MemoryWatch(loop: shared.loop)
        mkdir(parts.runFolder, 0o700)
    }

    /// Processes can always be started.
    package func checkHealth() {}

    // MARK: Life

    /// Ends what a killed Martlet left running.
    package func prepare() async {
        guard !shared.otherRun.isEnding else { return }
        await removeLeftovers(of: shared.generation)
        await removeLeftovers(of: shared.generation.other)
    }

    /// Watches over memory where no control group does.
    package func begin(_ provider: LocalProcessProvider) {
        if !limitsAreEnforced { memory.begin(provider) }
    }

    /// Ends what the run before left.
    package func predecessorEnded() async { await removeLeftovers(of: shared.generation.other) }

    /// Removes bundles that nobody uses, and what earlier runs left of others.
    package func tidy(_ provider: LocalProcessProvider, after generations: [Generation]) async {
        await provider.tidyBundles(of: generations)
    }

    /// Keeps no folder any more.
    package func close() {
        memory.end()
        parts.tidying.close()
    }

    /// Ends calls' processes that were killed just now, and what has left its group.
    package func end() async {
        parts.marks.withdrawAll()
        await parts.marks.endStrays()
        parts.spawner.shutdown()
    }

    /// Orphans are recognised by their marks, or by their home, which lies in this data directory.
    private func removeLeftovers(of generation: Generation) async {
        let (directory, suffix) = (shared.directory, generation.suffix)
        let isOwn = generation == shared.generation
        let runFolder = directory.file("run\(suffix)")
        // Mostly nothing has ever been handed over.
        guard isOwn || access(runFolder, F_OK) == 0 else { return }
        let marks = isOwn ? parts.marks : ProcessMarks(owner: directory.owner + suffix)
        await marks.endStrays()
        let groups = isOwn ? parts.groups : parts.groups?.sibling("martlet-\(directory.instance)\(suffix)")
        await withCheckedContinuation { continuation in
            shared.disk.async {
                ProcessTable.killOrphans(carrying: "HOME=\(runFolder)/")
                groups?.removeLeftovers()
                if !isOwn { groups?.remove() }
                Self.discardContents(of: runFolder)
                continuation.resume()
            }
        }
    }

    /// Empties the folder of replicas' folders.
    ///
    /// There may be thousands of them: they are moved aside, and nobody waits until they are gone.
    private static func discardContents(of folder: String) {
        let aside = "\(folder)/.discarded-\(UInt32.random(in: 0 ... .max))"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        guard !names.isEmpty, mkdir(aside, 0o700) == 0 else { return }
        for name in names { rename("\(folder)/\(name)", "\(aside)/\(name)") }
        // What a crash leaves of it is discarded by the next start.
        DispatchQueue.global(qos: .utility).async { try? FileManager.default.removeItem(atPath: aside) }
    }

    // MARK: Revisions

    /// The digest of the bundle; nil for a program of the machine.
    package func pin(_ spec: FunctionSpec) async throws(PlatformFault) -> String? {
        let digest = spec.deployment.runsOnHost ? nil : try await digest(of: spec.run.image, for: spec.id)
        try checkLimits(spec.run.limits)
        return digest
    }

    private func checkLimits(_ limits: ResourceAmounts) throws(PlatformFault) {
        guard requiresLimits, !limits.areEnforced(byGroups: limitsAreEnforced) else { return }
        throw PlatformFault(
            .invalidValue,
            "This machine does not enforce these limits, and Martlet was started with --require-limits.",
            hint: limits.limitGPUs
                ? "Leave those of graphics processors out: processes share the machine's."
                : "Leave the limits out, or start Martlet where it may write control groups."
        )
    }

    /// What a spec and the bundle that it is pinned to are together.
    package func revision(_ spec: FunctionSpec, _ stored: StoredRevision) throws(PlatformFault) -> FunctionRevision {
        let folder = stored.bundleDigest.map(contents.place)
        return try FunctionRevision(
            spec,
            number: stored.number,
            bundle: try folder.map { folder throws(PlatformFault) in try BundleDescription(folder: folder) } ?? nil,
            bundleFolder: folder
        )
    }

    /// What a process per call uses is known of control groups only.
    package func check(_ revision: FunctionRevision) throws(PlatformFault) {
        guard let mode = revision.spec.scaling.rules?.mode, mode == .cpu || mode == .memory,
            revision.run.mode.startsProcessPerCall, parts.groups == nil || revision.limits.isEmpty
        else { return }
        throw PlatformFault(
            .invalidValue,
            "What \(revision.id) uses cannot be measured: it starts a process per call and has no control group.",
            hint: parts.groups == nil
                ? "Scale it by capacity or rps." : "Give it a limit of memory or CPU, or scale it by capacity or rps."
        )
    }

    /// Whether the system enforces them.
    package func keepsLimits(of revision: FunctionRevision) -> Bool {
        revision.spec.run.limits.areEnforced(byGroups: limitsAreEnforced)
    }

    /// Whether nobody listens there.
    package func canHavePort(_ port: Int) -> Bool { PortPool.mayTake(port) }

    // MARK: Replicas

    /// A process, or a slot, in the folder that the function's last one left.
    package func replica(_ order: ReplicaOrder<FunctionRevision>) -> ReplicaProcess {
        ReplicaProcess(
            order,
            parts: parts,
            spareFolder: spares.value.take(of: order.log),
            crowd: crowd.value,
            onTidied: { [spares, log = order.log] folder in spares.value.keep(folder, of: log) }
        )
    }

    /// Removes the folder that waits for the function's next replica.
    package func forget(_ log: FunctionLog) { spares.value.forget(log) }

    /// By their control groups, or the table of all processes.
    package func usage(of replicas: [Int: ReplicaProcess]) async -> [Int: ResourceUsage] {
        let needsTable = replicas.values.contains(where: \.isInTableAlone)
        let table = needsTable ? await memory.processTable() : [:]
        return replicas.compactMapValues { $0.group?.usage() ?? $0.processID.flatMap { table[$0] } }
    }

    /// Puts the new value into the place of the old one.
    ///
    /// On the queue on which replicas' folders are made: those that copied the old one are known by now and done with
    /// it; those that come later copy the new one.
    package func replaceSecret(_ name: String, by value: [UInt8], in replicas: [ReplicaProcess]) async -> Int {
        let folders = replicas.map(\.folder)
        return await withCheckedContinuation { continuation in
            parts.folders.async {
                continuation.resume(returning: folders.count { !$0.replaceSecret(name, by: Data(value)) })
            }
        }
    }

    /// Keeps bundles.
    package func images(of provider: LocalProcessProvider) -> (any ImageFacet)? { provider }
}

/// A folder of each function that waits for its next replica, which then starts without delay.
///
/// Confined to the supervision loop.
final class SpareFolders {
    private let disk: DispatchQueue
    private var folders: [ObjectIdentifier: ReplicaFolder] = [:]

    init(disk: DispatchQueue) { self.disk = disk }

    /// Functions are told apart by their logs, since a name may be another one's by now.
    func take(of log: FunctionLog) -> ReplicaFolder? { folders.removeValue(forKey: ObjectIdentifier(log)) }

    /// One is enough to start from zero without delay.
    func keep(_ folder: ReplicaFolder, of log: FunctionLog) {
        guard folders[ObjectIdentifier(log)] == nil, !log.isLeft else { return disk.async { folder.remove() } }
        folders[ObjectIdentifier(log)] = folder
    }

    func forget(_ log: FunctionLog) {
        guard let folder = take(of: log) else { return }
        disk.async { folder.remove() }
    }
}
