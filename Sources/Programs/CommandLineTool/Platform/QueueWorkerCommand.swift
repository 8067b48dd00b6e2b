// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import GatewayService
import InvocationWorker
import JetStreamQueue
import NIOCore
import RuntimeSettings
import ServiceLifecycle

/// `martlet queue-worker`: carries asynchronous calls out, and nothing else.
struct QueueWorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue-worker",
        abstract: "Carry out the asynchronous calls of a queue on NATS, through a gateway elsewhere.",
        discussion: """
            Several workers share the calls of each function. OpenFaaS' own variables are understood: gateway_url, \
            nats_host, nats_port, queue_name, max_inflight, ack_wait, max_retry_attempts, initial_retry_wait, \
            max_retry_wait, retry_http_codes, backoff, basic_auth, secret_mount_path.
            """
    )

    @OptionGroup var options: PlatformOptions

    @OptionGroup var remote: SettingFlags<RemoteFlags>

    /// What only a worker alone is set by.
    struct Settings: SettingsSection {
        static let name: String? = "queue"

        /// The gateway's address.
        let gatewayURL: String

        init(_ reader: inout SettingsReader) {
            gatewayURL = reader.server(
                Setting(
                    "gateway-url",
                    also: ["gateway_url"],
                    default: "http://127.0.0.1:8080/",
                    "Queue worker alone: the gateway that calls go to; unix:///PATH for a socket in the file system.",
                    flag: .value
                )
            )
        }
    }

    func run() async throws {
        try await runCommand {
            let settings = try options.settings(remote.values)
            if options.showSettings { return options.printSettings(settings) }
            guard let asynchrony = settings.asynchrony, let jetStream = settings.jetStream else {
                throw PlatformFault(
                    .badSettings,
                    "A queue worker needs a queue on NATS.",
                    hint:
                        "Name its server by --nats-url, as nats://127.0.0.1:4222; a queue in a data directory has its worker within."
                )
            }
            try await PlatformLog.with(settings.logs) { try await run(settings, asynchrony, jetStream, $0) }
        }
    }

    private func run(
        _ settings: PlatformSettings,
        _ asynchrony: AsynchronySettings,
        _ jetStream: JetStreamSettings,
        _ log: PlatformLog
    ) async throws {
        let program = ServingProgram(settings.limits, log: log)
        let front = try PlatformFront(settings, signals: program.signals, log: log)
        let login = settings.access.requiresCredentials ? try settings.credentials.login() : nil
        let url = settings.queueWorker.gatewayURL
        let remote = try RemoteSide(url, settings.remote, login: login, front: front, program)
        let queue = try PlatformQueue(settings, asynchrony, jetStream, isAlone: true, log.logger)
        // To a worker the gateway is what a provider is to a gateway: there the functions are.
        let worker = Gateway(
            front.gateway(
                settings,
                listeners: try front.listeners(settings, isWorkerAlone: true),
                directory: nil,
                credentials: nil,
                listensAtOnce: true
            ),
            provider: remote.provider,
            counts: nil,
            asynchrony: queue.asynchrony,
            scaling: Gateway.Scaling(isOn: false),
            stopping: program.stopping,
            group: program.group,
            logger: log.logger
        )
        let keeping: [any Service] = [QueueService(queue: queue, patience: .seconds(5))]
        let telling = BackgroundWork(after: worker.addresses) { addresses in
            if let problem = queue.problem { log.warn("Warning: no calls yet. \(problem.message)") }
            let name = queue.asynchrony.names.worker
            let who = "gateway \(remote.address)"
            let silence = "The queue worker \(name) is not ready: \(who) is silent."
            guard await worker.isKnown(telling: log, silence) else { return }
            log.say("The queue worker \(name) is ready, \(who)")
            if let port = addresses.metrics?.port {
                log.say("Metrics   \(settings.listeners.url(of: .metrics, port: port))")
            }
            ServiceNotification.ready()
        }
        try await program.run(keeping + worker.services + [telling])
    }
}
