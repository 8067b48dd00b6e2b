// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import Logging
import ProcessControl
public import ProviderContract
import StoreContract

/// Functions: what is desired, and what there is.
extension LocalProcessProvider {
    /// See the contract's `info`.
    public func info() async throws(PlatformFault) -> ProviderInfo {
        ProviderInfo(provider: "martlet-process", version: settings.version, orchestration: "process")
    }

    /// See the contract's `checkHealth`.
    public func checkHealth() async throws(PlatformFault) {
        _ = try await store.namespaces()
    }

    /// See the contract's `functions`.
    public func functions(in namespace: String) async throws(PlatformFault) -> [FunctionStatus] {
        try checkNamespace(namespace)
        return functions.values.filter { $0.id.namespace == namespace }
            .sorted { $0.id < $1.id }
            .map { $0.status(limitsEnforced: limitsAreEnforced) }
    }

    /// See the contract's `function`.
    public func function(_ id: FunctionID, includingUsage: Bool) async throws(PlatformFault) -> FunctionStatus {
        let supervisor = try existing(id)
        var status = supervisor.status(limitsEnforced: limitsAreEnforced)
        if includingUsage {
            status.usage = supervisor.usage(supervisor.needsProcessTable ? await processTable() : [:])
        }
        return status
    }

    /// See the contract's `create`.
    public func create(_ spec: FunctionSpec) async throws(PlatformFault) {
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
            let revision = try self.revision(spec, stored)
            try self.checkPort(revision)
            try self.checkScaling(revision)
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
    public func update(_ spec: FunctionSpec, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        try await change { () throws(PlatformFault) in
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
            let revision = try self.revision(spec, stored)
            try self.checkPort(revision)
            try self.checkScaling(revision)
            guard !revision.isExclusive || supervisor.desired <= 1 else { throw Self.onePort(id) }
            try await self.store.insert(stored, of: id)
            supervisor.setNewest(revision, stored)
            return .newRevision
        }
    }

    /// See the contract's `restart`.
    public func restart(_ id: FunctionID) async throws(PlatformFault) {
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
    public func delete(_ id: FunctionID) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            let supervisor = try self.existing(id)
            try await self.store.delete(id)
            self.desired.forget(id)
            self.feed.remove(id)
            let logs = self.parts.logs
            logs.leave(supervisor.log)
            supervisor.stopAll(deleting: true) { logs.remove(supervisor.log) }
            self.functions[id] = nil
            self.leaving.append(supervisor)
            self.leaving.removeAll { $0.isGone }
        }
    }

    /// See the contract's `scale`.
    @discardableResult
    public func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) -> Int {
        try await setDesired(id) { _ in replicas }
    }

    /// See the contract's `wake`.
    @discardableResult
    public func wake(_ id: FunctionID, atLeast replicas: Int) async throws(PlatformFault) -> Int {
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
    public nonisolated func watch() -> AsyncStream<RouteUpdate> { feed.updates() }

    // MARK: Checks

    func existing(_ id: FunctionID) throws(PlatformFault) -> FunctionSupervisor {
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
        let deployment = spec.deployment
        let digest = deployment.runsOnHost ? nil : try await digest(of: spec.run.image, for: spec.id)
        try checkLimits(spec.run.limits)
        return StoredRevision(number: number, deployment: deployment, bundleDigest: digest)
    }

    private func checkLimits(_ limits: ResourceAmounts) throws(PlatformFault) {
        guard settings.requiresLimits, !limits.areEnforced(byGroups: limitsAreEnforced) else { return }
        throw PlatformFault(
            .invalidValue,
            "This machine does not enforce these limits, and Martlet was started with --require-limits.",
            hint: limits.limitGPUs
                ? "Leave those of graphics processors out: processes share the machine's."
                : "Leave the limits out, or start Martlet where it may write control groups."
        )
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
            defaultNamespace: settings.defaultNamespace
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

    private func checkPort(_ revision: FunctionRevision) throws(PlatformFault) {
        guard case .fixed(let port) = revision.run.port else { return }
        let owner = functions.values.first { $0.id != revision.id && $0.newest.run.port == .fixed(port) }
        if let owner {
            throw PlatformFault(
                .conflict,
                "The port \(port) of upstream_url belongs to the function \(owner.id) already.",
                hint: "Write $PORT instead of a number, and let the function listen on the variable PORT."
            )
        }
        guard revision.spec.scaling.min <= 1 else { throw Self.onePort(revision.id) }
    }

    /// What a process per call uses is known of control groups only.
    private func checkScaling(_ revision: FunctionRevision) throws(PlatformFault) {
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

    private static func onePort(_ id: FunctionID) -> PlatformFault {
        PlatformFault(
            .invalidValue,
            "\(id) names a fixed port in upstream_url, so it can have one replica only.",
            hint: "Write $PORT instead of the number, and let the function listen on the variable PORT."
        )
    }
}

extension LocalProcessProvider: LogFacet {
    /// See the contract's `logs`.
    public func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error> {
        try existing(query.function).log.lines(query)
    }
}
