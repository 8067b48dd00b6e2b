// SPDX-License-Identifier: Apache-2.0

import AutoscalerService
import FunctionModel
import InvocationEngine
import ProviderContract
import SystemAPI
import Telemetry

/// What is found on a gateway's listeners: the functions and the REST API, the metrics, the page.
struct ControlPlane {
    /// Carries out calls.
    let engine: FrontDoor
    /// Answers about the program itself, also while calls end.
    let questions: FrontDoor
    private let setting: GatewaySetting
    private let work: GatewayWork
    private let requests = RequestCounts()
    private let site: PageSite?

    init(_ setting: GatewaySetting, _ work: GatewayWork) {
        self.setting = setting
        self.work = work
        site = Self.site(setting)
        var settings = setting.settings.engine
        settings.intake = setting.asynchrony.map { QueueIntake(queue: $0.queue, bodyLimit: $0.bodyLimit) }
        engine = FrontDoor(
            loops: work.loops,
            settings: settings,
            table: work.table,
            responder: NothingFound(),
            ledger: setting.counts
        )
        questions = FrontDoor(
            group: setting.group,
            settings: setting.settings.engine,
            table: .withoutFunctions(),
            responder: NothingFound()
        )
    }

    private static func site(_ setting: GatewaySetting) -> PageSite? {
        let api = setting.settings.listeners.first { $0.surfaces.contains(.functions) }
        guard let page = setting.settings.page, let api else { return nil }
        let addresses = setting.addresses
        return PageSite(page, apiPort: api.address.port ?? 0, isEncrypted: api.prepare != nil) { addresses.value }
    }

    // MARK: Doors

    /// The doors in the order in which they are opened.
    var doors: [Door] {
        setting.settings.listeners.map { listener in
            let offer = ListenerOffer(
                responder: responder(on: listener),
                hasFunctions: listener.surfaces.contains(.functions),
                prepare: listener.prepare
            )
            return Door(listener: listener, front: listener.isForQuestions ? questions : engine, offer: offer)
        }
    }

    private func responder(on listener: Listener) -> any LocalResponder {
        let settings = setting.settings
        if listener.surfaces.contains(.page) {
            return pageRoutes?.makeResponder(settings.authenticator, logger: setting.logger) ?? NothingFound()
        }
        if listener.surfaces == [.metrics] {
            let (metrics, readiness) = (metrics, setting.readiness(work.table))
            return MetricsResponder(readiness: { readiness.answer }, families: { await metrics.families() })
        }
        return HummingbirdResponder(
            routes.list(of: listener.surfaces),
            through: [requests, FaultMiddleware()],
            behind: AccessGate(settings.authenticator),
            logger: setting.logger
        )
    }

    private var pageRoutes: PageRoutes? {
        guard let site else { return nil }
        return PageRoutes(
            provider: setting.provider,
            version: setting.settings.version.release,
            invocationCount: invocationCount,
            queue: setting.asynchrony?.queue,
            site: site,
            contact: ProviderContact(setting.provider) { [table = work.table] in table.loss }
        )
    }

    // MARK: Routes

    private var routes: GatewayRoutes {
        let (settings, table, metrics) = (setting.settings, work.table, metrics)
        var describe: (@Sendable (FunctionID) async -> ScalingDescription?)?
        if let autoscaler = work.autoscaler { describe = { await autoscaler.description(of: $0) } }
        return GatewayRoutes(
            provider: setting.provider,
            defaultNamespace: settings.defaultNamespace,
            version: settings.version,
            calls: setting.asynchrony.map { GatewayRoutes.Calls(queue: $0.queue, bodyLimit: $0.bodyLimit) },
            describeScaling: describe,
            readiness: setting.readiness(table),
            metrics: { await metrics.families() },
            invocationCount: invocationCount,
            // A provider that is asked for its functions once a second has told of a new one by then.
            awaitCallable: { await table.awaitFunction($0, within: .seconds(2)) },
            loss: { table.loss },
            streams: setting.streams,
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

/// Answers for listeners that said nothing else; each says what it answers with.
private struct NothingFound: LocalResponder {
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        // The only failure is a client that has gone.
        try? await writer.writeHead(status: 404, headers: [("Content-Length", "0")])
    }
}
