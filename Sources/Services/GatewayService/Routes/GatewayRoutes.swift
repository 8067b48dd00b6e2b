// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import InvocationEngine
import Logging
import ProviderContract
import QueueContract
import SystemAPI
import Telemetry

/// What a gateway answers beside calls of functions, on the port of the API.
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
    /// Nil where metrics have a port of their own.
    let metrics: (@Sendable () async -> [MetricFamily])?
    let readiness: Readiness
    let invocationCount: @Sendable (FunctionID) -> Double
    let awaitCallable: @Sendable (FunctionID) async -> Void
    /// Tells of a provider that is not heard.
    let loss: @Sendable () -> RoutingTable.LostContact?
    /// Nil where there is no page.
    let site: PageSite?

    /// All of them.
    var list: RouteList {
        var routes = RouteList()
        SystemRoutes(
            provider: provider,
            defaultNamespace: defaultNamespace,
            version: version,
            invocationCount: invocationCount,
            awaitCallable: awaitCallable,
            loss: loss
        ).addRoutes(to: &routes)
        if let calls {
            CallRoutes(queue: calls.queue, bodyLimit: calls.bodyLimit, defaultNamespace: defaultNamespace)
                .addRoutes(to: &routes)
        } else {
            AsyncRoutes().addRoutes(to: &routes)
        }
        ScalingRoutes(provider: provider, defaultNamespace: defaultNamespace, describe: describeScaling)
            .addRoutes(to: &routes)
        ReadinessRoutes(readiness: readiness).addRoutes(to: &routes)
        if let metrics { MetricsRoutes(families: metrics).addRoutes(to: &routes) }
        PageRedirects(site: site).addRoutes(to: &routes)
        return routes
    }

    /// What answers on the API's listener.
    func makeResponder(
        _ authenticator: (any Authenticator)?,
        counting requests: RequestCounts,
        logger: Logger
    ) -> HummingbirdResponder {
        HummingbirdResponder(
            list,
            through: [requests, FaultMiddleware()],
            behind: AccessGate(authenticator),
            logger: logger
        )
    }
}
