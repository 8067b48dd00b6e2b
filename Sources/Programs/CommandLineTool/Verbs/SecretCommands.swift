// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionModel
import SystemClient

struct SecretCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secret",
        abstract: "Manage secrets, which functions see as files.",
        subcommands: [Create.self, Update.self, List.self, Remove.self]
    )

    /// Where a secret's value comes from.
    struct Value: ParsableArguments {
        @Option(help: "The value itself.")
        var fromLiteral: String?

        @Option(help: "A file with the value.")
        var fromFile: String?

        /// The value; from standard input when no flag names it.
        func read() throws -> Data {
            if let fromLiteral { return Data(fromLiteral.utf8) }
            guard let fromFile else { return try FileHandle.standardInput.readToEnd() ?? Data() }
            guard let data = FileManager.default.contents(atPath: fromFile) else {
                throw ValidationError("The file \(fromFile) cannot be read.")
            }
            return data
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Store a new secret; its value from a flag or standard input."
        )
        @Argument(help: "The secret's name.") var name: String
        @OptionGroup var value: Value
        @OptionGroup var options: ClientOptions
        @Flag(help: "Replace the value if the secret exists.") var replace = false

        func run() async throws {
            let data = try value.read()
            try await options.withClient { client in
                do throws(PlatformFault) {
                    try await client.createSecret(name, in: options.namespace, value: data)
                } catch {
                    guard replace, error.code == .alreadyExists else { throw error }
                    let holders = SecretHolders(client: client, secret: name, namespace: options.namespace)
                    return try await holders.update(data, restarts: false)
                }
                print("\(name): stored")
            }
        }
    }

    struct Update: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Replace a secret's value, and say which functions hold it."
        )
        @Argument(help: "The secret's name.") var name: String
        @OptionGroup var value: Value
        @OptionGroup var options: ClientOptions
        @Flag(help: "Restart the functions that hold it; each serves until its new replicas are ready.")
        var restart = false

        func run() async throws {
            let data = try value.read()
            try await options.withClient { client in
                let holders = SecretHolders(client: client, secret: name, namespace: options.namespace)
                try await holders.update(data, restarts: restart)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List secrets' names.", aliases: ["ls"])
        @OptionGroup var options: ClientOptions
        @Option(help: "How to print: text or json.") var output = OutputFormat.text

        func run() async throws {
            try await options.withClient { client in
                let secrets = try await client.secrets(in: options.namespace)
                guard output == .text else { return try printJSON(secrets) }
                for secret in secrets { print(secret.name) }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove a secret.", aliases: ["rm"])
        @Argument(help: "The secret's name.") var name: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                try await client.deleteSecret(name, in: options.namespace)
                print("\(name): removed")
            }
        }
    }
}

struct NamespaceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "namespace",
        abstract: "Manage namespaces.",
        subcommands: [Create.self, Get.self, List.self, Update.self, Remove.self],
        aliases: ["namespaces"]
    )

    /// Labels and annotations of a namespace.
    struct Marks: ParsableArguments {
        @Option(help: "A label, NAME=VALUE; may be repeated.") var label: [String] = []
        @Option(help: "An annotation, NAME=VALUE; may be repeated.") var annotation: [String] = []

        func record(_ name: String) throws -> NamespaceRecord {
            NamespaceRecord(name: name, annotations: try Self.pairs(annotation), labels: try Self.pairs(label))
        }

        private static func pairs(_ texts: [String]) throws -> [String: String]? {
            let pairs = try texts.map { text in
                guard let equals = text.firstIndex(of: "=") else { throw ValidationError("\(text) is not NAME=VALUE.") }
                return (String(text[..<equals]), String(text[text.index(after: equals)...]))
            }
            return pairs.isEmpty ? nil : Dictionary(pairs, uniquingKeysWith: { _, new in new })
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a namespace.")
        @Argument(help: "The namespace's name.") var name: String
        @OptionGroup var marks: Marks
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let record = try marks.record(name)
            try await options.withClient { client in
                try await client.createNamespace(record)
                print("\(name): made")
            }
        }
    }

    struct Update: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Replace a namespace's labels and annotations.")
        @Argument(help: "The namespace's name.") var name: String
        @OptionGroup var marks: Marks
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let record = try marks.record(name)
            try await options.withClient { client in
                try await client.updateNamespace(record)
                print("\(name): changed")
            }
        }
    }

    struct Get: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a namespace.")
        @Argument(help: "The namespace's name.") var name: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { try printJSON(try await $0.namespace(name)) }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List namespaces.", aliases: ["ls"])
        @OptionGroup var options: ClientOptions
        @Option(help: "How to print: text or json.") var output = OutputFormat.text

        func run() async throws {
            try await options.withClient { client in
                let names = try await client.namespaces()
                guard output == .text else { return try printJSON(names) }
                for name in names { print(name) }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove an empty namespace.",
            aliases: ["rm", "delete"]
        )
        @Argument(help: "The namespace's name.") var name: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                try await client.deleteNamespace(name)
                print("\(name): removed")
            }
        }
    }
}
