// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GatewayService
import InvocationWorker
import Logging
import ProcessProvider
import QueueContract
import RuntimeSettings
import SQLiteQueue

/// The embedded queue, as the settings have it.
struct PlatformQueue: Sendable {
    private let queue: SQLiteQueue
    let asynchrony: Gateway.Asynchrony

    /// Why calls cannot be kept at the moment; nil when they can.
    var problem: PlatformFault? { queue.problem }

    /// Opens the queue of the data directory; nil where asynchronous calls are switched off.
    ///
    /// - Throws: `badSettings` for a file of a newer Martlet.
    init?(_ settings: PlatformSettings, folder: String, logger: Logger) throws(PlatformFault) {
        guard let wanted = settings.asynchrony else { return nil }
        queue = try SQLiteQueue(
            folder: folder,
            settings: QueueSettings(
                bodyLimit: wanted.bodyLimit,
                resultLimit: wanted.resultLimit,
                resultRetention: wanted.resultRetention,
                callRetention: wanted.callRetention,
                timeToLive: wanted.timeToLive
            ),
            logger: logger
        )
        asynchrony = Gateway.Asynchrony(
            queue: queue,
            worker: Self.worker(wanted, settings),
            bodyLimit: wanted.bodyLimit
        )
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

    /// Writes everything back and closes the file.
    func close() async { await queue.close() }

    private static func worker(_ wanted: AsynchronySettings, _ settings: PlatformSettings) -> WorkerSettings {
        let retry = RetryPolicy(
            attempts: wanted.attempts,
            firstWait: wanted.firstWait,
            longestWait: wanted.longestWait,
            codes: wanted.codes,
            backoff: RetryPolicy.Backoff(rawValue: wanted.backoff) ?? .full
        )
        var callbackRetry = retry
        callbackRetry.backoff = .equal
        var worker = WorkerSettings(
            retry: retry,
            callbackRetry: callbackRetry,
            concurrency: wanted.concurrency,
            answerLimit: wanted.resultLimit,
            callbackAnswerLimit: max(wanted.resultLimit, wanted.bodyLimit),
            defaultNamespace: settings.defaultNamespace,
            proxies: ProxyRules(environment: ProcessInfo.processInfo.environment),
            userAgent: "martlet/\(Release.number)"
        )
        worker.ownHosts.formUnion(ownHosts(settings))
        return worker
    }

    /// The names by which functions and clients of this machine call the gateway.
    private static func ownHosts(_ settings: PlatformSettings) -> Set<String> {
        let names = ["127.0.0.1", "localhost", settings.host.lowercased()]
        let services = ["gateway", "gateway.openfaas", "gateway.openfaas.svc.cluster.local"]
        var hosts = Set(services.flatMap { ["\($0):8080", "\($0):\(settings.port)"] })
        hosts.formUnion(names.map { "\($0):\(settings.port)" })
        if let url = settings.publicURL.flatMap(URLComponents.init(string:)), let host = url.host?.lowercased() {
            hosts.insert(url.port.map { "\(host):\($0)" } ?? host)
        }
        return hosts
    }
}
