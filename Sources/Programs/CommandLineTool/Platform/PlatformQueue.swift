// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GatewayService
import InvocationWorker
import JetStreamQueue
import Logging
import ProcessControl
import QueueContract
import ReplicaSupervision
import SQLiteQueue
import Synchronization

/// The queue, as the settings have it: in the data directory, or on NATS JetStream.
struct PlatformQueue: Sendable {
    private let queue: any CallQueue
    private let currentProblem: @Sendable () -> PlatformFault?
    let asynchrony: Gateway.Asynchrony
    private var closing = Closing()

    /// Why calls cannot be kept at the moment; nil when they can.
    var problem: PlatformFault? { currentProblem() }

    /// Opens the queue, that of a folder where no other is named; nil where asynchronous calls are switched off.
    ///
    /// - Throws: `badSettings` for a file of a newer Martlet, or where NATS cannot be used as the settings have it.
    init?(_ settings: PlatformSettings, folder: String, logger: Logger) throws(PlatformFault) {
        guard let wanted = settings.asynchrony else { return nil }
        if let jetStream = settings.jetStream {
            self = try PlatformQueue(settings, wanted, jetStream, isAlone: false, folder: folder, logger)
            return
        }
        let embedded = try SQLiteQueue(folder: folder, settings: wanted.queue, logger: logger)
        embedded.watchForCrashes()
        queue = embedded
        currentProblem = { embedded.problem }
        asynchrony = Gateway.Asynchrony(
            queue: queue,
            worker: try Self.worker(wanted, settings),
            bodyLimit: wanted.queue.bodyLimit,
            problem: currentProblem
        )
    }

    /// Opens the queue of a NATS server, for a gateway or for a worker alone.
    ///
    /// - Throws: `badSettings` where NATS cannot be used as the settings have it.
    init(
        _ settings: PlatformSettings,
        _ wanted: AsynchronySettings,
        _ jetStream: JetStreamSettings,
        isAlone: Bool,
        folder: String? = nil,
        _ logger: Logger
    ) throws(PlatformFault) {
        let name = jetStream.worker ?? MachineName.own ?? "martlet"
        var shape = Self.shape(jetStream, wanted, worker: name)
        // Only in a folder that this process alone has; a worker without one leaves no note.
        shape.deathNote = folder.map { "\($0)/calls.crash" }
        let shared = try JetStreamQueue(shape, logger: logger)
        if folder != nil { shared.watchForCrashes() }
        queue = shared
        currentProblem = { shared.problem }
        asynchrony = Gateway.Asynchrony(
            queue: queue,
            worker: try Self.worker(wanted, settings),
            isCarriedOutHere: wanted.isCarriedOutHere,
            bodyLimit: wanted.queue.bodyLimit,
            names: (jetStream.queue, name),
            reconnections: (
                isAlone ? "queue_worker_nats_reconnect_total" : "gateway_nats_reconnect_total",
                {
                    shared.reconnections
                }
            ),
            problem: currentProblem
        )
    }

    private static func shape(
        _ jetStream: JetStreamSettings,
        _ wanted: AsynchronySettings,
        worker name: String
    ) -> JetStreamQueue.Settings {
        JetStreamQueue.Settings(
            connection: jetStream.connection("martlet \(name)"),
            name: jetStream.queue,
            replicas: jetStream.replicas,
            worker: name,
            lease: wanted.lease,
            queue: wanted.queue
        )
    }

    /// Finds out what would keep the queue of a folder from being opened, beside whoever uses it.
    ///
    /// Blocks. - Throws: what `init` throws.
    static func check(_ settings: PlatformSettings, folder: String) throws(PlatformFault) {
        guard let wanted = settings.asynchrony else { return }
        _ = try worker(wanted, settings)
        guard let jetStream = settings.jetStream else { return try SQLiteQueue.check(folder: folder) }
        try JetStreamQueue.check(shape(jetStream, wanted, worker: "check"))
    }

    /// Waits a while for a queue elsewhere; what is wrong is told by `problem`.
    func settle(within limit: Duration) async {
        let deadline = ContinuousClock.now + limit
        while problem != nil, ContinuousClock.now < deadline {
            guard (try? await Task.sleep(for: .milliseconds(20))) != nil else { return }
        }
    }

    /// The queue of a gateway alone, with the folder that it lives in, which is taken possession of.
    ///
    /// A folder of its own: a provider on the same machine may own the data directory.
    static func ofGateway(
        _ settings: PlatformSettings,
        logger: Logger
    ) throws(PlatformFault) -> (queue: PlatformQueue, directory: DataDirectory)? {
        guard settings.asynchrony != nil else { return nil }
        let directory = try DataDirectory(path: "\(settings.dataDirectory)/gateway")
        return try PlatformQueue(settings, folder: directory.path, logger: logger).map { ($0, directory) }
    }

    /// Gives back or writes down what it holds, and closes; once, however many want it, who all wait until that is done.
    func close() async { await closing.close { await queue.close() } }

    private static func worker(
        _ wanted: AsynchronySettings,
        _ settings: PlatformSettings
    ) throws(PlatformFault) -> WorkerSettings {
        WorkerSettings(
            wanted,
            defaultNamespace: settings.provider.defaultNamespace,
            ownHosts: settings.listeners.ownHosts,
            proxies: try ProxyRules(environment: ProcessInfo.processInfo.environment),
            userAgent: "martlet/\(Release.number)"
        )
    }
}

extension ListenerSettings {
    /// The names by which functions and clients of this machine call the gateway.
    fileprivate var ownHosts: Set<String> {
        let host = host.lowercased()
        let names = ["127.0.0.1", "localhost", host.contains(":") ? "[\(host)]" : host]
        let services = ["gateway", "gateway.openfaas", "gateway.openfaas.svc.cluster.local"]
        var hosts = Set(services.map { "\($0):8080" })
        // Functions are called on both ports, where there are two.
        for port in [port, managementPort].compactMap(\.self) {
            hosts.formUnion((services + names).map { "\($0):\(port)" })
        }
        if let url = publicURL.flatMap({ ServerURL($0) }) { hosts.insert(url.authority) }
        return hosts
    }
}

/// Something that is closed once.
final class Closing: Sendable {
    private let hasBegun = Atomic<Bool>(false)
    private let hasEnded = Outcome<Void>()

    /// Closes it, or waits until whoever does already is done.
    func close(by body: () async -> Void) async {
        if hasBegun.exchange(true, ordering: .sequentiallyConsistent) { return await hasEnded.value() }
        await body()
        hasEnded.resolve(())
    }
}
