// SPDX-License-Identifier: Apache-2.0

import FaultModel
import InvocationEngine
public import Logging
public import NIOCore
public import ProviderContract
public import ServiceLifecycle
import SystemAPI

/// The gateway: the front door, the REST API behind it, and what keeps its routing table true.
///
/// Put together when it is made; what lives on is a list of services.
public struct Gateway: Sendable {
    /// What runs, in the order in which each needs those before it.
    public let services: [any Service]
    /// Reached when the routing table knows which functions there are.
    public let known: Milestone<Void>
    /// Reached when all listeners listen.
    public let addresses: Milestone<Addresses>
    /// Whether calls can be served at the moment.
    public let readiness: Readiness
    /// What goes over to a program that takes this one's place.
    public let handOver: HandOver

    /// Builds a gateway in front of a provider.
    ///
    /// `counts` keeps invocation counts over restarts; without it they begin at 0. Without `asynchrony` calls are not
    /// accepted for later. `stopping` is begun by whoever ends the program. `clock` measures for how long contact with the
    /// provider was held.
    public init(
        _ settings: Settings,
        provider: any FunctionProvider,
        counts: InvocationCounts?,
        asynchrony: Asynchrony?,
        scaling: Scaling,
        stopping: Stopping,
        group: any EventLoopGroup,
        logger: Logger,
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        let setting = GatewaySetting(settings, provider, counts, asynchrony, stopping, group, logger, clock)
        let work = GatewayWork(setting, scaling)
        let doors = Doors(ControlPlane(setting, work), SocketFiles(areKept: settings.keepsSockets))
        services = work.services + [ListenerService(doors, setting)]
        handOver = HandOver(doors, work.worker, setting.streams)
        known = setting.known
        addresses = setting.addresses
        readiness = setting.readiness(work.table)
    }
}

/// What a gateway stands in, as all its parts see it.
struct GatewaySetting: Sendable {
    let settings: Gateway.Settings
    let provider: any FunctionProvider
    let counts: InvocationCounts?
    let asynchrony: Gateway.Asynchrony?
    let stopping: Stopping
    let group: any EventLoopGroup
    let logger: Logger
    let clock: any Clock<Duration>
    let evidence: DeletionEvidence
    let streams = EndlessAnswers()
    let known = Milestone<Void>()
    let addresses = Milestone<Gateway.Addresses>()

    init(
        _ settings: Gateway.Settings,
        _ provider: any FunctionProvider,
        _ counts: InvocationCounts?,
        _ asynchrony: Gateway.Asynchrony?,
        _ stopping: Stopping,
        _ group: any EventLoopGroup,
        _ logger: Logger,
        _ clock: any Clock<Duration>
    ) {
        self.settings = settings
        self.provider = provider
        self.counts = counts
        self.asynchrony = asynchrony
        self.stopping = stopping
        self.group = group
        self.logger = logger
        self.clock = clock
        evidence = DeletionEvidence(clock: clock)
    }

    func readiness(_ table: RoutingTable) -> Readiness {
        let (stopping, known, addresses, problem) = (stopping, known, addresses, asynchrony?.problem)
        let conditions: [Readiness.Condition] = [
            { stopping.hasBegun ? "Martlet is stopping." : nil },
            { known.value == nil ? "The provider has not told yet which functions there are." : nil },
            { addresses.value == nil ? "Martlet does not listen yet." : nil },
            { problem?().map { "Asynchronous calls cannot be kept. \($0.message)" } },
        ]
        // Calls go on by the routes that are known, so no load balancer is to turn away from here.
        return Readiness(conditions, limits: [{ table.loss.map { "\($0.fault.message) \($0.words)" } }])
    }
}
