// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import ProcessControl
public import ProviderContract

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
    public func create(_ deployment: FunctionDeployment) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            let id = try self.identify(deployment)
            guard self.functions[id] == nil else {
                throw PlatformFault(
                    .alreadyExists,
                    "The function \(id) exists already.",
                    hint: "Update it (PUT), or choose another name."
                )
            }
            let revision = try await self.revise(deployment, of: id, number: 1)
            let parsed = try self.parse(revision, of: id)
            try self.checkPort(parsed)
            try self.checkScaling(parsed)
            let function = StateStore.StoredFunction(
                id: id,
                desiredReplicas: parsed.isExclusive ? 1 : parsed.rules.minReplicas,
                createdAt: .now(),
                revision: revision
            )
            try await self.store.insert(function)
            try self.adopt(function).setDesired(function.desiredReplicas)
        }
    }

    /// See the contract's `update`.
    @discardableResult
    public func update(_ deployment: FunctionDeployment, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        try await change { () throws(PlatformFault) in
            let id = try self.identify(deployment)
            let supervisor = try self.existing(id)
            let revision = try await self.revise(deployment, of: id, number: supervisor.stored.number + 1)
            let old = supervisor.stored
            guard
                forced || old.bundleDigest != revision.bundleDigest
                    || !old.deployment.asksForTheSame(as: revision.deployment)
            else { return .unchanged }
            let parsed = try self.parse(revision, of: id)
            try self.checkPort(parsed)
            try self.checkScaling(parsed)
            guard !parsed.isExclusive || supervisor.desired <= 1 else { throw Self.onePort(id) }
            try await self.store.insert(revision, of: id)
            supervisor.setNewest(parsed, revision)
            return .newRevision
        }
    }

    /// See the contract's `restart`.
    public func restart(_ id: FunctionID) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            let supervisor = try self.existing(id)
            var revision = supervisor.stored
            revision.number += 1
            let parsed = try self.parse(revision, of: id)
            try await self.store.insert(revision, of: id)
            supervisor.setNewest(parsed, revision)
        }
    }

    /// See the contract's `delete`.
    public func delete(_ id: FunctionID) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            let supervisor = try self.existing(id)
            try await self.store.delete(id)
            self.desired.forget(id)
            self.hub.remove(id)
            let logs = self.parts.logs
            logs.leave(supervisor.log)
            supervisor.stopAll(deleting: true) { logs.remove(supervisor.log) }
            self.functions[id] = nil
            self.leaving.append(supervisor)
            self.leaving.removeAll { $0.isGone }
        }
    }

    /// See the contract's `scale`.
    public func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) {
        let changed: Timestamp? = try await change { () throws(PlatformFault) in
            let supervisor = try self.existing(id)
            guard (0...Int(Int32.max)).contains(replicas) else {
                throw PlatformFault(.invalidValue, "\(replicas) is not a number of replicas.")
            }
            guard !supervisor.newest.isExclusive || replicas <= 1 else { throw Self.onePort(id) }
            let before = supervisor.desired
            // Started at once, since somebody may wait; acknowledged only when it is on disk.
            guard replicas != before || self.desired.isPending(id) else { return nil }
            self.desired.waiter(replicas, of: id, onDisk: before)
            supervisor.setDesired(replicas)
            return supervisor.createdAt
        }
        guard let changed else { return }
        do throws(PlatformFault) {
            try await keepDesired()
        } catch {
            // Unless somebody has desired another number meanwhile, or the name is another function's.
            if let supervisor = functions[id], supervisor.createdAt == changed, supervisor.desired == replicas,
                let kept = desired.onDisk[id]
            {
                supervisor.setDesired(kept)
            }
            throw error
        }
    }

    /// Returns when all waiters up to now are on disk.
    private func keepDesired() async throws(PlatformFault) {
        let outcome = await withCheckedContinuation { continuation in
            if desired.wait(continuation) { Task { await writeDesired() } }
        }
        try outcome.get()
    }

    private func writeDesired() async {
        while let (waiters, waiting) = desired.take() {
            let outcome: DesiredReplicas.Outcome
            do throws(PlatformFault) {
                try await store.setDesiredReplicas(waiters)
                desired.written(waiters)
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
            for continuation in waiting { continuation.resume(returning: outcome) }
        }
    }

    /// See the contract's `watch`.
    public nonisolated func watch() -> AsyncStream<RoutingEvent> { hub.watch() }

    /// See the contract's `logs`.
    public func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error> {
        try existing(query.function).log.lines(query)
    }

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

    private func identify(_ deployment: FunctionDeployment) throws(PlatformFault) -> FunctionID {
        let namespace = deployment.namespace.flatMap { $0.isEmpty ? nil : $0 } ?? settings.defaultNamespace
        let id = try FunctionID(validatingName: deployment.service, namespace: namespace)
        try checkNamespace(namespace)
        return id
    }

    /// Checks everything that a deployment refers to and pins its image.
    private func revise(
        _ deployment: FunctionDeployment,
        of id: FunctionID,
        number: Int
    ) async throws(PlatformFault) -> StateStore.StoredRevision {
        guard !deployment.image.isEmpty else {
            throw PlatformFault(
                .invalidValue,
                "validation failed: image: is required",
                hint: "Use \"host\" to run a program of this machine."
            )
        }
        try EnvironmentRule.check(deployment)
        try checkSecrets(deployment.secrets ?? [], of: id)
        let digest = deployment.runsOnHost ? nil : try await digest(of: deployment.image, for: id)
        guard limitsAreEnforced || !settings.requiresLimits || !Self.asksForLimits(deployment) else {
            throw PlatformFault(
                .invalidValue,
                "This machine does not enforce limits, and Martlet was started with --require-limits.",
                hint: "Leave the limits out, or start Martlet where it may write control groups."
            )
        }
        var pinned = deployment.asWritten
        pinned.namespace = id.namespace
        return StateStore.StoredRevision(number: number, deployment: pinned, bundleDigest: digest)
    }

    private static func asksForLimits(_ deployment: FunctionDeployment) -> Bool {
        deployment.limits?.memory != nil || deployment.limits?.cpu != nil
            || deployment.labels?["com.martlet.limits.pids"] != nil
    }

    private func checkSecrets(_ names: [String], of id: FunctionID) throws(PlatformFault) {
        for name in names {
            try NameRule.checkSecret(name)
            guard parts.secrets.exists(name, in: id.namespace) else {
                throw PlatformFault(
                    .secretMissing,
                    "unable to find secret: \(name)",
                    hint: "Make it first: martlet secret create \(name) --namespace \(id.namespace) --from-literal …"
                )
            }
        }
    }

    private func checkPort(_ revision: FunctionRevision) throws(PlatformFault) {
        guard case .fixed(let port) = revision.portPlan else { return }
        let owner = functions.values.first { $0.id != revision.id && $0.newest.portPlan == .fixed(port) }
        if let owner {
            throw PlatformFault(
                .conflict,
                "The port \(port) of upstream_url belongs to the function \(owner.id) already.",
                hint: "Write $PORT instead of a number, and let the function listen on the variable PORT."
            )
        }
        guard revision.rules.minReplicas <= 1 else { throw Self.onePort(revision.id) }
    }

    /// What a process per call uses is known of control groups only.
    private func checkScaling(_ revision: FunctionRevision) throws(PlatformFault) {
        guard let mode = revision.rules.scaling?.mode, mode == .cpu || mode == .memory,
            revision.rules.mode.startsProcessPerCall, parts.groups == nil || revision.limits.isEmpty
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
