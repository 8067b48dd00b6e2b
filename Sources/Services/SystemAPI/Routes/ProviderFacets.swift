// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import ProviderContract

/// What routes need of a provider beyond what every provider has; a provider that lacks it is named in the refusal.
extension FunctionProvider {
    /// A facet, where it is there.
    ///
    /// - Throws: `notSupported`.
    func need<Facet: Sendable>(_ facet: Facet?, or lack: ProviderLack) async throws(PlatformFault) -> Facet {
        guard let facet else { throw await refusal(lack) }
        return facet
    }

    /// Refuses a number of replicas that the provider cannot have.
    ///
    /// - Throws: `notSupported`.
    func checkPossible(replicas: Int) async throws(PlatformFault) {
        if let lack = capabilities.lack(forReplicas: replicas) { throw await refusal(lack) }
    }

    private func refusal(_ lack: ProviderLack) async -> PlatformFault {
        // One that cannot be reached is not named.
        lack.fault(of: (try? await info())?.provider)
    }
}
