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
    ///
    /// - Throws: `providerUnreachable` where there is no answer.
    func ask() async throws(PlatformFault) -> ProviderCapabilities {
        var found = ProviderCapabilities.all
        // Bundles are Martlet's own, and so is the word on who sees a changed secret.
        found.images = false
        found.behaviours.replacesSecrets = false
        if let name = try await name(), Self.oneReplicaProviders.contains(name) {
            (found.behaviours.scalesToZero, found.behaviours.runsSeveralReplicas) = (false, false)
        }
        found.secrets = try await isThere { () throws(PlatformFault) in _ = try await client.secrets(in: nil) }
        found.namespaces = try await isThere { () throws(PlatformFault) in
            guard let first = try await client.namespaces().first else { return }
            _ = try await client.namespace(first)
        }
        return found
    }

    /// What it says that it is; nil where it does not say so.
    private func name() async throws(PlatformFault) -> String? {
        do throws(PlatformFault) { return try await client.info().provider?.provider } catch {
            guard error.code != .providerUnreachable else { throw error }
            return nil
        }
    }

    /// Whether a route is there at all, whatever it answers.
    private func isThere(_ ask: () async throws(PlatformFault) -> Void) async throws(PlatformFault) -> Bool {
        do throws(PlatformFault) { try await ask() } catch {
            guard error.code != .providerUnreachable else { throw error }
            return ![.notFound, .notSupported, .methodNotAllowed].contains(error.code)
        }
        return true
    }
}
