// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import AsyncHTTPClient
import FaultModel
import Foundation
import FunctionModel
import NIOCore
import SystemClient

struct InvokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invoke",
        abstract: "Call a function: its body from standard input, its answer to standard output.",
        discussion: """
            Examples:
              echo hi | martlet invoke wc
              martlet invoke hello --query name=you -H 'Accept: text/plain' < /dev/null
            """
    )

    @Argument(help: "The function's name, NAME or NAME.NAMESPACE, a path may follow: NAME/path.")
    var name: String

    @OptionGroup var options: ClientOptions

    @Option(help: "The method.")
    var method = "POST"

    @Option(name: [.customShort("H"), .customLong("header")], help: "A header field, 'Name: value'; may be repeated.")
    var headers: [String] = []

    @Option(help: "A part of the query, NAME=VALUE; may be repeated.")
    var query: [String] = []

    @Option(help: "The body's type.")
    var contentType = "text/plain"

    @Flag(help: "Hand the call over, to be carried out later, and print its id for martlet calls show.")
    var async = false

    func run() async throws {
        try await options.withClient { client in
            let answer = try await client.send(
                method.uppercased(),
                path,
                headers: try fields(),
                body: .bytes(try body()),
                withLogin: false,
                timeout: .hours(24)
            )
            guard (200..<400).contains(answer.status) else {
                throw SystemClient.fault(answer.status, try await client.collect(answer))
            }
            // The id by which it can be followed; another gateway than ours knows it as its X-Call-Id.
            let ids = ["x-martlet-call-id", "x-call-id"].compactMap { name in
                answer.headers.first { $0.name.lowercased() == name }?.value
            }
            if async, let id = ids.first { print(id) }
            for try await piece in answer.body {
                printBytes(piece.readableBytesView)
            }
        }
    }

    private var path: String {
        let slash = name.firstIndex(of: "/") ?? name.endIndex
        let address = name[..<slash] + (options.namespace.map { ".\($0)" } ?? "")
        let query = query.isEmpty ? "" : "?" + query.joined(separator: "&")
        return "/\(async ? "async-function" : "function")/\(address)\(name[slash...])\(query)"
    }

    private func fields() throws -> [(name: String, value: String)] {
        let own = try headers.map { text in
            guard let colon = text.firstIndex(of: ":") else { throw ValidationError("\(text) is not 'Name: value'.") }
            let value = text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            return (name: String(text[..<colon]), value: value)
        }
        let hasType = own.contains { $0.name.lowercased() == "content-type" }
        return hasType ? own : own + [(name: "Content-Type", value: contentType)]
    }

    /// Standard input to its end; nothing when it is a terminal that nobody types into.
    private func body() throws -> Data {
        if isatty(STDIN_FILENO) == 1 { printError("Reading the body from the terminal; end it by Ctrl-D.") }
        return try FileHandle.standardInput.readToEnd() ?? Data()
    }
}

struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Show a function's log.",
        discussion: "Examples: martlet logs hello --tail 20, martlet logs hello -f --since 5m"
    )

    @Argument(help: "The function's name.")
    var name: String

    @OptionGroup var options: ClientOptions

    @Flag(name: .shortAndLong, help: "Go on with lines as they are written.")
    var follow = false

    @Option(help: "Only so many of the last lines.")
    var tail: Int?

    @Option(help: "Only lines of the last while, as 5m.")
    var since: String?

    @Option(help: "Only lines of one replica.")
    var instance: String?

    @Option(help: "How to print: text or json.")
    var output = OutputFormat.text

    func run() async throws {
        try await options.withClient { client in
            for try await line in try await client.logs(try query()) {
                if output == .json {
                    try printJSON(line)
                } else {
                    print("\(line.timestamp) \(line.instance) \(line.text)")
                }
                fflush(nil)
            }
        }
    }

    private func query() throws -> LogQuery {
        let id = FunctionID(address: name, defaultNamespace: options.namespace ?? NameRule.defaultNamespace)
        guard let id else { throw ValidationError("\(name) is not a function's name.") }
        var query = LogQuery(function: id, instance: instance, tail: tail, follow: follow)
        if let since {
            guard let duration = GoDuration.parse(since) else {
                throw ValidationError("--since \(since) is not a duration, as 5m.")
            }
            query.since = Timestamp.now().earlier(by: duration)
        } else if tail == nil {
            query.since = Timestamp(nanosecondsSinceEpoch: 0)
        }
        return query
    }
}
