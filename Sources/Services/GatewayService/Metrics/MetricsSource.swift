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
    let loops: EngineLoops
    let table: RoutingTable
    /// Asked for what functions use; nil where that is somebody else's to export.
    let provider: (any FunctionProvider)?
    let asynchrony: Gateway.Asynchrony?
    let worker: InvocationWorker?
    let autoscaler: Autoscaler?
    let requests: RequestCounts
    let settings: Gateway.Settings

    func families() async -> [MetricFamily] {
        let routes = table.routes
        var families = [GatewayMetrics.build(settings.version.release)]
        // The gateway before a provider counts the same calls: added up they would be twice as many.
        if !settings.isProvider {
            // Fails only while the event loops are being shut down.
            families += GatewayMetrics.families((try? await loops.metrics()) ?? [], routes: routes)
        }
        if let provider, provider.capabilities.reportsUsage {
            families += GatewayMetrics.usage(await usage(of: routes, provider))
        }
        if let autoscaler { families.append(GatewayMetrics.loads(await autoscaler.loads)) }
        if let asynchrony {
            let metrics = QueueMetrics(queue: asynchrony.names.queue, worker: asynchrony.names.worker)
            families += metrics.families(await asynchrony.queue.counts(), processed: worker?.processed ?? 0)
            if let (name, count) = asynchrony.reconnections {
                families.append(QueueMetrics.reconnections(name, count()))
            }
        }
        families += GatewayMetrics.requests(requests.answers, isProvider: settings.isProvider)
        return families + ProcessMetrics.families()
    }

    /// What functions with replicas use; one that is just being deleted is left out.
    private func usage(
        of routes: [FunctionRoute],
        _ provider: any FunctionProvider
    ) async -> [(id: FunctionID, usage: FunctionUsage)] {
        var readings: [(id: FunctionID, usage: FunctionUsage)] = []
        for route in routes where !route.replicas.isEmpty {
            guard let usage = try? await provider.function(route.id, includingUsage: true).usage else { continue }
            readings.append((route.id, usage))
        }
        return readings
    }
}
