// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionModel
import QueueContract
import SystemClient

extension CallsCommand {
    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take waiting and dead calls out of the queue, for another one.",
            discussion: """
                Prints a call per line, for martlet calls import. Waiting calls are cancelled here, so that they are \
                carried out only there; dead ones stay. If it breaks off, run it again: it prints again what it took \
                out before.
                """
        )
        @Option(help: "Only this function's.") var function: String?
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                var exported = 0
                for state in ["waiting", "dead", "cancelled"] {
                    exported += try await export(state, client)
                }
                printError("\(exported) exported")
            }
        }

        private func export(_ state: String, _ client: SystemClient) async throws -> Int {
            let function = function.map { options.address($0) }
            var (exported, cursor, isMore) = (0, String?.none, true)
            while isMore {
                let page = try await client.calls(
                    function: function,
                    state: state,
                    since: nil,
                    limit: 1000,
                    cursor: cursor
                )
                for call in page.calls where state != "cancelled" || call.deadReason == MovedCall.reason {
                    if try await export(call.id, client) { exported += 1 }
                }
                (cursor, isMore) = (page.next, page.next != nil)
            }
            return exported
        }

        /// False for a call that has begun meanwhile.
        private func export(_ id: String, _ client: SystemClient) async throws -> Bool {
            do {
                let call = try await client.exportCall(id)
                try FileHandle.standardOutput.write(contentsOf: JSONLine.write(call))
                return true
            } catch let fault as PlatformFault where fault.code == .conflict || fault.code == .gone {
                printError(fault.message)
                return false
            }
        }
    }

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take calls in that martlet calls export has written.",
            discussion: "Reads them from standard input. Each is taken in once by its id, so it can be run again."
        )
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                var (imported, known) = (0, 0)
                var functions: Set<String> = []
                while let line = readLine() {
                    guard !line.isEmpty else { continue }
                    let call = try JSONLine.read(line)
                    if functions.insert(call.function).inserted { try await check(call.function, client) }
                    if try await client.importCall(call) { imported += 1 } else { known += 1 }
                }
                print("\(imported) imported, \(known) known before")
            }
        }

        /// The calls of a function that is not there would be dead at once.
        private func check(_ name: String, _ client: SystemClient) async throws {
            let id = FunctionID(address: name, defaultNamespace: "openfaas-fn")
            do {
                _ = try await client.function(id?.name ?? name, in: id?.namespace)
            } catch {
                guard error.code == .functionNotFound || error.code == .notFound else { throw error }
                throw PlatformFault(
                    .functionNotFound,
                    "The function \(name) is not deployed here, so its calls cannot be carried out.",
                    hint: "Deploy it, and import once more: calls that were taken in are not taken in twice."
                )
            }
        }
    }
}

/// A call per line.
private enum JSONLine {
    static func write(_ call: ExportedCall) throws -> Data { try JSONEncoder().encode(call) + Data("\n".utf8) }

    static func read(_ line: String) throws -> ExportedCall {
        do { return try JSONDecoder().decode(ExportedCall.self, from: Data(line.utf8)) } catch {
            throw PlatformFault(
                .malformedBody,
                "A line is not as martlet calls export writes it: \(line.prefix(80))",
                hint: "Import the file as it is."
            )
        }
    }
}
