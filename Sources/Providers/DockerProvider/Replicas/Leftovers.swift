// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import FunctionModel

/// Containers that a run before has left, until replicas that are the same have taken them over, or nobody has.
///
/// Confined to the supervision loop.
final class Leftovers {
    /// One of them.
    struct Container: Sendable, Equatable {
        let id: String
        let name: String
        let identity: ContainerIdentity
        let shape: String
        var isRunning: Bool
    }

    private var containers: [Container]

    init(_ containers: [Container] = []) { self.containers = containers }

    func add(_ more: [Container]) { containers += more }

    /// One that runs and is just what a replica is to be; the one of that name where there are several.
    func claim(_ revision: ContainerRevision, shape: String, preferring name: String) -> Container? {
        let fitting = containers.filter {
            $0.isRunning && $0.shape == shape && $0.identity.function == revision.id
                && $0.identity.revision == revision.number
        }
        guard let chosen = fitting.first(where: { $0.identity.replica == name }) ?? fitting.first else { return nil }
        containers.removeAll { $0.id == chosen.id }
        return chosen
    }

    /// Above all numbers in which their names end.
    func firstNumber(of function: FunctionID) -> Int {
        let names = containers.filter { $0.identity.function == function }.map(\.identity.replica)
        let numbers = names.compactMap { name in
            name.split(separator: "-").last { $0.allSatisfy(\.isNumber) }.flatMap { Int($0) }
        }
        return 1 + (numbers.filter { $0 < 1 << 40 }.max() ?? 0)
    }

    /// Those that nobody has claimed; afterwards there are none.
    func takeRest() -> [Container] {
        defer { containers = [] }
        return containers
    }
}

extension Leftovers.Container {
    /// Nil for one that is none of Martlet's.
    init?(_ summary: ContainerSummary) {
        guard let identity = ContainerIdentity(labels: summary.labels) else { return nil }
        self.init(
            id: summary.id,
            name: summary.name,
            identity: identity,
            shape: summary.labels[ContainerIdentity.Label.shape] ?? "",
            isRunning: summary.state == "running"
        )
    }
}
