// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
package import FunctionModel
import ReplicaSupervision

/// An image as the engine has it: its id, and what it says of itself.
struct PinnedImage: Sendable, Equatable {
    /// `sha256:…`; the same for ever, whatever its name stands for later.
    let id: String
    /// Its variables.
    var environment: [String: String] = [:]
}

/// One revision of a function: what its containers run and how, its image's defaults filled in.
package struct ContainerRevision: HomeRevision {
    package var number: Int
    package let spec: FunctionSpec
    let run: ContainerRun
    let image: PinnedImage

    var id: FunctionID { spec.id }

    init(_ given: FunctionSpec, number: Int, image: PinnedImage) {
        self.number = number
        self.image = image
        (spec, run) = given.contained(in: ImageDefaults(environment: image.environment))
    }
}

extension PinnedImage {
    /// What the engine tells of an image.
    init(_ details: ImageDetails) { self.init(id: details.id, variables: details.environment) }

    /// An image's variables as the engine has them, `NAME=VALUE` each.
    init(id: String, variables: [String]) {
        self.id = id
        for variable in variables {
            let name = variable.prefix { $0 != "=" }
            environment[String(name)] = String(variable.dropFirst(name.count + 1))
        }
    }
}

extension ContainerRevision {
    /// The variables that its containers get besides the image's: ours, then what the deployment says.
    func variables(platformURL: String?) -> [String: String] {
        var values = [
            "OPENFAAS_NAME": id.name,
            "OPENFAAS_NAMESPACE": id.namespace,
            "secret_mount_path": SecretFolder.mountPoint,
        ]
        values["OPENFAAS_URL"] = platformURL
        values["fprocess"] = spec.deployment.envProcess.flatMap { $0.isEmpty ? nil : $0 }
        // of-watchdog takes calls for this long after SIGTERM, when the last one has left already.
        if image.environment[Self.lingering] == nil { values[Self.lingering] = "1s" }
        return values.merging(spec.run.environment) { _, own in own }
    }

    private static let lingering = "healthcheck_interval"
}
