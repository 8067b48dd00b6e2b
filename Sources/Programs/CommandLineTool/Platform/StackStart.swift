// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionBuilder
import NIOCore
import RuntimeSettings
import SystemClient

/// Brings up the functions of a stack file that `martlet up` was given.
struct StackStart {
    let settings: PlatformSettings
    let stack: StackFile?

    /// Deploys to the Martlet that runs on our data directory and has our port already; false when none does.
    ///
    /// Whatever else listens there is sent nothing: its port cannot be taken, and the start says so.
    func deployToRunning() async throws -> Bool {
        let port = settings.managementPort ?? settings.port
        guard let stack, port != 0, PlatformOwner(dataDirectory: settings.dataDirectory).holds(port: port)
        else { return false }
        let url = url(settings.host, port)
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
            try await withClient(url(address.ipAddress ?? settings.host, address.port ?? settings.port)) { client in
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
        try await ClientOptions.withClient(url, login: login, ownCertificate: settings.tlsFiles?.certificate, work)
    }

    private func deployment(
        _ client: SystemClient,
        _ stack: StackFile,
        report: @escaping (String) -> Void
    ) -> StackDeployment {
        StackDeployment(client: client, folder: stack.folder, report: report)
    }

    private func url(_ host: String, _ port: Int) -> String {
        let reachable = ["0.0.0.0": "127.0.0.1", "::": "::1"][host] ?? host
        let bracketed = reachable.contains(":") ? "[\(reachable)]" : reachable
        return "\(settings.tlsFiles == nil ? "http" : "https")://\(bracketed):\(port)"
    }

    private var login: SystemClient.Login? {
        guard settings.requiresCredentials else { return nil }
        // The platform has made the files by now.
        return try? CredentialFiles(folder: settings.credentialsFolder).login()
    }
}
