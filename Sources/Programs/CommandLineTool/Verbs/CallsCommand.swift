// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionModel
import SystemClient

struct CallsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calls",
        abstract: "See what became of asynchronous calls, and do something about it.",
        discussion: """
            A call that was answered with 202 is waiting, running, succeeded, failed (the function's answer is final), \
            dead (all attempts used up), cancelled or expired.
            """,
        subcommands: [
            List.self, Show.self, Retry.self, Cancel.self, Purge.self, Numbers.self, Export.self, Import.self,
        ]
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List calls, newest first.", aliases: ["ls"])
        @Option(help: "Only this function's.") var function: String?
        @Option(help: "Only those in this state.") var state: String?
        @Option(help: "Only those accepted since then, as 2026-01-02T15:04:05Z.") var since: String?
        @Option(help: "Most calls, 1 to 1000.") var limit = 20
        @Option(help: "How to print: text or json.") var output = OutputFormat.text
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                let page = try await client.calls(
                    function: function.map { options.address($0) },
                    state: state,
                    since: since,
                    limit: limit,
                    cursor: nil
                )
                if output == .json { return try printJSON(page.calls) }
                printTable(
                    ["ID", "FUNCTION", "STATE", "ATTEMPTS", "STATUS", "ACCEPTED"],
                    page.calls.map { call in
                        [
                            call.id, call.function, call.state, String(call.attempts.count),
                            call.attempts.last.map { String($0.status) } ?? "-", call.createdAt.description,
                        ]
                    }
                )
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Tell all that is known of a call.")
        @Argument(help: "The call's id.") var id: String
        @Flag(help: "Print the body of the function's answer, and nothing else.") var result = false
        @Option(help: "How to print: text or json.") var output = OutputFormat.text
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                if result {
                    return printBytes(try await client.callResult(id))
                }
                let call = try await client.call(id)
                if output == .json { return try printJSON(call) }
                for (name, value) in CallText.lines(call) {
                    print((name.isEmpty ? "" : "\(name):").padding(toLength: 12, withPad: " ", startingAt: 0) + value)
                }
            }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send a call that is over once more, or all dead ones."
        )
        @Argument(help: "The call's id.") var id: String?
        @Flag(help: "All dead calls.") var dead = false
        @Option(help: "With --dead: only this function's.") var function: String?
        @OptionGroup var options: ClientOptions

        func validate() throws {
            guard (id == nil) == dead else { throw ValidationError("Name a call by its id, or say --dead.") }
        }

        func run() async throws {
            try await options.withClient { client in
                guard let id else {
                    let retried = try await client.retryDeadCalls(of: function.map { options.address($0) })
                    return print("\(retried) sent again")
                }
                try await client.retryCall(id)
                print("\(id): sent again")
            }
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Cancel a call that waits or runs.")
        @Argument(help: "The call's id.") var id: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                try await client.cancelCall(id)
                print("\(id): cancelled")
            }
        }
    }

    struct Purge: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Forget calls that are over.")
        @Option(help: "Only this function's.") var function: String?
        @Option(help: "Only those in this state.") var state: String?
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                let purged = try await client.purgeCalls(function: function.map { options.address($0) }, state: state)
                print("\(purged) forgotten")
            }
        }
    }

    struct Numbers: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "count",
            abstract: "Count calls by function and state."
        )
        @Option(help: "How to print: text or json.") var output = OutputFormat.text
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                let numbers = try await client.queueNumbers()
                if output == .json { return try printJSON(numbers) }
                let rows = numbers.functions.count == 1 ? numbers.functions : numbers.functions + [numbers.total]
                printTable(
                    [
                        "FUNCTION", "ACCEPTED", "WAITING", "RUNNING", "SUCCEEDED", "FAILED", "DEAD", "CANCELLED",
                        "EXPIRED",
                    ],
                    rows.map { row in
                        [row.function ?? "all"]
                            + [
                                row.accepted, row.waiting, row.running, row.succeeded, row.failed, row.dead,
                                row.cancelled, row.expired,
                            ].map(String.init)
                    }
                )
            }
        }
    }
}

extension ClientOptions {
    /// A function's name with the namespace that the flags name.
    func address(_ name: String) -> String {
        guard let namespace, !name.contains(".") else { return name }
        return "\(name).\(namespace)"
    }
}

/// A call in words.
private enum CallText {
    static func lines(_ call: CallDescription) -> [(name: String, value: String)] {
        var lines = [("Id", call.id)]
        if call.callId != call.id { lines.append(("Call id", call.callId)) }
        lines.append(("Function", call.function))
        lines.append(("State", call.deadReason.map { "\(call.state): \($0)" } ?? call.state))
        let query = call.query.map { "?\($0)" } ?? ""
        lines.append(("Request", "\(call.method) \(call.path.isEmpty ? "/" : call.path)\(query)"))
        lines.append(("Accepted", call.createdAt.description))
        if call.state == "waiting" { lines.append(("Next try", call.notBefore.description)) }
        if let finished = call.finishedAt { lines.append(("Over", finished.description)) }
        for (index, attempt) in call.attempts.enumerated() {
            lines.append((index == 0 ? "Attempts" : "", self.attempt(attempt)))
        }
        if let callback = call.callback { lines.append(("Callback", self.callback(callback))) }
        if let result = call.result {
            let hint = "martlet calls show \(call.id) --result"
            lines.append(("Result", "status \(result.status), \(result.size) bytes until \(result.expiresAt): \(hint)"))
        }
        return lines
    }

    private static func attempt(_ attempt: CallDescription.Attempt) -> String {
        let duration = GoDuration.format(max(.zero, attempt.finishedAt.distance(from: attempt.startedAt)))
        let fault = attempt.fault.map { " (the \($0)'s fault)" } ?? ""
        return "\(attempt.number). \(attempt.startedAt) status \(attempt.status) after \(duration)\(fault)"
    }

    private static func callback(_ callback: CallDescription.Callback) -> String {
        let status = callback.status.map { $0 == 0 ? ", nobody answered" : ", status \($0)" } ?? ""
        return "\(callback.state)\(status), \(callback.attempts) tried: \(callback.url)"
    }
}
