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
    let clock: any Clock<Duration>
    /// Waits between questions to a provider that accepts and does nothing.
    private static let shortestPause = Duration.seconds(1)
    private static let longestPause = Duration.seconds(15)

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
                group.addTask { await meet(need) }
            }
            group.cancelAll()
        }
        // The table may be gone before its service is told to stop.
        try? await gracefulShutdown()
    }

    /// Asks, and asks again while calls wait and the provider tells of no desired replica, though it has accepted.
    ///
    /// The waiting calls go on when the provider pushes a ready replica, or learn why not.
    private func meet(_ need: Need) async {
        let least = provider.capabilities.lacks(.severalReplicas) ? 1 : need.minimum
        var pause = Self.shortestPause
        repeat {
            do throws(PlatformFault) {
                try await provider.wake(need.id, atLeast: least)
            } catch {
                logger.error("a function was not started", metadata: ["function": "\(need.id)", "why": "\(error)"])
                return table.activationFailed(need.id, error)
            }
            guard (try? await clock.sleep(for: pause)) != nil else { return }
            pause = min(pause * 2, Self.longestPause)
        } while table.isStillActivating(need.id)
    }
}
