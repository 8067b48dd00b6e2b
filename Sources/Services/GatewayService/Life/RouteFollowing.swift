// SPDX-License-Identifier: Apache-2.0

import InvocationEngine
import InvocationWorker
import ProviderContract
import ServiceLifecycle

/// Keeps the routing table, and whoever goes by it, true to what the provider tells.
struct RouteFollowing: Service {
    let provider: any FunctionProvider
    let table: RoutingTable
    let counts: InvocationCounts?
    let worker: InvocationWorker?
    /// Reached when the table knows what there is.
    let known: Milestone<Void>

    func run() async {
        for await event in provider.watch().cancelOnGracefulShutdown() { apply(event) }
        // A provider that tells nothing more leaves its routes as they are.
        try? await gracefulShutdown()
    }

    private func apply(_ event: RoutingEvent) {
        table.apply(event)
        switch event {
        case .snapshot(let routes):
            counts?.keepOnly(Set(routes.map(\.id)))
            for route in routes { worker?.functionChanged(route.id) }
            worker?.allFunctionsAreKnown()
            known.reach(())
        case .changed(let route):
            worker?.functionChanged(route.id)
        case .removed(let id):
            counts?.remove(id)
            worker?.functionChanged(id)
        }
    }
}
