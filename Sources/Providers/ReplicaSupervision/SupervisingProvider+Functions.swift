// SPDX-License-Identifier: Apache-2.0

package import FaultModel
package import FunctionModel
import Logging
package import ProviderContract
import StoreContract

/// Functions: what is desired, and what there is.
extension SupervisingProvider {
    /// See the contract's `info`.
    package func info() async throws(PlatformFault) -> ProviderInfo {
        ProviderInfo(provider: home.names.provider, version: basis.version, orchestration: home.names.orchestration)
    }

    /// See the contract's `checkHealth`.
    package func checkHealth() async throws(PlatformFault) {
        _ = try await store.namespaces()
        try await home.checkHealth()
    }

    /// See the contract's `functions`.
    package func functions(in namespace: String) async throws(PlatformFault) -> [FunctionStatus] {
        try checkNamespace(namespace)
        return functions.values.filter { $0.id.namespace == namespace }
            .sorted { $0.id < $1.id }
            .map { $0.status() }
    }

    /// See the contract's `function`.
    package func function(_ id: FunctionID, includingUsage: Bool) async throws(PlatformFault) -> FunctionStatus {
        let supervisor = try existing(id)
        var status = supervisor.status()
        if includingUsage { status.usage = await supervisor.usage() }
        return status
    }

    /// See the contract's `create`.
    package func create(_ spec: FunctionSpec) async throws(PlatformFault) {
        try await home.fetch(spec)
        try await change { () throws(PlatformFault) in
            let id = spec.id
            try self.checkNamespace(id.namespace)
            guard self.functions[id] == nil else {
                throw PlatformFault(
                    .alreadyExists,
                    "The function \(id) exists already.",
                    hint: "Update it (PUT), or choose another name."
                )
            }
            try self.checkPaths(spec, isNew: true)
            let stored = try await self.pinned(spec, number: 1)
            let revision = try await self.home.revision(spec, stored)
            try self.checkPort(revision)
            try self.home.check(revision)
            let function = StoredFunction(
                id: id,
                desiredReplicas: revision.isExclusive ? 1 : revision.spec.scaling.min,
                createdAt: .now(),
                revision: stored
            )
            try await self.store.insert(function)
            self.adopt(function, newest: revision).setDesired(function.desiredReplicas)
        }
    }

    /// See the contract's `update`.
    @discardableResult
    package func update(_ spec: FunctionSpec, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        try await home.fetch(spec)
        return try await change { () throws(PlatformFault) in
            let id = spec.id
            try self.checkNamespace(id.namespace)
            let supervisor = try self.existing(id)
            let old = supervisor.stored
            let stored = try await self.pinned(spec, number: old.number + 1)
            guard
                forced || old.bundleDigest != stored.bundleDigest
                    || !old.deployment.asksForTheSame(as: stored.deployment)
            else { return .unchanged }
            try self.checkPaths(spec, isNew: false)
            let revision = try await self.home.revision(spec, stored)
            try self.checkPort(revision)
            try self.home.check(revision)
            guard !revision.isExclusive || supervisor.desired <= 1 else { throw Self.onePort(id) }
            try await self.store.insert(stored, of: id)
            supervisor.setNewest(revision, stored)
            return .newRevision
        }
    }

