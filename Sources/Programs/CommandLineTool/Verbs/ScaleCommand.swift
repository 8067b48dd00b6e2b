// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import FunctionModel
import SystemClient

/// `martlet scale NAME N`, `martlet scale explain NAME`.
struct ScaleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale",
        abstract: "Set a function's number of replicas, or see why it has as many as it has.",
        discussion: """
            0 is allowed: the next call starts one again. A function with labels of the autoscaler is set right again \
            by it.

              martlet scale resize 3
              martlet scale explain resize
            """,
        subcommands: [SetReplicasCommand.self, ExplainScalingCommand.self],
        defaultSubcommand: SetReplicasCommand.self
    )
}

struct SetReplicasCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "to",
        abstract: "Set a function's number of replicas (the default)."
    )

    @Argument(help: "The function's name.")
    var name: String

    @Argument(help: "The number of replicas.")
    var replicas: Int

    @OptionGroup var options: ClientOptions

    func run() async throws {
        try await options.withClient { client in
            try await client.scale(name, in: options.namespace, to: replicas)
            print("\(name): \(replicas) replicas desired")
        }
    }
}

struct ExplainScalingCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Show a function's load, how many replicas it should have, and the last changes with their reasons."
    )

    @Argument(help: "The function's name.")
    var name: String

    @OptionGroup var options: ClientOptions

    func run() async throws {
        try await options.withClient { client in
            print(ScalingText(try await client.scaling(of: name, in: options.namespace)).text)
        }
    }
}

/// How a function is scaled, for people.
struct ScalingText {
    let text: String

    init(_ scaling: ScalingDescription) {
        var rows = [
            ("Function", scaling.function),
            ("Replicas", "\(scaling.current) (between \(scaling.min) and \(scaling.max))"),
            ("Scaled by", Self.rule(scaling)),
        ]
        if let load = scaling.load { rows.append(("Load", Self.number(load))) }
        if scaling.desired != scaling.current { rows.append(("Wanted", "\(scaling.desired)")) }
        rows.append(("Because", scaling.reason))
        var lines = rows.map { "\($0.0.padding(toLength: 11, withPad: " ", startingAt: 0))\($0.1)" }
        if !scaling.decisions.isEmpty { lines += ["", "Last changes, the latest first:"] }
        lines += scaling.decisions.map { "  \($0.at)  \($0.from) -> \($0.to)  \($0.reason)" }
        text = lines.joined(separator: "\n")
    }

    private static func rule(_ scaling: ScalingDescription) -> String {
        guard let target = scaling.target, let proportion = scaling.proportion else { return "alerts and people" }
        return "\(scaling.mode), \(number(target)) per replica, the next one at \(number(proportion * 100)) % of it"
    }

    private static func number(_ value: Double) -> String {
        let hundredths = (value * 100).rounded() / 100
        return hundredths == hundredths.rounded() && abs(hundredths) < 1e15 ? "\(Int64(hundredths))" : "\(hundredths)"
    }
}
