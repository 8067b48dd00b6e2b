// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient

/// What the engine's answers say to the values here.
extension ContainerLedger.Event {
    /// Nil for what is not about a container's life.
    init?(_ event: EngineEvent) {
        guard event.type == "container" else { return nil }
        self.init(
            action: event.action,
            container: event.actor.id,
            exitStatus: event.actor.attributes["exitCode"].flatMap { Int($0) },
            nanoseconds: event.timeNano
        )
    }
}

extension ContainerPlace {
    /// Where a container is, with the ports that lead to one of its own.
    init(_ details: ContainerDetails, port: Int) {
        let network = details.networks["bridge"]
        self.init(
            isRunning: details.state.running,
            address: network?.ipAddress ?? "",
            gateway: network?.gateway ?? "",
            published: (details.ports["\(port)/tcp"] ?? []).map { Published(address: $0.hostIP, port: $0.hostPort) }
        )
    }
}
