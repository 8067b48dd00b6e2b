// SPDX-License-Identifier: Apache-2.0

import AutoscalerService
import FunctionModel
import InvocationEngine
import ProviderContract
import SystemAPI
import Telemetry

/// The REST API, the metrics and the page, each behind a door of its own.
struct ControlPlane {
    private let setting: GatewaySetting
    private let work: GatewayWork
    private let requests = RequestCounts()
    private let site: PageSite?

    init(_ setting: GatewaySetting, _ work: GatewayWork) {
        self.setting = setting
        self.work = work
        let addresses = setting.addresses
        site = setting.settings.page.map {
            PageSite($0, apiPort: setting.settings.port, isEncrypted: setting.settings.prepareConnection != nil) {
                addresses.value
            }
        }
    }

    /// The doors in the order in which they are opened.
    var doors: [Door] { [apiDoor, pageDoor, metricsDoor].compactMap(\.self) }

    // MARK: Doors

    /// What carries out calls, and hands everything else to the API.
    private var apiDoor: Door {
        let settings = setting.settings
        var engine = settings.engine
        engine.intake = setting.asynchrony.map { QueueIntake(queue: $0.queue, bodyLimit: $0.bodyLimit) }
        let front = FrontDoor(
            loops: work.loops,
            settings: engine,
            table: work.table,
            responder: routes.makeResponder(settings.authenticator, counting: requests, logger: setting.logger),
            ledger: setting.counts
        )
        return Door(
            surface: .api,
            front: front,
            host: settings.host,
            port: settings.isWorkerAlone ? nil : settings.port,
            flag: "--port",
            prepare: settings.prepareConnection
        )
    }

    private var metricsDoor: Door? {
        let settings = setting.settings
        guard let port = settings.metricsPort else { return nil }
        let (metrics, readiness) = (metrics, setting.readiness)
        let responder = MetricsResponder(readiness: { readiness.answer }, families: { await metrics.families() })
        let front = door(for: responder)
        return Door(surface: .metrics, front: front, host: settings.host, port: port, flag: "--metrics-port")
    }

    private var pageDoor: Door? {
        guard let site, let page = setting.settings.page, !setting.settings.isWorkerAlone else { return nil }
        let routes = PageRoutes(
            provider: setting.provider,
            version: setting.settings.version.release,
            invocationCount: invocationCount,
            queue: setting.asynchrony?.queue,
            site: site
        )
        return Door(
            surface: .page,
            front: door(for: routes.makeResponder(setting.settings.authenticator, logger: setting.logger)),
            host: page.host,
            port: page.port,
            flag: "--ui-port",
            prepare: setting.settings.prepareConnection
        )
    }

    /// A door behind which there are no functions.
    private func door(for responder: any LocalResponder) -> FrontDoor {
        FrontDoor(
            group: setting.group,
            settings: setting.settings.engine,
            table: .withoutFunctions(),
            responder: responder
        )
    }

    // MARK: Routes

    private var routes: GatewayRoutes {
        let (settings, table, metrics) = (setting.settings, work.table, metrics)
        var describe: (@Sendable (FunctionID) async -> ScalingDescription?)?
        if let autoscaler = work.autoscaler { describe = { await autoscaler.description(of: $0) } }
        var families: (@Sendable () async -> [MetricFamily])?
        if settings.isProvider { families = { await metrics.families() } }
        return GatewayRoutes(
            provider: setting.provider,
            defaultNamespace: settings.defaultNamespace,
            version: settings.version,
            calls: setting.asynchrony.map { GatewayRoutes.Calls(queue: $0.queue, bodyLimit: $0.bodyLimit) },
            describeScaling: describe,
            metrics: families,
            readiness: setting.readiness,
            invocationCount: invocationCount,
            // A provider that is asked for its functions once a second has told of a new one by then.
            awaitCallable: { await table.awaitFunction($0, within: .seconds(2)) },
            loss: { table.loss },
            site: site
        )
    }

    private var metrics: MetricsSource {
        MetricsSource(
            loops: work.loops,
            table: work.table,
            provider: setting.settings.exportsUsage ? setting.provider : nil,
            asynchrony: setting.asynchrony,
            worker: work.worker,
            autoscaler: work.autoscaler,
            requests: requests,
            settings: setting.settings
        )
    }

    private var invocationCount: @Sendable (FunctionID) -> Double {
        let (counts, sharedCounts) = (setting.counts, work.sharedCounts)
        return { max(counts?.count(of: $0) ?? 0, sharedCounts?.count(of: $0) ?? 0) }
    }
}
