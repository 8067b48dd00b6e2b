// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionBuilder
import FunctionModel

struct DeployCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy",
        abstract: "Deploy functions of a stack file, or one function by flags.",
        discussion: """
            Examples:
              martlet deploy                                   all functions of stack.yaml
              martlet deploy -f stack.yaml --filter 'api-*'    some of them
              martlet deploy hello --image host --fprocess cat a program of the machine

            An existing function is updated: the old revision serves until the new one is ready. One that is
            unchanged is left alone, unless --force makes a new revision of it.
            """
    )

    @Argument(help: "The function's name; without it the stack file is deployed.")
    var name: String?

    @OptionGroup var options: ClientOptions
    @OptionGroup var stackOptions: StackOptions

    @Option(help: "The image: host, or a bundle that was built.")
    var image: String?

    @Option(help: "The command to run.")
    var fprocess: String?

    @Option(name: [.short, .long], help: "A variable, NAME=VALUE; may be repeated.")
    var env: [String] = []

    @Option(name: [.short, .long], help: "A label, NAME=VALUE; may be repeated.")
    var label: [String] = []

    @Option(help: "An annotation, NAME=VALUE; may be repeated.")
    var annotation: [String] = []

    @Option(help: "A secret's name; may be repeated.")
    var secret: [String] = []

    @Option(help: "Most memory of a replica, as 128Mi.")
    var memoryLimit: String?

    @Option(help: "Most CPU of a replica, as 500m.")
    var cpuLimit: String?

    @Flag(
        name: [.customLong("read-only"), .customLong("readonly")],
        help: "Make the function's root file system read-only."
    )
    var readOnly = false

    @Flag(help: "Build what is to be built first.")
    var build = false

    @Flag(help: "Make a new revision of a function that is unchanged, too: its replicas are started anew.")
    var force = false

    @Flag(help: "Do not wait until the functions are ready.")
    var noWait = false

    func validate() throws {
        if name != nil, image == nil {
            throw ValidationError("--image is missing. For a program of the machine: --image host --fprocess COMMAND")
        }
    }

    func run() async throws {
        guard let name else { return try await runStack() }
        let function = StackFile.Function(
            name: name,
            language: nil,
            handler: nil,
            skipsBuild: true,
            deployment: try deployment(name)
        )
        try await options.withClient { client in
            let deployment = StackDeployment(client: client, folder: ".", report: { print($0) })
            try await deployment.carryOut(
                [function],
                builds: false,
                namespace: options.namespace,
                waits: !noWait,
                forced: force
            )
        }
    }

    private func runStack() async throws {
        try await runCommand {
            let stack = try stackOptions.stack()
            let functions = try stackOptions.functions(of: stack)
            try await options.withClient(stack: stack) { client in
                let deployment = StackDeployment(client: client, folder: stack.folder, report: { print($0) })
                try await deployment.carryOut(
                    functions,
                    builds: build,
                    namespace: options.namespace,
                    waits: !noWait,
                    forced: force
                )
            }
        }
    }

    private func deployment(_ name: String) throws -> FunctionDeployment {
        var deployment = FunctionDeployment(service: name, image: image ?? "", namespace: options.namespace)
        deployment.envProcess = fprocess
        deployment.envVars = try pairs(env, "--env")
        deployment.labels = try pairs(label, "--label")
        deployment.annotations = try pairs(annotation, "--annotation")
        deployment.secrets = secret.isEmpty ? nil : secret
        if memoryLimit != nil || cpuLimit != nil {
            deployment.limits = FunctionResources(memory: memoryLimit, cpu: cpuLimit)
        }
        deployment.readOnlyRootFilesystem = readOnly ? true : nil
        return deployment
    }

    private func pairs(_ texts: [String], _ flag: String) throws -> [String: String]? {
        var pairs: [String: String] = [:]
        for text in texts {
            guard let equals = text.firstIndex(of: "=") else {
                throw ValidationError("\(flag) \(text) is not NAME=VALUE.")
            }
            pairs[String(text[..<equals])] = String(text[text.index(after: equals)...])
        }
        return pairs.isEmpty ? nil : pairs
    }
}
