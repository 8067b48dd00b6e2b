// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import SystemClient
import TestSupport

extension RunningMartlet {
    /// A server that is up within milliseconds.
    static var origin: String { RunningProgram.folder.appendingPathComponent("origin").path }

    /// Deploys a long-lived server with labels of scaling, by their names behind `com.openfaas.scale.`.
    func deploy(
        _ name: String,
        scaledBy labels: [String: String],
        annotations: [String: String] = [:],
        fprocess: String = RunningMartlet.origin,
        environment: [String: String] = [:]
    ) async throws {
        try await client.create(
            FunctionDeployment(
                service: name,
                image: "host",
                envProcess: fprocess,
                envVars: environment.merging(["mode": "http"]) { own, _ in own },
                labels: Dictionary(uniqueKeysWithValues: labels.map { ("com.openfaas.scale.\($0.key)", $0.value) }),
                annotations: annotations
            )
        )
    }
}
