// SPDX-License-Identifier: Apache-2.0

import InvocationEngine
import InvocationWorker
import Logging
import ProviderContract
import ServiceLifecycle

/// Keeps the routing table, and whoever goes by it, true to what the provider tells.
struct RouteFollowing: Service {
    let provider: any FunctionProvider
    let table: RoutingTable
    let counts: InvocationCounts?
    let worker: InvocationWorker?
    /// Decides when functions that are not known do not exist.
    let evidence: DeletionEvidence
    /// Reached when the table knows what there is.
    let known: Milestone<Void>
    let logger: Logger

    func run() async {
        await withDiscardingTaskGroup { group in
            for await update in provider.watch().cancelOnGracefulShutdown() {
                apply(update)
                guard let span = evidence.note(update) else { continue }
                group.addTask { if await evidence.isHeld(span) { forgetUnknown() } }
            }
            group.cancelAll()
        }
        // A provider that tells nothing more leaves its routes as they are.
        try? await gracefulShutdown()
    }

    private func apply(_ update: RouteUpdate) {
        table.apply(update)
        switch update {
        case .snapshot(let routes):
            for route in routes { worker?.functionChanged(route.id) }
            if evidence.isSure { forgetUnknown() }
            known.reach(())
        case .changed(let route):
            worker?.functionChanged(route.id)
        case .removed(let id):
            counts?.remove(id)
            worker?.functionRemoved(id)
        case .lost(let fault):
            logger.warning("the provider is not heard; routes stay as they were", metadata: ["why": "\(fault)"])
        case .heardAgain:
            logger.notice("the provider is heard again")
        }
    }

    /// Functions that were deleted while nobody looked.
    private func forgetUnknown() {
        counts?.keepOnly(Set(table.functions))
        worker?.allFunctionsAreKnown()
    }
}
