// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import Foundation
import FunctionModel

/// What a replica's container is made with: its revision, and what holds for all containers of a provider.
struct ContainerPlan: Sendable {
    /// What holds for all containers of a provider.
    struct Surroundings: Sendable, Equatable {
        /// Of the data directory.
        var instance: String
        /// Where functions reach the gateway; nil where they cannot.
        var platformURL: String?
        /// The address of the engine's machine on which ports are published; nil where containers are reached at their own.
        var publishAddress: String?
        /// The gateway's names for functions, with its address, or `host-gateway`.
        var gatewayAddress: String?
    }

    var identity: ContainerIdentity
    let revision: ContainerRevision
    let surroundings: Surroundings
    /// What the container has of secrets; nil for nothing.
    var secrets: SecretFolder?

    /// What the engine is asked for.
    var config: ContainerConfig {
        var config = bare
        config.labels[ContainerIdentity.Label.shape] = shape
        return config
    }

    /// What all containers of this revision have in common that are made as things are now, and no other container has.
    var shape: String {
        var common = self
        common.identity.replica = ""
        common.secrets = secrets.map { _ in SecretFolder(path: "") }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Texts and whole numbers, which can always be written.
        return ContainerShape.digest((try? encoder.encode(common.bare)) ?? Data())
    }

    private var bare: ContainerConfig {
        var config = ContainerConfig(image: revision.image.id)
        config.environment = variables
        config.labels = labels
        config.exposedPorts = [port]
        config.stopTimeout = revision.run.gracePeriod.wholeSeconds
        config.healthcheck = ["NONE"]
        config.host = host
        return config
    }

    private var port: String { "\(revision.run.port)/tcp" }

    private var variables: [String] {
        revision.variables(platformURL: surroundings.platformURL).sorted { $0.key < $1.key }
            .map { "\($0.key)=\($0.value)" }
    }

    private var labels: [String: String] {
        var labels = identity.labels
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let own = try? encoder.encode(revision.spec.labels)
        labels[ContainerIdentity.Label.functionLabels] = String(decoding: own ?? Data(), as: UTF8.self)
        return labels
    }

    private var host: HostConfig {
        let run = revision.spec.run
        var host = HostConfig()
        host.initProcess = true
        host.capDrop = ["ALL"]
        host.securityOptions = ["no-new-privileges"]
        host.restartPolicy = .no
        host.logConfig = LogConfig(type: "json-file", options: ["max-size": "10m", "max-file": "2"])
        host.memory = run.limits.memoryBytes
        host.memorySwap = run.limits.memoryBytes
        host.memoryReservation = run.requests.memoryBytes
        host.nanoCPUs = run.limits.milliCPU.map { $0 * 1_000_000 }
        host.cpuShares = run.requests.milliCPU.map { max(2, $0 * 1024 / 1000) }
        host.pidsLimit = run.limits.processes
        host.deviceRequests = devices.isEmpty ? nil : devices
        if run.readOnlyRoot {
            host.readonlyRootfs = true
            host.tmpfs = ["/tmp": "rw,nosuid,nodev,exec,mode=1777"]
        }
        if let address = surroundings.publishAddress {
            host.portBindings = [port: [PortBinding(hostIP: address, hostPort: "")]]
        }
        if let address = surroundings.gatewayAddress {
            host.extraHosts = Self.gatewayNames.map { "\($0):\(address)" }
        }
        if let secrets {
            host.mounts = [
                Mount(type: "bind", source: secrets.inner, target: SecretFolder.mountPoint, readOnly: true)
            ]
        }
        return host
    }

    /// As functions on Kubernetes know it.
    private static let gatewayNames = ["gateway", "gateway.openfaas", "gateway.openfaas.svc.cluster.local"]

    private var devices: [DeviceRequest] {
        let run = revision.spec.run
        return DeploymentRules.gpuDrivers.sorted { $0.key < $1.key }.compactMap { key, driver in
            let number = run.limits.gpus[key] ?? run.requests.gpus[key] ?? 0
            return number > 0 ? DeviceRequest(driver: driver, count: number, capabilities: [["gpu"]]) : nil
        }
    }
}

extension Duration {
    /// Rounded up: what has a second's part begun is given it whole.
    fileprivate var wholeSeconds: Int {
        Int(clamping: components.seconds) + (components.attoseconds > 0 ? 1 : 0)
    }
}
