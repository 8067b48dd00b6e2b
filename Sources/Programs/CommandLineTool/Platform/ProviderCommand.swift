// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import GatewayService
import NIOCore

/// `martlet provider KIND`: a provider alone, as an OpenFaaS provider for any gateway (contract §21).
struct ProviderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "provider",
        abstract: "Run a provider alone, for a gateway elsewhere.",
        subcommands: [ProcessProviderCommand.self, DockerProviderCommand.self]
    )
}

struct ProcessProviderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "process",
        abstract: "Run functions as processes and offer OpenFaaS' provider interface.",
        discussion: """
            The interface is what OpenFaaS' gateway asks of faas-netes or faasd: /system/*, /function/* and /healthz.
            Point a gateway at it by functions_provider_url=http://HOST:PORT/.
            """
    )

    @OptionGroup var options: PlatformOptions

    func run() async throws { try await options.serveProvider(.process) }
}

struct DockerProviderCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "docker",
        abstract: "Run functions as containers and offer OpenFaaS' provider interface.",
        discussion: "As martlet provider process does, by the Docker engine that DOCKER_HOST names."
    )

    @OptionGroup var options: PlatformOptions

    func run() async throws { try await options.serveProvider(.docker) }
}

extension PlatformOptions {
    /// Serves as a provider alone, until the first signal.
    fileprivate func serveProvider(_ kind: ProviderSettings.Kind) async throws {
        try await runCommand {
            let settings = try settings(["provider": kind.rawValue])
            if showSettings { return printSettings(settings) }
            guard settings.listeners.managementPort == nil else {
                throw PlatformFault(
                    .badSettings,
                    "A provider's interface has one port.",
                    hint: "Leave management-port out here; it is for the gateway before the provider."
                )
            }
            try await PlatformLog.with(settings.logs) { log in
                let platform = try await Platform(settings, isWhole: false, log: log)
                try await platform.run { addresses in
                    let address = settings.listeners.url(of: .functions, port: addresses.api?.port ?? 0)
                    log.say("The \(kind.rawValue) provider is ready at \(address)/")
                    if let socket = settings.listeners.socket { log.say("  Socket    \(socket.path)") }
                    log.say(StartText.rights(kind))
                }
            }
        }
    }
}
