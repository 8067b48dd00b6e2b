// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Synchronization
import SystemClient

/// What the other side can do, as far as it has told or was found out; everything until then.
final class LearnedCapabilities: Sendable {
    private let known = Mutex(ProviderCapabilities.all)

    var current: ProviderCapabilities { known.withLock { $0 } }

    func learn(_ told: ProviderCapabilities) { known.withLock { $0 = told } }
}

/// Finds out what a plain OpenFaaS provider can do, which never tells, by questions that change nothing.
struct CapabilityQuestions: Sendable {
    let client: SystemClient
    /// What answers of `/system/info` give away: this one takes 1 for any number of replicas, and refuses 0.
    private static let oneReplicaProviders: Set<String> = ["faasd-ce"]

    /// What cannot be asked for without changing anything counts as possible: the provider says so itself, then.
    func ask() async -> ProviderCapabilities {
        var found = ProviderCapabilities.all
        // Bundles are Martlet's own, and so is the word on who sees a changed secret.
        found.images = false
        found.behaviours.replacesSecrets = false
        let name = try? await client.info().provider?.provider
        if let name, Self.oneReplicaProviders.contains(name) {
            (found.behaviours.scalesToZero, found.behaviours.runsSeveralReplicas) = (false, false)
        }
        found.secrets = await isThere { () throws(PlatformFault) in _ = try await client.secrets(in: nil) }
        found.namespaces = await isThere { () throws(PlatformFault) in
            guard let first = try await client.namespaces().first else { return }
            _ = try await client.namespace(first)
        }
        return found
    }

    /// Whether a route is there at all, whatever it answers.
    private func isThere(_ ask: () async throws(PlatformFault) -> Void) async -> Bool {
        do throws(PlatformFault) { try await ask() } catch {
            return ![.notFound, .notSupported, .methodNotAllowed].contains(error.code)
        }
        return true
    }
}
