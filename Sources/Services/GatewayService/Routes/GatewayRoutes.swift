// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import InvocationEngine
import ProviderContract
import QueueContract
import SystemAPI
import Telemetry

/// What a gateway answers beside calls of functions, on listeners of functions and of management.
struct GatewayRoutes: Sendable {
    /// Where asynchronous calls are kept, and most bytes of the body of one.
    struct Calls: Sendable {
        let queue: any CallQueue
        let bodyLimit: Int
    }

    let provider: any FunctionProvider
    let defaultNamespace: String
    let version: ProviderInfo.Version
    /// Nil where asynchronous calls are not accepted.
    let calls: Calls?
    /// Nil where no autoscaler runs.
    let describeScaling: (@Sendable (FunctionID) async -> ScalingDescription?)?
    let readiness: Readiness
    let metrics: @Sendable () async -> [MetricFamily]
    let invocationCount: @Sendable (FunctionID) -> Double
    let awaitCallable: @Sendable (FunctionID) async -> Void
    /// Tells of a provider that is not heard.
    let loss: @Sendable () -> RoutingTable.LostContact?
    /// Ended when whoever follows is to ask a successor.
    let streams: EndlessAnswers
    /// Nil where there is no page.
    let site: PageSite?

    /// Those of a listener; health and readiness are told on each.
    func list(of surfaces: Set<Listener.Surface>) -> RouteList {
        let system = system
        var routes = system.emptyList
        system.addHealth(to: &routes)
        ReadinessRoutes(readiness: readiness).addRoutes(to: &routes)
        if surfaces.contains(.functions), calls == nil { AsyncRoutes().addCalling(to: &routes) }
        if surfaces.contains(.management) { addManagement(to: &routes) }
        if surfaces.contains(.metrics) { MetricsRoutes(families: metrics).addRoutes(to: &routes) }
        return routes
    }

    private func addManagement(to routes: inout RouteList) {
        system.addManagement(to: &routes)
        if let calls {
            CallRoutes(queue: calls.queue, bodyLimit: calls.bodyLimit, defaultNamespace: defaultNamespace)
                .addRoutes(to: &routes)
        } else {
            AsyncRoutes().addCancelling(to: &routes)
        }
        ScalingRoutes(provider: provider, defaultNamespace: defaultNamespace, describe: describeScaling)
            .addRoutes(to: &routes)
        PageRedirects(site: site).addRoutes(to: &routes)
    }

    private var system: SystemRoutes {
        SystemRoutes(
            provider: provider,
            defaultNamespace: defaultNamespace,
            version: version,
            invocationCount: invocationCount,
            awaitCallable: awaitCallable,
            loss: loss,
            end: streams
        )
    }
}
