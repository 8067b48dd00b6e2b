// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import SystemClient

/// A secret's new value, and the functions that hold the secret.
struct SecretHolders {
    let client: SystemClient
    let secret: String
    let namespace: String?

    /// Replaces the value, tells who holds it and who sees the new one, and restarts the holders where asked.
    func update(_ value: Data, restarts: Bool) async throws {
        let reach = try await client.updateSecret(secret, in: namespace, value: value)
        print("\(secret): stored")
        let holders = try await client.functions(in: namespace).filter { $0.secrets?.contains(secret) == true }
        print("\(secret): \(Self.words(holders.map(\.name), reach, restarts: restarts))")
        if restarts { try await restart(holders) }
    }

    static func words(_ holders: [String], _ reach: SecretReach, restarts: Bool) -> String {
        guard !holders.isEmpty else { return "no function holds it" }
        let held = "held by \(holders.joined(separator: ", "))"
        guard !restarts else { return held }
        return switch reach {
        case .runningReplicas: "\(held); their files have the new value (--restart for what reads it only at its start)"
        case .laterReplicas: "\(held); replicas started from now on see the new value (--restart starts them now)"
        }
    }

    /// Restarts all, then waits for them together, and gathers what failed.
    private func restart(_ holders: [FunctionStatus]) async throws {
        var failures: [String] = []
        var restarted: [FunctionStatus] = []
        for holder in holders {
            do throws(PlatformFault) {
                try await client.restart(holder.name, in: namespace)
                restarted.append(holder)
            } catch {
                failures.append("\(holder.name): \(error.message)" + (error.hint.map { "\n  \($0)" } ?? ""))
            }
        }
        let deployment = StackDeployment(client: client, folder: ".", report: { print($0) })
        for holder in restarted {
            let status = try await deployment.awaitReady(holder.name, namespace, within: .seconds(60))
            if status.martlet?.state == .failing {
                failures.append("\(holder.name): \(status.martlet?.reason ?? "failing")")
            } else {
                print("\(holder.name): restarted, \(status.martlet?.state.rawValue ?? "ready")")
            }
        }
        guard failures.isEmpty else { throw PlatformFault(.processFailed, failures.joined(separator: "\n")) }
    }
}
