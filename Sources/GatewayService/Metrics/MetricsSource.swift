// SPDX-License-Identifier: Apache-2.0

import AutoscalerService
import FunctionModel
import InvocationEngine
import InvocationWorker
import ProviderContract
import QueueContract
import SystemAPI
import Telemetry

/// Gathers everything that the gateway exports, at the moment of asking.
struct MetricsSource: Sendable {
    let door: FrontDoor
    let table: RoutingTable
    let queue: (any CallQueue)?
    let worker: InvocationWorker?
    let autoscaler: Autoscaler?
    let requests: RequestCounts
    let settings: Gateway.Settings

    func families() async -> [MetricFamily] {
        // Fails only while the event loops are being shut down.
        let functions = (try? await door.metrics()) ?? []
        var families = GatewayMetrics.families(functions, routes: table.routes, version: settings.version.release)
        if let autoscaler { families.append(GatewayMetrics.loads(await autoscaler.loads)) }
        if let queue, let worker {
            families += QueueMetrics.families(await queue.counts(), processed: worker.processed)
        }
        families += GatewayMetrics.requests(requests.answers, isProvider: settings.isProvider)
        return families + ProcessMetrics.families()
    }
}
