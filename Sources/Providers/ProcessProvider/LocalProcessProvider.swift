// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel
import FunctionProcesses
public import Logging
import NIOCore
import NIOPosix
import ProcessControl
public import ProviderContract
public import StoreContract

/// Runs functions as child processes of this process, supervised by the watchdog's rules.
///
/// An actor on an event loop of its own: what happens to processes arrives there in order, and no call's thread waits
/// for a disk. Everything acknowledged is in the data directory before the acknowledgement.
public actor LocalProcessProvider: FunctionProvider {
    /// How a provider is set up.
    public struct Settings: Sendable {
        /// Where secrets, bundles and logs live; owned by the provider from now on.
        public var dataDirectory: DataDirectory
        /// What is desired; owned and closed by the provider.
        public var store: any DesiredStore
        /// The namespace of deployments that name none.
        public var defaultNamespace: String
        /// `OPENFAAS_URL` of functions.
        public var platformURL: String
        /// Refuses deployments whose limits the system does not enforce.
        public var requiresLimits: Bool
        /// What `info` says.
        public var version: ProviderInfo.Version
        /// Which run it is.
        public var generation: Generation
        /// Whether the run before may still have functions, which are left alone until `predecessorEnded`.
        public var hasPredecessor: Bool

        /// Makes settings.
        public init(
            dataDirectory: DataDirectory,
            store: any DesiredStore,
            defaultNamespace: String = NameRule.defaultNamespace,
            platformURL: String,
            requiresLimits: Bool = false,
            version: ProviderInfo.Version,
            generation: Generation = .even,
            hasPredecessor: Bool = false
        ) {
            self.dataDirectory = dataDirectory
            self.store = store
            self.defaultNamespace = defaultNamespace
            self.platformURL = platformURL
            self.requiresLimits = requiresLimits
            self.version = version
            self.generation = generation
            self.hasPredecessor = hasPredecessor
        }
    }

    /// Everything that a provider can do, this one does.
    public nonisolated var behaviours: ProviderBehaviours { .all }
    /// Shows what functions print.
    public nonisolated var logs: (any LogFacet)? { self }
    /// Keeps secrets.
    public nonisolated var secrets: (any SecretFacet)? { self }
    /// Makes, changes and removes namespaces.
    public nonisolated var namespaces: (any NamespaceFacet)? { self }
    /// Keeps bundles.
    public nonisolated var images: (any ImageFacet)? { self }
    /// Whether the system enforces limits of memory, CPU and processes.
    public nonisolated let limitsAreEnforced: Bool

    /// See the contract's `unownedExecutor`.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor.asUnownedSerialExecutor() }

    nonisolated let settings: Settings
    nonisolated let logger: Logger
    nonisolated let parts: ReplicaParts
    nonisolated let feed = RouteFeed()
    nonisolated let store: any DesiredStore
    /// Where bundles are unpacked and removed: it may take long, and no replica waits for it.
    nonisolated let unpacking = DispatchQueue(label: "martlet.bundles")
    private nonisolated let loop: any EventLoop
    private nonisolated let group: MultiThreadedEventLoopGroup

    var functions: [FunctionID: FunctionSupervisor] = [:]
    /// Functions that were deleted and whose last calls are still ending.
    var leaving: [FunctionSupervisor] = []
    var namespaceRecords: [String: NamespaceRecord] = [:]
    var desired = DesiredReplicas()
    private let crowd = ProbeCrowd()
    private var isChanging = false
    private var changes: [CheckedContinuation<Void, Never>] = []
    private var isStopped = false
    /// A successor writes the state from now on.
    private(set) var isHandedOver = false
    private var memoryWatch: RepeatedTask?
    private var isWatchingMemory = false
    private var lastProcessTable: (at: ContinuousClock.Instant, table: [Int32: ResourceUsage])?

    /// Opens the state, ends what a killed Martlet left running, and starts everything that was deployed.
    ///
    /// - Throws: `storageUnavailable` when the state cannot be read.
    public init(_ settings: Settings, logger: Logger) async throws(PlatformFault) {
        self.settings = settings
        self.logger = logger
        let directory = settings.dataDirectory
        store = settings.store
        let disk = DispatchQueue(label: "martlet.disk")
        // One loop for supervision, one for logs, whose thread may wait for the disk.
        group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let loops = Array(group.makeIterator())
        loop = loops[0]
        let suffix = settings.generation.suffix
        let groups = ControlGroupTree.detect(name: "martlet-\(directory.instance)\(suffix)", processID: getpid())
        limitsAreEnforced = groups != nil
        parts = ReplicaParts(
            loop: loops[0],
            // As the first process of a container it inherits whatever loses its parent.
            spawner: ProcessSpawner(adoptsOrphans: getpid() == 1),
            ports: PortPool(),
            logs: FunctionLogs(folder: directory.file("logs"), loop: loops[1]),
            marks: ProcessMarks(owner: directory.owner + suffix),
            secrets: SecretStore(folder: directory.file("secrets"), preferring: directory.file("incoming")),
            groups: groups,
            runFolder: directory.file("run\(suffix)"),
            generation: settings.generation,
            otherRun: OtherRun(isEnding: settings.hasPredecessor),
            platformURL: settings.platformURL,
            disk: disk,
            folders: DispatchQueue(label: "martlet.folders"),
            tidying: FolderTidying(loop: loops[0])
        )
        mkdir(parts.runFolder, 0o700)
        if !settings.hasPredecessor { await removeLeftovers() }
        try await restore()
        if !settings.hasPredecessor { await tidyBundles(of: Generation.allCases) }
    }

    /// Runs something that blocks on a queue of its own.
    static func onDisk<Value: Sendable>(
        _ queue: DispatchQueue,
        _ body: @escaping @Sendable () throws(PlatformFault) -> Value
    ) async throws(PlatformFault) -> Value {
        let result: Result<Value, PlatformFault> = await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: Result { () throws(PlatformFault) in try body() }) }
        }
        return try result.get()
    }

    // MARK: Start

    /// The run before has ended: what it has left behind is removed.
    public func predecessorEnded() async {
        await removeLeftovers(of: settings.generation.other)
        // What held a port is gone by now.
        parts.otherRun.ended()
        parts.logs.writersHaveEnded()
        await tidyBundles(of: [settings.generation.other])
    }

    private func removeLeftovers() async {
        await removeLeftovers(of: settings.generation)
        await removeLeftovers(of: settings.generation.other)
        let secrets = parts.secrets
        await withCheckedContinuation { continuation in
            parts.disk.async {
                secrets.removeLeftovers()
                continuation.resume()
            }
        }
    }

    /// Orphans are recognised by their marks, or by their home, which lies in this data directory.
    private func removeLeftovers(of generation: Generation) async {
        let (directory, suffix) = (settings.dataDirectory, generation.suffix)
        let isOwn = generation == settings.generation
        let runFolder = directory.file("run\(suffix)")
        // Mostly nothing has ever been handed over.
        guard isOwn || access(runFolder, F_OK) == 0 else { return }
        let marks = isOwn ? parts.marks : ProcessMarks(owner: directory.owner + suffix)
        await marks.endStrays()
        let groups = isOwn ? parts.groups : parts.groups?.sibling("martlet-\(directory.instance)\(suffix)")
        await withCheckedContinuation { continuation in
            parts.disk.async {
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

    private func restore() async throws(PlatformFault) {
        for record in try await store.namespaces() { namespaceRecords[record.name] = record }
        if namespaceRecords[settings.defaultNamespace] == nil {
            let record = NamespaceRecord(name: settings.defaultNamespace, labels: ["openfaas": "1"])
            try await store.put(record)
            namespaceRecords[record.name] = record
        }
        let stored = try await store.functions()
        parts.logs.removeLeftovers(besides: Set(stored.map(\.id)))
        for function in stored {
            do throws(PlatformFault) {
                try restore(function)
            } catch {
                logger.error(
                    "a stored function cannot be run",
                    metadata: ["function": "\(function.id)", "why": "\(error)"]
                )
            }
        }
        warnOfPaths()
        if !limitsAreEnforced { watchMemory() }
    }

    /// Removes what runs that have ended left of bundles, and those that nobody uses.
    private func tidyBundles(of generations: [Generation]) async {
        discard(contents.leftovers(of: generations))
        // Where the state is a successor's by now, so are the bundles.
        try? await change { await self.removeUnusedBundles() }
    }

    /// Starts a stored function; what an older or newer version let pass and this one cannot read is told once.
    private func restore(_ function: StoredFunction) throws(PlatformFault) {
        var faults: [String] = []
        let newest = try parse(function.revision, of: function.id) { faults.append($0) }
        let serving = function.readyRevision.flatMap { try? parse($0, of: function.id) }
        if !faults.isEmpty {
            logger.warning(
                "a part of a stored function's deployment counts as absent",
                metadata: ["function": "\(function.id)", "why": "\(faults.joined(separator: " "))"]
            )
        }
        adopt(function, newest: newest, serving: serving).setDesired(function.desiredReplicas)
    }

    /// Makes the supervisor of a function, which begins with no replica.
    func adopt(
        _ function: StoredFunction,
        newest: FunctionRevision,
        serving: FunctionRevision? = nil
    ) -> FunctionSupervisor {
        let supervisor = FunctionSupervisor(
            function,
            newest: newest,
            serving: serving,
            parts: parts,
            log: parts.logs.log(of: function.id),
            crowd: crowd,
            feed: feed,
            logger: logger,
            onServing: { [store, logger, createdAt = function.createdAt] id, number in
                // Unowned, and awaited by nobody: a restart that finds the older number merely begins with the newest.
                Task {
                    do throws(PlatformFault) {
                        try await store.setReadyRevision(number, of: id, createdAt: createdAt)
                    } catch {
                        // Another program has the store by now, and has seen its own replicas become ready.
                        guard error.code != .shuttingDown else { return }
                        logger.warning("the serving revision was not noted", metadata: ["why": "\(error)"])
                    }
                }
            }
        )
        functions[function.id] = supervisor
        return supervisor
    }

    private func parse(
        _ stored: StoredRevision,
        of id: FunctionID,
        noting: (String) -> Void = { _ in }
    ) throws(PlatformFault) -> FunctionRevision {
        try revision(FunctionSpec(stored: stored.deployment, of: id, noting: noting), stored)
    }

    /// What a spec and the bundle that it is pinned to are together.
    func revision(
        _ spec: FunctionSpec,
        _ stored: StoredRevision
    ) throws(PlatformFault) -> FunctionRevision {
        let folder = stored.bundleDigest.map(bundleFolder)
        return try FunctionRevision(
            spec,
            number: stored.number,
            bundle: try folder.map { folder throws(PlatformFault) in try BundleDescription(folder: folder) } ?? nil,
            bundleFolder: folder
        )
    }

    nonisolated func bundleFolder(_ digest: String) -> String { contents.place(of: digest) }

    // MARK: Stop

    /// Leaves the state to a successor: nothing changes any more, and nothing is written.
    ///
    /// Replicas go on until `shutdown`, and are woken for calls that came before; those with a port of their own, which the
    /// successor's need, end as `releasePorts` is told.
    public func handOver() async {
        // Behind a change that is being made.
        try? await change { isHandedOver = true }
        // Numbers that were desired up to now; who desired them hears whether they are kept.
        try? await keepDesired()
        parts.otherRun.begins()
        for function in functions.values { function.handOver() }
        await closeStore()
    }

    /// Ends replicas with a port of their own when they are not needed any more, until it is cancelled; behind `handOver`.
    ///
    /// `idle` says which of some functions have no call, waiting ones included. A call that comes later goes to the
    /// successor's replica.
    public func releasePorts(_ idle: @escaping @Sendable ([FunctionID]) async -> [FunctionID]) async {
        guard functions.values.contains(where: \.mayHoldPort) else { return }
        repeat {
            let holding = functions.values.filter { $0.mayHoldPort && $0.desired > 0 }.map(\.id)
            if !holding.isEmpty { for id in await idle(holding) { functions[id]?.setDesired(0) } }
        } while (try? await Task.sleep(for: Self.portPause)) != nil
    }

    private static let portPause = Duration.milliseconds(20)

    /// Lets all replicas end their calls, then ends them; what still runs after the limit is killed.
    ///
    /// State is kept.
    public nonisolated func shutdown(within limit: Duration) async {
        await stopAll(within: limit)
        // Not on the actor, whose own event loop ends here.
        try? await group.shutdownGracefully()
    }

    private func stopAll(within limit: Duration) async {
        isStopped = true
        memoryWatch?.cancel()
        parts.tidying.close()
        feed.close()
        let deadline = loop.scheduleTask(in: TimeAmount(limit)) {
            self.assumeIsolated { provider in
                for function in provider.functions.values + provider.leaving { function.killAll() }
            }
        }
        let ending = Array(functions.values) + leaving
        await withCheckedContinuation { continuation in
            // All at once; the last one to be gone ends the wait.
            var left = ending.count
            guard left > 0 else { return continuation.resume() }
            for function in ending {
                function.stopAll(deleting: function.isDeleting) {
                    left -= 1
                    if left == 0 { continuation.resume() }
                }
            }
        }
        deadline.cancel()
        // Calls' processes that were killed just now, and what has left its group.
        parts.marks.withdrawAll()
        await parts.marks.endStrays()
        parts.logs.close()
        if !isHandedOver { await closeStore() }
        parts.spawner.shutdown()
    }

    private func closeStore() async {
        do { try await store.close() } catch {
            // Everything that was acknowledged is on disk: the next start reads it.
            logger.warning("what is desired was not closed", metadata: ["why": "\(error)"])
        }
    }

    // MARK: One change at a time

    /// Runs a change alone, so that what it checked still holds when it writes.
    ///
    /// What a successor is not to hear of is done also when there is one.
    func change<Value: Sendable>(
        isOfThisRun: Bool = false,
        _ body: () async throws(PlatformFault) -> Value
    ) async throws(PlatformFault) -> Value {
        if isChanging { await withCheckedContinuation { changes.append($0) } }
        isChanging = true
        defer {
            if changes.isEmpty { isChanging = false } else { changes.removeFirst().resume() }
        }
        guard !isStopped, !isHandedOver || isOfThisRun else {
            throw PlatformFault(.shuttingDown, "Martlet is stopping.")
        }
        return try await body()
    }

    /// What the system knows of process groups, at most a moment old: many functions are asked about at once.
    func processTable() async -> [Int32: ResourceUsage] {
        let now = ContinuousClock.now
        if let known = lastProcessTable, now - known.at < .milliseconds(200) { return known.table }
        let table = await withCheckedContinuation { continuation in
            DispatchQueue.global(qos: .utility).async { continuation.resume(returning: ProcessTable.groupUsages()) }
        }
        lastProcessTable = (now, table)
        return table
    }

    private func watchMemory() {
        memoryWatch = loop.scheduleRepeatedTask(initialDelay: .milliseconds(250), delay: .milliseconds(250)) { _ in
            self.assumeIsolated { provider in
                guard !provider.isWatchingMemory, provider.functions.values.contains(where: \.needsMemoryWatch) else {
                    return
                }
                provider.isWatchingMemory = true
                // Unowned: one look at the table of processes, which the provider's end makes void.
                Task { await provider.enforceMemory() }
            }
        }
    }

    /// The table is read elsewhere: where there are many processes that takes long, and no function waits for it.
    private func enforceMemory() async {
        let table = await processTable()
        for function in functions.values where function.needsMemoryWatch { function.enforceMemory(table) }
        isWatchingMemory = false
    }
}
