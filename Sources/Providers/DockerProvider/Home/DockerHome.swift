// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
package import FaultModel
import Foundation
package import FunctionModel
import FunctionProcesses
import NIOCore
package import ProcessControl
package import ProviderContract
package import ReplicaSupervision
package import StoreContract
import Synchronization

/// Runs functions as containers of a Docker engine.
package typealias ContainerFunctionProvider = SupervisingProvider<DockerHome>

/// Where replicas are containers of a Docker engine, found again by their labels.
package struct DockerHome: ReplicaHome {
    package typealias Revision = ContainerRevision
    package typealias Running = ContainerReplica

    let parts: DockerParts
    private let host: EngineHost
    private let images: ImageStore
    private let usage: ContainerUsage
    private let requiresLimits: Bool
    private let crowd: NIOLoopBoundBox<ProbeCrowd>
    private let listening = Listening()

    /// What listens to the engine.
    private final class Listening: Sendable {
        let task = Mutex<Task<Void, Never>?>(nil)
    }

    /// Makes a home at an engine that answers.
    package init(_ parts: SupervisionParts, at host: EngineHost, _ settings: DockerSettings, _ options: Options) {
        self.host = host
        requiresLimits = options.requiresLimits
        self.parts = DockerParts(
            supervision: parts,
            engine: host.engine,
            surroundings: ContainerPlan.Surroundings(
                instance: parts.directory.instance,
                platformURL: options.platformURL,
                publishAddress: settings.reach == .bridge ? nil : settings.publishAddress,
                gatewayAddress: options.gatewayAddress
            ),
            reach: settings.reach,
            remoteHost: host.remoteHost,
            bridge: host.bridge,
            slots: StartSlots(count: 2 * host.cores),
            watch: .makeBoxSendingValue(EngineWatch(loop: parts.loop, logger: parts.logger), eventLoop: parts.loop),
            leftovers: .makeBoxSendingValue(Leftovers(), eventLoop: parts.loop)
        )
        images = ImageStore(host: host, policy: settings.pullPolicy, environment: options.environment)
        usage = ContainerUsage(engine: host.engine)
        crowd = .makeBoxSendingValue(ProbeCrowd(), eventLoop: parts.loop)
    }

    /// What the program knows besides.
    package struct Options: Sendable {
        /// `OPENFAAS_URL` of functions; nil where they cannot reach the gateway.
        package var platformURL: String?
        /// What the gateway's names stand for in containers.
        package var gatewayAddress: String?
        /// Refuses deployments whose limits the engine does not enforce.
        package var requiresLimits: Bool
        /// Where Docker's own files are.
        package var environment: [String: String]

        /// Makes options.
        package init(
            platformURL: String? = nil,
            gatewayAddress: String? = nil,
            requiresLimits: Bool = false,
            environment: [String: String] = [:]
        ) {
            self.platformURL = platformURL
            self.gatewayAddress = gatewayAddress
            self.requiresLimits = requiresLimits
            self.environment = environment
        }
    }

    /// What `info` says.
    package var names: (provider: String, orchestration: String) { ("martlet-docker", "docker") }

    /// Everything that a provider can do, but for a secret's new value where the engine is elsewhere.
    package var behaviours: ProviderBehaviours { .all }

    /// See the contract's `checkHealth`.
    package func checkHealth() async throws(PlatformFault) {
        do { try await parts.engine.ping() } catch { throw PlatformFault(error) }
    }

    // MARK: Life

    /// See the contract's `prepare`.
    package func prepare() async throws(PlatformFault) {
        let left: [Leftovers.Container]
        do throws(EngineFault) { left = try await parts.leftContainers() } catch { throw PlatformFault(error) }
        try await parts.makeRunFolder(keeping: left)
        let generation = parts.supervision.generation.rawValue
        parts.leftovers.value.add(left.filter { $0.identity.generation == generation })
        guard !parts.supervision.otherRun.isEnding else { return }
        await parts.remove(left.filter { $0.identity.generation != generation })
    }

    /// See the contract's `begin`.
    package func begin(_ provider: SupervisingProvider<Self>) async {
        let rest = parts.leftovers.value.takeRest()
        let listening = EngineListening(
            engine: parts.engine,
            label: parts.instanceLabel,
            generation: parts.supervision.generation.rawValue,
            loop: parts.loop,
            watch: parts.watch
        )
        // Ends with the provider.
        self.listening.task.withLock { $0 = Task { await listening.run() } }
        await parts.remove(rest)
    }

    /// See the contract's `predecessorEnded`.
    package func predecessorEnded() async {
        let generation = parts.supervision.generation.other.rawValue
        // What cannot be removed now is removed by the next start.
        guard let left = try? await parts.leftContainers() else { return }
        await parts.remove(left.filter { $0.identity.generation == generation })
    }

    /// See the contract's `tidy`; images are the engine's.
    package func tidy(_ provider: SupervisingProvider<Self>, after generations: [Generation]) async {}

    /// See the contract's `close`.
    package func close() {}

    /// See the contract's `end`.
    package func end() async {
        listening.task.withLock { $0 }?.cancel()
        usage.end()
        await parts.engine.shutdown()
    }

    // MARK: Revisions

    /// See the contract's `fetch`.
    package func fetch(_ spec: FunctionSpec) async throws(PlatformFault) {
        try check(spec)
        try await images.fetch(spec.run.image, policy: spec.run.pullPolicy)
    }

    /// See the contract's `pin`.
    package func pin(_ spec: FunctionSpec) async throws(PlatformFault) -> String? {
        try check(spec)
        return try await images.pin(spec.run.image, policy: spec.run.pullPolicy).id
    }

    private func check(_ spec: FunctionSpec) throws(PlatformFault) {
        try DeploymentRules(cores: host.cores).check(spec)
        guard spec.run.secrets.isEmpty || host.remoteHost == nil else {
            throw PlatformFault(
                .invalidValue,
                "secrets: the Docker engine is elsewhere, and its containers cannot be given files from here.",
                hint: "Run Martlet on the engine's machine, or leave secrets out."
            )
        }
        guard !requiresLimits || host.enforces(spec.run.limits) else {
            throw PlatformFault(
                .invalidValue,
                "The Docker engine does not enforce these limits, and Martlet was started with --require-limits.",
                hint: "Leave the limits out, or let the engine write control groups: martlet doctor."
            )
        }
    }

    /// See the contract's `revision`.
    package func revision(
        _ spec: FunctionSpec,
        _ stored: StoredRevision
    ) async throws(PlatformFault) -> ContainerRevision {
        guard let id = stored.bundleDigest, !spec.deployment.runsOnHost else {
            throw PlatformFault(
                .invalidValue,
                "The function \(spec.id) was deployed to run as a process.",
                hint: "Deploy it with a container image, or start Martlet with --provider process."
            )
        }
        return ContainerRevision(spec, number: stored.number, image: await images.image(id))
    }

    /// See the contract's `check`.
    package func check(_ revision: ContainerRevision) throws(PlatformFault) {}

    /// See the contract's `keepsLimits`.
    package func keepsLimits(of revision: ContainerRevision) -> Bool { host.enforces(revision.spec.run.limits) }

    /// See the contract's `limitsAreEnforced`.
    package var limitsAreEnforced: Bool { host.enforces(ResourceAmounts(memoryBytes: 1, milliCPU: 1, processes: 1)) }

    /// See the contract's `canHavePort`.
    package func canHavePort(_ port: Int) -> Bool { true }

    // MARK: Replicas

    /// See the contract's `firstNumber`.
    package func firstNumber(of id: FunctionID) -> Int { parts.leftovers.value.firstNumber(of: id) }

    /// See the contract's `replica`.
    package func replica(_ order: ReplicaOrder<ContainerRevision>) -> ContainerReplica {
        ContainerReplica(order, parts: parts, crowd: crowd.value)
    }

    /// See the contract's `forget`.
    package func forget(_ log: FunctionLog) {}

    /// See the contract's `usage`.
    package func usage(of replicas: [Int: ContainerReplica]) async -> [Int: ResourceUsage] {
        await usage.of(replicas.compactMapValues(\.container))
    }

    /// See the contract's `replaceSecret`.
    package func replaceSecret(_ name: String, by value: [UInt8], in replicas: [ContainerReplica]) async -> Int {
        let folders = replicas.compactMap(\.secrets)
        let failures = try? await parts.onFolders { folders.count { !$0.replace(name, by: Data(value)) } }
        return failures ?? folders.count
    }

    /// See the contract's `images`.
    package func images(of provider: SupervisingProvider<Self>) -> (any ImageFacet)? { nil }
}
