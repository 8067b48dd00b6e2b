// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionBuilder
import GatewayService
import NIOCore
import RuntimeSettings
import SystemClient

/// Brings up the functions of a stack file that `martlet up` was given.
struct StackStart {
    /// What is deployed once the platform is ready.
    struct Settings: SettingsSection {
        static let name: String? = "provider"

        /// The stack file; nil for none.
        let file: String?

        init(_ reader: inout SettingsReader) {
            file = reader.optionalText(
                Setting(
                    "file",
                    "Stack file that martlet up builds and deploys once it is ready.",
                    flag: .value(named: "f", "file", "yaml")
                )
            )
        }
    }

    let settings: PlatformSettings
    let stack: StackFile?

    /// Deploys to the Martlet that runs on our data directory and has our port already; false when none does.
    ///
    /// Whatever else listens there is sent nothing: its port cannot be taken, and the start says so.
    func deployToRunning() async throws -> Bool {
        let port = settings.listeners.managementPort ?? settings.listeners.port
        guard let stack, port != 0, PlatformOwner(dataDirectory: settings.dataDirectory).holds(port: port)
        else { return false }
        let url = settings.listeners.url(of: .management, port: port)
        print("A Martlet answers at \(url) already: its functions are brought up to date.")
        try await withClient(url) { client in
            let deployment = deployment(client, stack) { print($0) }
            try await deployment.carryOut(stack.functions, builds: true, namespace: nil, waits: true)
        }
        return true
    }

    /// Deploys to the platform that was just started and listens on an address.
    ///
    /// What fails is told and stops nothing else.
    func deploy(to address: SocketAddress, _ log: PlatformLog) async {
        guard let stack else { return }
        for warning in stack.warnings { log.warn("Warning: \(warning)") }
        do {
            // By the address itself: under a name such as localhost somebody else may listen, too.
            let (host, port) = (address.ipAddress ?? settings.listeners.host, address.port ?? settings.listeners.port)
            try await withClient(settings.listeners.url(of: .management, port: port, host: host)) { client in
                let deployment = deployment(client, stack) { log.say($0) }
                try await deployment.carryOut(stack.functions, builds: true, namespace: nil, waits: true)
            }
        } catch {
            // Whoever stops the platform meanwhile knows why.
            guard !Task.isCancelled else { return }
            log.warn("Not everything was deployed:\n\((error as? PlatformFault)?.message ?? "\(error)")")
        }
    }

    private func withClient(_ url: String, _ work: (SystemClient) async throws -> Void) async throws {
        let certificate = settings.listeners.tlsFiles?.certificate
        try await ClientOptions.withClient(url, login: login, ownCertificate: certificate, work)
    }

    private func deployment(
        _ client: SystemClient,
        _ stack: StackFile,
        report: @escaping (String) -> Void
    ) -> StackDeployment {
        StackDeployment(client: client, folder: stack.folder, report: report)
    }

    private var login: SystemClient.Login? {
        guard settings.access.requiresCredentials else { return nil }
        // The platform has made the files by now.
        return try? settings.credentials.login()
    }
}
