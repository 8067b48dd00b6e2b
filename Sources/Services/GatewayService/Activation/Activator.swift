// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import Logging
import ProviderContract
import ServiceLifecycle

/// Asks the provider for replicas when a call finds none desired (contract §6).
struct Activator: Service {
    /// A function that calls wait for, and how many replicas it needs.
    struct Need: Sendable {
        let id: FunctionID
        let minimum: Int
    }

    let provider: any FunctionProvider
    let table: RoutingTable
    let needs: AsyncStream<Need>
    let logger: Logger

    /// A routing table, and what its calls need.
    static func table(defaultNamespace: String) -> (RoutingTable, AsyncStream<Need>) {
        let (needs, continuation) = AsyncStream.makeStream(of: Need.self)
        let table = RoutingTable(defaultNamespace: defaultNamespace) { id, minimum in
            continuation.yield(Need(id: id, minimum: minimum))
        }
        return (table, needs)
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            for await need in needs.cancelOnGracefulShutdown() {
                group.addTask { await activate(need.id, need.minimum) }
            }
            group.cancelAll()
        }
        // The table may be gone before its service is told to stop.
        try? await gracefulShutdown()
    }

    /// Asks once; the waiting calls go on when the provider pushes a ready replica, or learn why not.
    private func activate(_ id: FunctionID, _ minimum: Int) async {
        do throws(PlatformFault) {
            try await provider.scale(id, to: provider.capabilities.lacks(.severalReplicas) ? 1 : minimum)
        } catch {
            logger.error("a function was not started", metadata: ["function": "\(id)", "why": "\(error)"])
            table.activationFailed(id, error)
        }
    }
}
