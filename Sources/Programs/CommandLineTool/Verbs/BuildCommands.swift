// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionBuilder

struct BuildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Build functions of a stack file into bundles of the platform.",
        discussion: "Nothing but the function's own language is needed: no Docker and no registry."
    )

    @OptionGroup var options: ClientOptions
    @OptionGroup var stackOptions: StackOptions

    func run() async throws {
        try await runCommand {
            let stack = try stackOptions.stack()
            let functions = try stackOptions.functions(of: stack)
            try await options.withClient(stack: stack) { client in
                let deployment = StackDeployment(client: client, folder: stack.folder, report: { print($0) })
                for function in functions where !(try await deployment.build(function)) {
                    print("\(function.name): nothing to build")
                }
            }
        }
    }
}

struct NewCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new",
        abstract: "Begin a function: its code and its place in the stack file.",
        discussion: "Example: martlet new hello --lang python3"
    )

    @Argument(help: "The function's name.")
    var name: String

    @Option(help: "The template (martlet templates lists them).")
    var lang: String

    @Option(name: [.customShort("f"), .customLong("file"), .customLong("yaml")], help: "The stack file (stack.yaml).")
    var file = "stack.yaml"

    func run() async throws {
        try await runCommand {
            try FunctionScaffold(folder: FileManager.default.currentDirectoryPath).make(
                name,
                language: lang,
                file: file
            )
            print("\(name)/ holds the code, \(file) names the function. Next: martlet deploy --build -f \(file)")
        }
    }
}

struct TemplatesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "templates",
        abstract: "List the templates that functions begin with."
    )

    @Option(help: "How to print: text or json.")
    var output = OutputFormat.text

    private struct Line: Encodable {
        let name: String
        let summary: String
    }

    func run() async throws {
        guard output == .text else {
            return try printJSON(TemplateLibrary.builtIn.map { Line(name: $0.name, summary: $0.summary) })
        }
        printTable(["NAME", "WHAT IT IS"], TemplateLibrary.builtIn.map { [$0.name, $0.summary] })
    }
}
