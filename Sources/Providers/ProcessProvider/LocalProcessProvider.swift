// SPDX-License-Identifier: Apache-2.0

package import FaultModel
package import Logging
package import ReplicaSupervision

/// Runs functions as child processes of this process, supervised by the watchdog's rules.
package typealias LocalProcessProvider = SupervisingProvider<ProcessHome>

extension SupervisingProvider where Home == ProcessHome {
    /// How a provider of processes is set up.
    package struct Settings: Sendable {
        /// What holds for every home.
        package var basis: Basis
        /// `OPENFAAS_URL` of functions.
        package var platformURL: String
        /// Refuses deployments whose limits the system does not enforce.
        package var requiresLimits: Bool

        /// Makes settings.
        package init(_ basis: Basis, platformURL: String, requiresLimits: Bool = false) {
            self.basis = basis
            self.platformURL = platformURL
            self.requiresLimits = requiresLimits
        }
    }

    /// Opens the state, ends what a killed Martlet left running, and starts everything that was deployed.
    ///
    /// - Throws: `storageUnavailable` when the state cannot be read.
    package init(_ settings: Settings, logger: Logger) async throws(PlatformFault) {
        try await self.init(settings.basis, logger: logger) { parts in
            ProcessHome(parts, platformURL: settings.platformURL, requiresLimits: settings.requiresLimits)
        }
    }
}
