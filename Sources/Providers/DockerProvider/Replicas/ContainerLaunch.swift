// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import Foundation
import FunctionModel
import ReplicaSupervision

/// Makes and starts one replica's container, or takes one over that runs already.
struct ContainerLaunch: Sendable {
    /// What came of it.
    enum Outcome: Sendable {
        case running(ContainerDetails)
        /// Nobody wants it any more.
        case abandoned
        /// The end of a sentence that begins with the replica's name.
        case failed(String)
    }

    let parts: DockerParts
    let plan: ContainerPlan
    let name: String
    /// One of a run before that is just like it.
    let leftover: Leftovers.Container?
    /// Whether somebody still wants it.
    let isWanted: @Sendable () async -> Bool
    /// Told of the container before it is started; false where nobody wants it any more.
    let made: @Sendable (String) async -> Bool

    private var engine: DockerEngine { parts.engine }

    func run() async -> Outcome {
        if let leftover, let outcome = await takeOver(leftover) { return outcome }
        do {
            try await fillSecrets()
            return try await parts.slots.run { () throws(EngineFault) in try await create() }
        } catch {
            return .failed(Self.sentence(error))
        }
    }

    /// Nil where it does not run any more.
    private func takeOver(_ leftover: Leftovers.Container) async -> Outcome? {
        guard await made(leftover.id) else { return .abandoned }
        guard let details = try? await engine.inspectContainer(leftover.id), details.state.running else {
            try? await engine.remove(leftover.id, force: true)
            return nil
        }
        return .running(details)
    }

    private func create() async throws(EngineFault) -> Outcome {
        guard await isWanted() else { return .abandoned }
        let id = try await createContainer()
        guard await made(id) else {
            try await engine.remove(id, force: true)
            return .abandoned
        }
        try await engine.start(id)
        return .running(try await engine.inspectContainer(id))
    }

    /// A container of this name is what a run before has left, or an answer of the engine's that was lost.
    private func createContainer() async throws(EngineFault) -> String {
        do {
            return try await engine.createContainer(name: name, plan.config, platform: nil).id
        } catch .refused(status: 409, _) {
            try await engine.remove(name, force: true)
            return try await engine.createContainer(name: name, plan.config, platform: nil).id
        }
    }

    private func fillSecrets() async throws {
        guard let folder = plan.secrets else { return }
        let (secrets, run) = (parts.supervision.secrets, plan.revision.spec.run)
        let namespace = plan.revision.id.namespace
        try await parts.onFolders {
            try folder.fill(try run.secrets.map { ($0, try secrets.value(of: $0, in: namespace)) })
        }
    }

    private static func sentence(_ error: any Error) -> String {
        switch error as? EngineFault {
        case .refused(status: 404, let message) where message.hasPrefix("No such image"):
            "has no image any more: the engine has lost it. Deploy it again"
        case .refused(_, let message): "could not be started: \(NameRule.printable(message))"
        case .some(let fault): "could not be started: \(fault)"
        case nil: "could not be given its secrets"
        }
    }
}
