// SPDX-License-Identifier: Apache-2.0

import GatewayService
import ReplicaSupervision
import ServiceLifecycle

/// Waits until the program before this one has ended, and cleans up behind it.
///
/// Whoever is told to stop meanwhile waits as well, within its limit: as long as this one has the data directory nobody
/// takes the other one's functions for leftovers.
struct PredecessorService: Service {
    let predecessor: Predecessor?
    let gateway: Gateway
    let provider: any PlatformProvider
    let program: ServingProgram
    /// Reached when nobody is left before this one.
    let isAlone: Milestone<Void>

    func run() async {
        guard await gateway.addresses.reached() != nil else { return }
        if await hasEnded() { isAlone.reach(()) }
        try? await gracefulShutdown()
    }

    private func hasEnded() async -> Bool {
        guard let predecessor else { return true }
        let isSeen = await within(program.stopping) { await predecessor.follow(gateway, program.log.logger) }
        if isSeen { await provider.predecessorEnded() }
        return isSeen
    }

    /// What `work` comes to; false where it has not ended when the time of an end is over.
    private func within(_ stopping: Stopping, _ work: @escaping @Sendable () async -> Bool) async -> Bool {
        await withTaskGroup(of: Bool.self) { tasks in
            tasks.addTask { await work() }
            tasks.addTask {
                try? await gracefulShutdown()
                try? await Task.sleep(for: stopping.left)
                return false
            }
            let isDone = await tasks.next() ?? false
            tasks.cancelAll()
            return isDone
        }
    }
}
