// SPDX-License-Identifier: Apache-2.0

package import Dispatch
package import FaultModel
package import FunctionModel
package import Logging
import NIOCore
import NIOPosix
package import ProviderContract
package import StoreContract

/// Keeps functions running at a home, whatever that is.
///
/// An actor on an event loop of its own: what happens to replicas arrives there in order, and no call's thread waits for a
/// disk. Everything acknowledged is in the data directory before the acknowledgement.
package actor SupervisingProvider<Home: ReplicaHome>: FunctionProvider {
    /// How a provider is set up, whatever its home is.
    package struct Basis: Sendable {
        /// Where secrets, images and logs live; owned by the provider from now on.
        package var dataDirectory: DataDirectory
        /// What is desired; owned and closed by the provider.
        package var store: any DesiredStore
        /// The namespace of deployments that name none.
        package var defaultNamespace: String
        /// What `info` says.
        package var version: ProviderInfo.Version
        /// Which run it is.
        package var generation: Generation
        /// Whether the run before may still have functions, which are left alone until `predecessorEnded`.
        package var hasPredecessor: Bool

        /// Makes a basis.
        package init(
            dataDirectory: DataDirectory,
            store: any DesiredStore,
            defaultNamespace: String = NameRule.defaultNamespace,
            version: ProviderInfo.Version,
            generation: Generation = .even,
            hasPredecessor: Bool = false
        ) {
            self.dataDirectory = dataDirectory
            self.store = store
            self.defaultNamespace = defaultNamespace
            self.version = version
            self.generation = generation
            self.hasPredecessor = hasPredecessor
        }
    }

    /// The home's own.
    package nonisolated var behaviours: ProviderBehaviours { home.behaviours }
    /// Shows what functions print.
    package nonisolated var logs: (any LogFacet)? { self }
    /// Keeps secrets.
    package nonisolated var secrets: (any SecretFacet)? { self }
    /// Makes, changes and removes namespaces.
    package nonisolated var namespaces: (any NamespaceFacet)? { self }
    /// The home's own.
    package nonisolated var images: (any ImageFacet)? { home.images(of: self) }

    /// Whether limits of memory, CPU and processes are enforced.
    package nonisolated var limitsAreEnforced: Bool { home.limitsAreEnforced }

    /// See the contract's `unownedExecutor`.
    package nonisolated var unownedExecutor: UnownedSerialExecutor { parts.loop.executor.asUnownedSerialExecutor() }

    /// Where the replicas live.
    package nonisolated let home: Home
    /// What it shares with the home.
    package nonisolated let parts: SupervisionParts
    nonisolated let basis: Basis
    private nonisolated let group: MultiThreadedEventLoopGroup

    package private(set) var functions: [FunctionID: FunctionSupervisor<Home>] = [:]
    /// Functions that were deleted and whose last calls are still ending.
    package var leaving: [FunctionSupervisor<Home>] = []
    var namespaceRecords: [String: NamespaceRecord] = [:]
    var desired = DesiredReplicas()
    private var isChanging = false
    private var changes: [CheckedContinuation<Void, Never>] = []
    private var isStopped = false
    /// A successor writes the state from now on.
    private(set) var isHandedOver = false

    nonisolated var store: any DesiredStore { parts.store }
    nonisolated var logger: Logger { parts.logger }
    nonisolated var feed: RouteFeed { parts.feed }

    /// Opens the state, lets the home deal with what an earlier run left, and starts everything that was deployed.
    ///
    /// - Throws: `storageUnavailable` when the state cannot be read; what `ReplicaHome.prepare` throws.
    package init(
        _ basis: Basis,
        logger: Logger,
        home makeHome: (SupervisionParts) async throws(PlatformFault) -> Home
    ) async throws(PlatformFault) {
        self.basis = basis
        let directory = basis.dataDirectory
        // One loop for supervision, one for logs, whose thread may wait for the disk.
        group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let loops = Array(group.makeIterator())
        parts = SupervisionParts(
            loop: loops[0],
            directory: directory,
            store: basis.store,
            feed: RouteFeed(),
            secrets: SecretStore(folder: directory.file("secrets"), preferring: directory.file("incoming")),
            generation: basis.generation,
            otherRun: OtherRun(isEnding: basis.hasPredecessor),
            disk: DispatchQueue(label: "martlet.disk"),
            folders: DispatchQueue(label: "martlet.folders"),
            logger: logger,
            logs: FunctionLogs(folder: directory.file("logs"), loop: loops[1])
        )
        do throws(PlatformFault) {
            home = try await makeHome(parts)
            try await home.prepare()
            if !basis.hasPredecessor { await removeSecretLeftovers() }
            try await restore()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        await home.begin(self)
        if !basis.hasPredecessor { await home.tidy(self, after: Generation.allCases) }
    }

    /// Runs something that blocks on a queue of its own.
    package static func onDisk<Value: Sendable>(
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
    package func predecessorEnded() async {
        await home.predecessorEnded()
        parts.otherRun.ended()
        parts.logs.writersHaveEnded()
        await home.tidy(self, after: [basis.generation.other])
    }

    private func removeSecretLeftovers() async {
        let secrets = parts.secrets
        await withCheckedContinuation { continuation in
            parts.disk.async {
                secrets.removeLeftovers()
                continuation.resume()
            }
        }
    }

    private func restore() async throws(PlatformFault) {
        for record in try await store.namespaces() { namespaceRecords[record.name] = record }
        if namespaceRecords[basis.defaultNamespace] == nil {
            let record = NamespaceRecord(name: basis.defaultNamespace, labels: ["openfaas": "1"])
            try await store.put(record)
            namespaceRecords[record.name] = record
        }
        let stored = try await store.functions()
        parts.logs.removeLeftovers(besides: Set(stored.map(\.id)))
        for function in stored {
            do throws(PlatformFault) {
                try await restore(function)
            } catch {
                logger.error(
                    "a stored function cannot be run",
                    metadata: ["function": "\(function.id)", "why": "\(error)"]
                )
            }
        }
        warnOfPaths()
    }

    /// Starts a stored function; what an older or newer version let pass and this one cannot read is told once.
    private func restore(_ function: StoredFunction) async throws(PlatformFault) {
        var faults: [String] = []
        let newest = try await parse(function.revision, of: function.id, noting: &faults)
        let serving = await parseReady(function)
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
        newest: Home.Revision,
        serving: Home.Revision? = nil
    ) -> FunctionSupervisor<Home> {
        let supervisor = FunctionSupervisor(
            function,
            newest: newest,
            serving: serving,
            home: home,
            parts: parts,
            log: parts.logs.log(of: function.id),
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

    /// The function is deleted, and its last calls end.
    func leave(_ supervisor: FunctionSupervisor<Home>) {
        functions[supervisor.id] = nil
        leaving.append(supervisor)
        leaving.removeAll { $0.isGone }
    }

    private func parse(
        _ stored: StoredRevision,
        of id: FunctionID,
        noting faults: inout [String]
    ) async throws(PlatformFault) -> Home.Revision {
        let spec = FunctionSpec(stored: stored.deployment, of: id) { faults.append($0) }
        return try await home.revision(spec, stored)
    }

    private func parseReady(_ function: StoredFunction) async -> Home.Revision? {
        guard let ready = function.readyRevision else { return nil }
        var ignored: [String] = []
        do { return try await parse(ready, of: function.id, noting: &ignored) } catch { return nil }
    }

    // MARK: Stop

    /// Leaves the state to a successor: nothing changes any more, and nothing is written.
    ///
    /// Replicas go on until `shutdown`, and are woken for calls that came before; those with a port of their own, which the
    /// successor's need, end as `releasePorts` is told.
    package func handOver() async {
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
    package func releasePorts(_ idle: @escaping @Sendable ([FunctionID]) async -> [FunctionID]) async {
        guard functions.values.contains(where: \.mayHoldPort) else { return }
        repeat {
            let holding = functions.values.filter { $0.mayHoldPort && $0.desired > 0 }.map(\.id)
            if !holding.isEmpty { for id in await idle(holding) { functions[id]?.setDesired(0) } }
        } while (try? await Task.sleep(for: Self.portPause)) != nil
    }

    private static var portPause: Duration { .milliseconds(20) }

    /// Lets all replicas end their calls, then ends them; what still runs after the limit is killed.
    ///
    /// State is kept.
    package nonisolated func shutdown(within limit: Duration) async {
        await stopAll(within: limit)
        // Not on the actor, whose own event loop ends here.
        try? await group.shutdownGracefully()
    }

    private func stopAll(within limit: Duration) async {
        isStopped = true
        home.close()
        feed.close()
        let deadline = parts.loop.scheduleTask(in: TimeAmount(limit)) {
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
        await home.end()
        parts.logs.close()
        if !isHandedOver { await closeStore() }
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
    package func change<Value: Sendable>(
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
}
