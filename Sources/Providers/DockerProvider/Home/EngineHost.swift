// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
package import FaultModel
import Foundation
import FunctionModel

/// An engine that answers, and what is known of its machine.
package struct EngineHost: Sendable {
    let engine: DockerEngine
    /// Cores of its machine.
    let cores: Int
    /// Of its machine, as images name it.
    let architecture: String
    /// Where its published ports are reached; nil where it is this machine's.
    let remoteHost: String?
    /// What the interface of its bridge is called.
    let bridge: String
    private let cgroups: String
    private let enforced: Enforced

    /// Which limits it enforces.
    struct Enforced: Sendable, Equatable {
        var memory: Bool
        var cpu: Bool
        var processes: Bool
    }

    /// Connects to the engine that Docker's variables name.
    ///
    /// - Throws: `providerUnreachable` when it does not answer; `badSettings` when a variable cannot be understood.
    package static func connect(environment: [String: String]) async throws(PlatformFault) -> EngineHost {
        let endpoint = try DockerEndpoint(environment: environment)
        do throws(EngineFault) {
            let engine = try await DockerEngine.connect(endpoint)
            let bridge = try? await engine.inspectNetwork("bridge").bridge
            return EngineHost(engine, endpoint, try await engine.info(), bridge: bridge ?? "docker0")
        } catch {
            throw unreachable(endpoint, error)
        }
    }

    private init(_ engine: DockerEngine, _ endpoint: DockerEndpoint, _ info: EngineInfo, bridge: String) {
        self.engine = engine
        self.bridge = bridge
        cgroups = info.cgroupVersion
        cores = max(1, info.cpus)
        architecture = engine.version.architecture
        if case .tcp(let host, _, _) = endpoint { remoteHost = host } else { remoteHost = nil }
        enforced = Enforced(memory: info.memoryLimit, cpu: info.cpuQuota, processes: info.pidsLimit)
    }

    /// What it is, for people.
    package var summary: String {
        "version \(engine.version.engine) answers (API \(engine.version.api), \(architecture), control groups \(cgroups))"
    }

    /// What it does not enforce, in words.
    package var unenforced: [String] {
        [(enforced.memory, "memory"), (enforced.cpu, "CPU"), (enforced.processes, "processes")]
            .filter { !$0.0 }.map(\.1)
    }

    /// Closes its connections.
    package func shutdown() async { await engine.shutdown() }

    /// Why it does not answer, as far as its socket tells.
    private static func unreachable(_ endpoint: DockerEndpoint, _ fault: EngineFault) -> PlatformFault {
        guard case .unreachable = fault, case .unix(let path) = endpoint else { return PlatformFault(fault) }
        let isThere = access(path, F_OK) == 0
        let mayUse = access(path, R_OK | W_OK) == 0
        return PlatformFault(
            .providerUnreachable,
            isThere && !mayUse
                ? "The socket of the Docker engine may not be used by this user: \(path)"
                : "No Docker engine answers at \(path).",
            hint: isThere && !mayUse
                ? "Add the user to the group of the socket (docker), and log in again."
                : "Start it, or name another one by DOCKER_HOST.",
            cause: fault
        )
    }

    /// Whether all of these limits are enforced.
    func enforces(_ limits: ResourceAmounts) -> Bool {
        (limits.memoryBytes == nil || enforced.memory) && (limits.milliCPU == nil || enforced.cpu)
            && (limits.processes == nil || enforced.processes)
    }
}
