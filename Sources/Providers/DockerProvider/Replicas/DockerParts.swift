// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import FaultModel
import Foundation
import FunctionModel
import NIOCore
import ProviderContract
import ReplicaSupervision

/// What all containers of a provider are made and kept with.
struct DockerParts: Sendable {
    let supervision: SupervisionParts
    let engine: DockerEngine
    let surroundings: ContainerPlan.Surroundings
    let reach: ContainerReach
    /// Where published ports are reached, of an engine elsewhere; nil where it is this machine's.
    let remoteHost: String?
    /// What the interface of the engine's bridge is called.
    let bridge: String
    let slots: StartSlots
    /// Both are confined to the supervision loop.
    let watch: NIOLoopBoundBox<EngineWatch>
    let leftovers: NIOLoopBoundBox<Leftovers>

    var loop: any EventLoop { supervision.loop }

    func plan(_ revision: ContainerRevision, replica: String) -> ContainerPlan {
        ContainerPlan(
            identity: ContainerIdentity(
                instance: surroundings.instance,
                function: revision.id,
                revision: revision.number,
                replica: replica,
                generation: supervision.generation.rawValue
            ),
            revision: revision,
            surroundings: surroundings,
            secrets: revision.spec.run.secrets.isEmpty ? nil : secretFolder(revision.id.namespace, replica)
        )
    }

    /// A replica's name is unique within its function only, and a function's within its namespace.
    private func secretFolder(_ namespace: String, _ replica: String) -> SecretFolder {
        SecretFolder(path: "\(runFolder)/\(namespace).\(replica)")
    }

    private var runFolder: String { supervision.directory.file("containers") }

    // MARK: What is left

    /// `NAME=VALUE` of the label that all containers of this data directory have.
    var instanceLabel: String { "\(ContainerIdentity.Label.instance)=\(surroundings.instance)" }

    /// The containers of this data directory, of whichever run.
    func leftContainers() async throws(EngineFault) -> [Leftovers.Container] {
        try await engine.containers(labelled: [instanceLabel], all: true).compactMap { Leftovers.Container($0) }
    }

    /// Removes containers, and what they had of secrets; what the engine does not remove now is tried again by the next
    /// start.
    func remove(_ containers: [Leftovers.Container]) async {
        await withDiscardingTaskGroup { tasks in
            for container in containers {
                tasks.addTask {
                    try? await slots.run { try await engine.remove(container.id, force: true) }
                    let folder = secretFolder(container.identity.function.namespace, container.identity.replica)
                    try? await onFolders { folder.remove() }
                }
            }
        }
    }

    /// Makes the folder of secrets, and removes what no container of these has.
    func makeRunFolder(keeping containers: [Leftovers.Container]) async throws(PlatformFault) {
        let folder = runFolder
        let kept = Set(containers.map { "\($0.identity.function.namespace).\($0.identity.replica)" })
        try await SupervisingProvider<DockerHome>.onDisk(supervision.folders) { () throws(PlatformFault) in
            try DataDirectory.makeFolder(folder)
            for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where !kept.contains(name)
            {
                SecretFolder(path: "\(folder)/\(name)").remove()
            }
        }
    }

    // MARK: Elsewhere

    /// Runs something that waits for the disk where replicas' folders are made.
    func onFolders<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            supervision.folders.async { continuation.resume(with: Result { try body() }) }
        }
    }

    func upstream(_ details: ContainerDetails, port: Int) -> Upstream.Address? {
        ContainerPlace(details, port: port)
            .upstream(port: port, reach, bridges: LocalBridge.addresses(of: bridge), host: remoteHost)
    }
}
