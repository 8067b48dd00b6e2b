// SPDX-License-Identifier: Apache-2.0

import ProviderContract

/// How the functions' containers are reached.
public enum ContainerReach: String, Sendable, CaseIterable {
    /// By their own addresses where the engine's bridge is this machine's, otherwise by published ports.
    case automatic = "auto"
    /// By their own addresses.
    case bridge
    /// By published ports.
    case published
}

/// What an engine tells of where a container is: true only while it runs, since another one gets the same address next.
struct ContainerPlace: Equatable {
    /// A port of the host that leads to the function's.
    struct Published: Equatable {
        let address: String
        let port: Int
    }

    var isRunning: Bool
    /// On the engine's bridge; empty where it has none.
    var address = ""
    /// The address of the bridge itself.
    var gateway = ""
    /// For the function's port.
    var published: [Published] = []
}

extension ContainerPlace {
    /// Where the function listens, by what is known of this machine; nil where it cannot be reached.
    ///
    /// `bridges` are the addresses of this machine's interfaces that are an engine's bridges. `host` is where published
    /// ports of a remote engine are reached.
    func upstream(
        port: Int,
        _ reach: ContainerReach,
        bridges: Set<String>,
        host: String?
    ) -> Upstream.Address? {
        guard isRunning else { return nil }
        let isOurBridge = !gateway.isEmpty && bridges.contains(gateway)
        if !address.isEmpty, reach == .bridge || (reach == .automatic && host == nil && isOurBridge) {
            return .tcp(host: address, port: port)
        }
        guard reach != .bridge, let first = published.first, (1...65_535).contains(first.port) else { return nil }
        return .tcp(host: host ?? first.reachable, port: first.port)
    }
}

extension ContainerPlace.Published {
    /// What is published on all addresses is reached on the loopback.
    fileprivate var reachable: String { ["", "0.0.0.0", "::"].contains(address) ? "127.0.0.1" : address }
}
