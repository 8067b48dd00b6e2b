// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import Logging
import ProviderContract
import Synchronization

/// Asks the provider for replicas when a call finds none desired (contract §6).
final class Activator: Sendable {
    private let provider: any FunctionProvider
    private let logger: Logger
    private let tableReference = Mutex<RoutingTable?>(nil)

    init(provider: any FunctionProvider, logger: Logger) {
        self.provider = provider
        self.logger = logger
    }

    /// Where failures are reported; set once, since table and activator need one another.
    var table: RoutingTable? {
        get { tableReference.withLock { $0 } }
        set { tableReference.withLock { $0 = newValue } }
    }

    /// Asks once; the waiting calls go on when the provider pushes a ready replica, or learn why not.
    @Sendable func activate(_ id: FunctionID, _ minimum: Int) {
        Task {
            do throws(PlatformFault) {
                try await provider.scale(id, to: minimum)
            } catch {
                logger.error("a function was not started", metadata: ["function": "\(id)", "why": "\(error)"])
                table?.activationFailed(id, error)
            }
        }
    }
}
