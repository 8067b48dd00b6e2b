// SPDX-License-Identifier: Apache-2.0

import FaultModel
import GatewayService
import Glibc
import Logging
import ReplicaSupervision
import ServiceLifecycle
import SystemAPI

/// The embedded platform: provider and gateway in one process.
struct Platform: Sendable {
    let limitsAreEnforced: Bool
    private let program: ServingProgram
    private let provider: any PlatformProvider
    private let gateway: Gateway
    private let queue: PlatformQueue?
    private let directory: DataDirectory
    private let predecessor: Predecessor?

    /// Opens the data directory and restores what was deployed.
    ///
    /// A provider alone, which is not the whole, leaves asynchronous calls and scaling to the gateway before it. With
    /// `replaces` the Martlet that runs on the data directory lets go of it before.
    init(
        _ settings: PlatformSettings,
        isWhole: Bool = true,
        replaces: Bool = false,
        log: PlatformLog
    ) async throws(PlatformFault) {
        program = ServingProgram(settings.limits, log: log)
        // What is wrong with the settings is found before anybody is disturbed.
        let front = try PlatformFront(settings, signals: program.signals, log: log)
        let listeners = try front.listeners(settings, isProvider: !isWhole)
        if replaces { try settings.checkForReplacing(isWhole: isWhole) }
        predecessor =
            replaces
            ? try await Predecessor.relieve(dataDirectory: settings.dataDirectory, for: program) {
                inherited throws(PlatformFault) in try inherited.prepare(listeners)
            } : nil
        directory = try DataDirectory(path: settings.dataDirectory)
        let credentials: Credentials? =
            settings.access.requiresCredentials ? try settings.credentials.readOrMake() : nil
        provider = try await settings.openProvider(directory, predecessor, log.logger)
        limitsAreEnforced = provider.limitsAreEnforced
        queue = isWhole ? try PlatformQueue(settings, folder: directory.path, logger: log.logger) : nil
        gateway = Gateway(
            front.gateway(
                settings,
                listeners: listeners,
                directory: directory,
                credentials: credentials,
                isProvider: !isWhole,
                exportsUsage: true,
                inherited: predecessor?.listeners ?? ServiceSockets.take(),
                keepsSockets: ServiceNotification.isHeard
            ),
            provider: provider,
            counts: try log.counts(in: directory),
            asynchrony: queue?.asynchrony,
            scaling: settings.scaling.gateway(of: isWhole ? .whole : .part),
            stopping: program.stopping,
            group: program.group,
            logger: log.logger
        )
    }

    /// Why asynchronous calls cannot be accepted at the moment; nil when they can, or are switched off.
    var queueProblem: PlatformFault? { queue?.problem }

    /// Runs until the first SIGINT or SIGTERM, then lets calls end; a second one ends at once.
    ///
    /// `whenReady` is called once all listeners listen, and is cancelled at the end.
    func run(whenReady: @escaping @Sendable (Gateway.Addresses) async -> Void) async throws {
        let (isAlone, isHandedOver) = (Milestone<Void>(), Milestone<Void>())
        let telling: [any Service] = [
            BackgroundWork(after: gateway.addresses) { _ in await tellServiceManager(isAlone) },
            BackgroundWork(after: gateway.addresses, work: whenReady),
        ]
        let limit = program.limits.drainTimeout
        try await program.run(
            [successor(isAlone, isHandedOver)] + keeping + [predecessor(isAlone), ports(isHandedOver)]
                + gateway.services + telling,
            lastWords: "\nStopping: calls may end for \(limit.components.seconds) s. Ctrl-C again ends at once."
        )
    }

    private func tellServiceManager(_ isAlone: Milestone<Void>) async {
        if predecessor == nil { ServiceNotification.ready() } else { ServiceNotification.readyInPlaceOfAnother() }
        // Nobody is heard as long as another process is the service.
        guard await isAlone.reached() != nil else { return }
        await ServiceNotification.keepSockets(of: gateway, unless: program.stopping)
    }

    /// The program that comes after this one; the last to end.
    private func successor(_ isAlone: Milestone<Void>, _ isHandedOver: Milestone<Void>) -> HandOverService {
        HandOverService(
            directory: directory,
            generation: predecessor?.generation ?? .even,
            gateway: gateway,
            provider: provider,
            queue: queue,
            program: program,
            isAlone: isAlone,
            isHandedOver: isHandedOver
        )
    }

    /// The program that was before this one, whose end is awaited; it ends before the provider that cleans up behind it.
    private func predecessor(_ isAlone: Milestone<Void>) -> PredecessorService {
        PredecessorService(
            predecessor: predecessor,
            gateway: gateway,
            provider: provider,
            program: program,
            isAlone: isAlone
        )
    }

    /// Gives up the ports of functions that have their own, which a successor's need, as their last calls end; it ends
    /// when there are no calls any more, before the provider does.
    private func ports(_ isHandedOver: Milestone<Void>) -> BackgroundWork<Void> {
        let (gateway, provider) = (gateway, provider)
        return BackgroundWork(after: isHandedOver) { _ in
            await provider.releasePorts { await gateway.handOver.idle($0) }
        }
    }

    /// What everything else counts on, from the first to be opened to the last.
    private var keeping: [any Service] {
        let (provider, gateway, limit) = (provider, gateway, program.limits.drainTimeout)
        let supervision = OpenResource {
            // Where nobody could call, there are no calls to wait for.
            await provider.shutdown(within: gateway.addresses.value == nil ? .seconds(1) : limit)
        }
        var keeping: [any Service] = queue.map { [QueueService(queue: $0, patience: .seconds(3))] } ?? []
        keeping.append(supervision)
        return keeping
    }
}
