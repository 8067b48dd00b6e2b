// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionBuilder
import FunctionModel
import SystemClient

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the functions of a namespace.",
        aliases: ["ls"]
    )

    @OptionGroup var options: ClientOptions

    @Option(help: "How to print: text or json.")
    var output = OutputFormat.text

    func run() async throws {
        try await options.withClient { client in
            let functions = try await client.functions(in: options.namespace)
            guard output == .text else { return try printJSON(functions) }
            guard !functions.isEmpty else {
                return print("No functions yet. Deploy one: martlet deploy env --image host --fprocess env")
            }
            printTable(
                ["FUNCTION", "STATE", "REPLICAS", "INVOCATIONS", "IMAGE"],
                functions.map { function in
                    [
                        function.name, function.martlet?.state.rawValue ?? "-",
                        "\(function.availableReplicas)/\(function.replicas)", "\(function.invocations)",
                        function.image,
                    ]
                }
            )
        }
    }
}

struct DescribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe",
        abstract: "Show everything about a function."
    )

    @Argument(help: "The function's name.")
    var name: String

    @OptionGroup var options: ClientOptions

    @Option(help: "How to print: text or json.")
    var output = OutputFormat.text

    func run() async throws {
        try await options.withClient { client in
            let function = try await client.function(name, in: options.namespace, includingUsage: true)
            guard output == .text else { return try printJSON(function) }
            for (name, value) in Self.lines(function, at: client.address(ofFunction: "\(function.id)"))
            where !value.isEmpty {
                print("\(name.padding(toLength: 14, withPad: " ", startingAt: 0))\(value)")
            }
        }
    }

    private static func lines(_ function: FunctionStatus, at address: String) -> [(String, String)] {
        func pairs(_ map: [String: String]?) -> String {
            (map ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "  ")
        }
        let status = function.martlet
        let usage = function.usage.map {
            "\(Int(clamping: $0.cpu)) mCPU, \(Int(clamping: $0.totalMemoryBytes / 1_048_576)) MiB"
        }
        return [
            ("Name", function.name),
            ("Namespace", function.namespace),
            ("State", status?.state.rawValue ?? ""),
            ("Reason", status?.reason ?? ""),
            ("Revision", status.map { "\($0.revision) (serving: \($0.readyRevision))" } ?? ""),
            ("Replicas", "\(function.availableReplicas) of \(function.replicas)"),
            ("Invocations", "\(function.invocations)"),
            ("Image", function.image),
            ("Process", function.envProcess ?? ""),
            ("URL", address),
            ("Environment", pairs(function.envVars)),
            ("Labels", pairs(function.labels)),
            ("Annotations", pairs(function.annotations)),
            ("Secrets", (function.secrets ?? []).joined(separator: ", ")),
            ("Limits", [function.limits?.memory, function.limits?.cpu].compactMap(\.self).joined(separator: ", ")),
            ("Uses", usage ?? ""),
            ("Created", function.createdAt.description),
        ]
    }
}

struct RemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove functions: those named, or those of a stack file.",
        aliases: ["rm", "delete"]
    )

    @Argument(help: "The functions' names; without any those of the stack file are removed.")
    var names: [String] = []

    @OptionGroup var options: ClientOptions
    @OptionGroup var stackOptions: StackOptions

    func run() async throws {
        try await runCommand {
            let stack = names.isEmpty ? try stackOptions.stack() : nil
            let chosen =
                try stack.map { try stackOptions.functions(of: $0).map { ($0.name, $0.deployment.namespace) } }
                ?? names.map { ($0, nil) }
            try await options.withClient(stack: stack) { client in
                for (name, namespace) in chosen {
                    try await client.delete(name, in: options.namespace ?? namespace)
                    print("\(name): removed")
                }
            }
        }
    }
}

struct ReadyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ready",
        abstract: "Wait until the gateway, or a function, is ready."
    )

    @Argument(help: "The function's name; without it the gateway is meant.")
    var name: String?

    @OptionGroup var options: ClientOptions

    @Option(help: "How long to wait, in seconds.")
    var timeout = 60

    func run() async throws {
        try await options.withClient { client in
            let deadline = ContinuousClock.now + .seconds(timeout)
            while true {
                do throws(PlatformFault) {
                    guard let name else { return try await client.checkHealth() }
                    let function = try await client.function(name, in: options.namespace)
                    if function.availableReplicas > 0 { return print("\(name) is ready") }
                    if function.martlet?.state == .idle { return print("\(name) sleeps; the next call wakes it") }
                    guard ContinuousClock.now < deadline else {
                        throw PlatformFault(
                            .functionNotReady,
                            "\(name) is not ready after \(timeout) s. \(function.martlet?.reason ?? "")"
                        )
                    }
                } catch {
                    guard error.isRetryable, error.code != .functionNotReady, ContinuousClock.now < deadline else {
                        throw error
                    }
                }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }
}

struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Show the versions of this program and of the gateway."
    )

    @OptionGroup var options: ClientOptions

    @Option(help: "How to print: text or json.")
    var output = OutputFormat.text

    private struct Versions: Encodable {
        let martlet: String
        let gateway: SystemInfo?
    }

    func run() async throws {
        try await options.withClient { client in
            let info = try? await client.info()
            guard output == .text else { return try printJSON(Versions(martlet: Release.number, gateway: info)) }
            print("martlet \(Release.number)")
            guard let info else { return print("gateway: none answers at \(client.baseURL)") }
            print("gateway: \(info.version?.release ?? "unknown") at \(client.baseURL)")
            print("provider: \(info.provider.map { "\($0.provider) \($0.version.release)" } ?? "cannot be reached")")
        }
    }
}
