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

    /// Deploys to a platform that answers on our port already; false when none does.
    func deployToRunning() async throws -> Bool {
        guard let stack, settings.port != 0 else { return false }
        let url = url(port: settings.port)
        var isRunning = false
        try await ClientOptions.withClient(url, login: login, verifies: settings.tlsFiles == nil) { client in
            guard let answer = try? await client.send("GET", "/healthz", timeout: .seconds(2)), answer.status == 200,
                answer.headers.contains(where: {
                    $0.name.lowercased() == "x-served-by" && $0.value.hasPrefix("martlet/")
                })
            else { return }
            isRunning = true
            print("A Martlet answers at \(url) already: its functions are brought up to date.")
            let deployment = deployment(client, stack) { print($0) }
            try await deployment.carryOut(stack.functions, builds: true, namespace: nil, waits: true)
        }
        return isRunning
    }

    /// Deploys to the platform that was just started.
    ///
    /// What fails is told and stops nothing else.
    func deploy(port: Int, _ log: PlatformLog) async {
        guard let stack else { return }
        for warning in stack.warnings { log.warn("Warning: \(warning)") }
        do {
            try await ClientOptions.withClient(url(port: port), login: login, verifies: settings.tlsFiles == nil) {
                client in
                let deployment = deployment(client, stack) { log.say($0) }
                try await deployment.carryOut(stack.functions, builds: true, namespace: nil, waits: true)
            }
        } catch {
            // Whoever stops the platform meanwhile knows why.
            guard !Task.isCancelled else { return }
            log.warn("Not everything was deployed:\n\((error as? PlatformFault)?.message ?? "\(error)")")
        }
    }

    private func deployment(
        _ client: SystemClient,
        _ stack: StackFile,
        report: @escaping (String) -> Void
    ) -> StackDeployment {
        StackDeployment(client: client, folder: stack.folder, report: report)
    }

    private func url(port: Int) -> String {
        let host = ["0.0.0.0", "::"].contains(settings.host) ? "127.0.0.1" : settings.host
        return "\(settings.tlsFiles == nil ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    private var login: SystemClient.Login? {
        guard settings.requiresCredentials else { return nil }
        // The platform has made the files by now, or one runs already whose files are elsewhere.
        return try? CredentialFiles(folder: settings.credentialsFolder).login()
    }
}
