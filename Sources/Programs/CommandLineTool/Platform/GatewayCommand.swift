// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import GatewayService
import NIOCore
import ProcessProvider
import RuntimeSettings
import ServiceLifecycle
import SystemAPI

/// `martlet gateway`: the gateway alone, in front of any OpenFaaS provider.
struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Run the gateway alone, in front of a provider elsewhere.",
        discussion: """
            OpenFaaS' own variables are understood: functions_provider_url, basic_auth, secret_mount_path, \
            read_timeout, write_timeout, upstream_timeout, function_namespace.
            """
    )

    @OptionGroup var options: PlatformOptions

    @OptionGroup var remote: SettingFlags<RemoteFlags>

    @OptionGroup var own: SettingFlags<GatewayFlags>

    /// What only a gateway alone is set by.
    struct Settings: SettingsSection {
        static let name: String? = "provider"

        /// The provider's address.
        let providerURL: String?

        init(_ reader: inout SettingsReader) {
            providerURL = reader.optionalServer(
                Setting(
                    "functions-provider-url",
                    also: ["functions_provider_url"],
                    "Gateway alone: the provider's address, as https://provider.example:8081/ or unix:///run/provider.sock; a user and a password in it go before those of files.",
                    flag: .value(named: "provider-url")
                )
            )
        }
    }

    func run() async throws {
        try await runCommand {
            let settings = try options.settings(remote.values.merging(own.values) { _, own in own })
            if options.showSettings { return options.printSettings(settings) }
            guard let url = settings.gateway.providerURL else {
                throw PlatformFault(
                    .badSettings,
                    "The gateway needs a provider.",
                    hint: "Name it by --provider-url or functions_provider_url, as http://127.0.0.1:8081/."
                )
            }
            try await PlatformLog.with(settings.logs) { try await run(settings, providerURL: url, $0) }
        }
    }

    private func run(_ settings: PlatformSettings, providerURL: String, _ log: PlatformLog) async throws {
        let program = ServingProgram(settings.limits, log: log)
        let front = try PlatformFront(settings, signals: program.signals, log: log)
        let credentials = settings.access.requiresCredentials ? try settings.credentials.readOrMake() : nil
        let login = settings.access.requiresCredentials ? try settings.credentials.login() : nil
        let queue = try PlatformQueue.ofGateway(settings, logger: log.logger)
        let remote = try RemoteSide(providerURL, settings.remote, login: login, front: front, program)
        let gateway = Gateway(
            front.gateway(
                settings,
                listeners: try front.listeners(settings),
                directory: queue?.directory,
                credentials: credentials,
                listensAtOnce: true,
                inherited: ServiceSockets.take(),
                keepsSockets: ServiceNotification.isHeard
            ),
            provider: remote.provider,
            counts: try queue.map { try log.counts(in: $0.directory) },
            asynchrony: queue?.queue.asynchrony,
            scaling: settings.scaling.gateway(of: .part),
            stopping: program.stopping,
            group: program.group,
            logger: log.logger
        )
        let keeping: [any Service] = queue.map { [QueueService(queue: $0.queue, patience: .seconds(3))] } ?? []
        let telling = BackgroundWork(after: gateway.addresses) { addresses in
            if let problem = queue?.queue.problem {
                log.warn("Warning: asynchronous calls get 503. \(problem.message)")
            }
            let listeners = settings.listeners
            let url = listeners.url(of: .functions, port: addresses.api?.port ?? 0)
            let who = "provider \(remote.address)"
            let silence = "The gateway listens at \(url), but is not ready: \(who) is silent."
            guard await gateway.isKnown(telling: log, silence) else { return }
            let page = addresses.page?.port.map { "\n  Page      \(listeners.url(of: .page, port: $0))" } ?? ""
            let manage = listeners.url(of: .management, port: addresses.management?.port ?? 0)
            let management = manage == url ? "" : "\n  Manage    \(manage)"
            let socket = listeners.socket.map { "\n  Socket    \($0.path)" } ?? ""
            log.say("The gateway is ready at \(url), \(who)\(management)\(socket)\(page)")
            ServiceNotification.ready()
            await ServiceNotification.keepSockets(of: gateway, unless: program.stopping)
        }
        try await program.run(keeping + gateway.services + [telling])
    }
}

extension Gateway {
    /// Waits until it is known which functions there are; tells who waits, where that takes a while.
    ///
    /// False where the program ends before.
    func isKnown(telling log: PlatformLog, _ sentence: String) async -> Bool {
        if await known.reached(within: .seconds(1)) != nil { return true }
        guard !Task.isCancelled else { return false }
        log.warn(sentence)
        return await known.reached() != nil
    }
}