    /// See the contract's `restart`.
    package func restart(_ id: FunctionID) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            let supervisor = try self.existing(id)
            var (stored, revision) = (supervisor.stored, supervisor.newest)
            stored.number += 1
            revision.number = stored.number
            try await self.store.insert(stored, of: id)
            supervisor.setNewest(revision, stored)
        }
    }

    /// See the contract's `delete`.
    package func delete(_ id: FunctionID) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            let supervisor = try self.existing(id)
            try await self.store.delete(id)
            self.desired.forget(id)
            self.feed.remove(id)
            let logs = self.parts.logs
            logs.leave(supervisor.log)
            supervisor.stopAll(deleting: true) { logs.remove(supervisor.log) }
            self.leave(supervisor)
        }
    }

    /// See the contract's `scale`.
    @discardableResult
    package func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) -> Int {
        try await setDesired(id) { _ in replicas }
    }

    /// See the contract's `wake`.
    @discardableResult
    package func wake(_ id: FunctionID, atLeast replicas: Int) async throws(PlatformFault) -> Int {
        try await setDesired(id, isForCalls: true) { max($0, replicas) }
    }

    /// Desires another number of replicas, chosen when no other change is being made.
    ///
    /// A successor keeps its own number: calls that came before it need their replicas here.
    private func setDesired(
        _ id: FunctionID,
        isForCalls: Bool = false,
        _ choose: (Int) -> Int
    ) async throws(PlatformFault) -> Int {
        let (replicas, changed) = try await change(isOfThisRun: isForCalls) {
            () throws(PlatformFault) -> (Int, Timestamp?) in
            let supervisor = try self.existing(id)
            let before = supervisor.desired
            let replicas = choose(before)
            guard (0...Int(Int32.max)).contains(replicas) else {
                throw PlatformFault(.invalidValue, "\(replicas) is not a number of replicas.")
            }
            guard !supervisor.newest.isExclusive || replicas <= 1 else { throw Self.onePort(id) }
            // Started at once, since somebody may wait; acknowledged only when it is on disk.
            guard replicas != before || self.desired.isPending(id) else { return (replicas, nil) }
            if self.isHandedOver {
                supervisor.setDesired(replicas)
                return (replicas, nil)
            }
            self.desired.desire(replicas, of: id, onDisk: before)
            supervisor.setDesired(replicas)
            return (replicas, supervisor.createdAt)
        }
        if let changed { try await keepDesired(replicas, of: id, createdAt: changed) }
        return replicas
    }

    private func keepDesired(
        _ replicas: Int,
        of id: FunctionID,
        createdAt: Timestamp
    ) async throws(PlatformFault) {
        do throws(PlatformFault) {
            try await keepDesired()
        } catch {
            // Unless somebody has desired another number meanwhile, or the name is another function's.
            if let supervisor = functions[id], supervisor.createdAt == createdAt, supervisor.desired == replicas,
                let kept = desired.onDisk[id]
            {
                supervisor.setDesired(kept)
            }
            throw error
        }
    }

    /// Returns when all that was desired up to now is on disk.
    func keepDesired() async throws(PlatformFault) {
        let outcome = await withCheckedContinuation { continuation in
            // Unowned: all who wait for it are told, whichever of them is cancelled.
            if desired.wait(continuation) { Task { await writeDesired() } }
        }
        try outcome.get()
    }

    private func writeDesired() async {
        while let (numbers, waiting) = desired.take() {
            let outcome: DesiredReplicas.Outcome
            do throws(PlatformFault) {
                // Others may have written them: then the store may be a successor's by now.
                if !numbers.isEmpty { try await store.setDesiredReplicas(numbers) }
                desired.written(numbers)
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
            for continuation in waiting { continuation.resume(returning: outcome) }
        }
    }

    /// See the contract's `watch`.
    package nonisolated func watch() -> AsyncStream<RouteUpdate> { feed.updates() }

    // MARK: Checks

    func existing(_ id: FunctionID) throws(PlatformFault) -> FunctionSupervisor<Home> {
        guard let supervisor = functions[id] else {
            throw PlatformFault(
                .functionNotFound,
                "The function \(NameRule.printable(id.description)) does not exist.",
                hint: "List the functions there are: martlet list"
            )
        }
        return supervisor
    }

    /// Checks everything that a spec refers to and pins its image.
    private func pinned(
        _ spec: FunctionSpec,
        number: Int
    ) async throws(PlatformFault) -> StoredRevision {
        try checkSecrets(spec.run.secrets, of: spec.id)
        let digest = try await home.pin(spec)
        return StoredRevision(number: number, deployment: spec.deployment, bundleDigest: digest)
    }

    private func checkSecrets(_ names: [String], of id: FunctionID) throws(PlatformFault) {
        for name in names {
            guard parts.secrets.exists(name, in: id.namespace) else {
                throw PlatformFault(
                    .secretMissing,
                    "unable to find secret: \(name)",
                    hint: "Make it first: martlet secret create \(name) --namespace \(id.namespace) --from-literal …"
                )
            }
        }
    }

    /// An old revision that serves until the newest is ready keeps its paths as well.
    private func checkPaths(_ spec: FunctionSpec, isNew: Bool) throws(PlatformFault) {
        try spec.checkPaths(
            among: functions.values.lazy.filter(\.hasPaths).map { ($0.id, $0.paths) },
            exists: { functions[$0] != nil },
            isNew: isNew,
            defaultNamespace: basis.defaultNamespace
        )
    }

    /// Tells of stored functions whose further paths lead nowhere, or to another function; they are kept.
    func warnOfPaths() {
        for function in functions.values.sorted(by: { $0.id < $1.id }) where function.hasPaths {
            do throws(PlatformFault) { try checkPaths(function.newest.spec, isNew: false) } catch {
                logger.warning(
                    "a stored function has a path that it cannot be called at for certain",
                    metadata: ["function": "\(function.id)", "why": "\(error)"]
                )
            }
        }
    }

    private func checkPort(_ revision: Home.Revision) throws(PlatformFault) {
        guard let port = revision.fixedPort else { return }
        let id = revision.spec.id
        if let owner = functions.values.first(where: { $0.id != id && $0.newest.fixedPort == port }) {
            throw PlatformFault(
                .conflict,
                "The port \(port) of upstream_url belongs to the function \(owner.id) already.",
                hint: "Write $PORT instead of a number, and let the function listen on the variable PORT."
            )
        }
        guard revision.spec.scaling.min <= 1 else { throw Self.onePort(id) }
    }

    private static func onePort(_ id: FunctionID) -> PlatformFault {
        PlatformFault(
            .invalidValue,
            "\(id) names a fixed port in upstream_url, so it can have one replica only.",
            hint: "Write $PORT instead of the number, and let the function listen on the variable PORT."
        )
    }
}

extension SupervisingProvider: LogFacet {
    /// See the contract's `logs`.
    package func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error> {
        try existing(query.function).log.lines(query)
    }
}
