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
                carried out only there; dead ones stay. All are kept whole for as long as dead calls are: if it breaks \
                off, run it again, and it prints again what it took out before; if they cannot be imported, --undo lets \
                them wait here again.
                """
        )
        @Option(help: "Only this function's.") var function: String?
        @Flag(help: "Take back what was taken out: it waits here again.") var undo = false
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                if undo { return try await takeBack(client) }
                // Those that are taken out now are cancelled before those that were so before are looked at.
                var exported: Set<String> = []
                for state in ["waiting", "dead", "cancelled"] {
                    try await eachCall(in: state, client) { call in
                        guard !exported.contains(call.id), try await export(call.id, client) else { return }
                        exported.insert(call.id)
                    }
                }
                printError("\(exported.count) exported")
            }
        }

        /// Does something with the calls in a state; of the cancelled ones only with those that were taken out.
        private func eachCall(
            in state: String,
            _ client: SystemClient,
            _ work: (CallDescription) async throws -> Void
        ) async throws {
            var (cursor, isMore) = (String?.none, true)
            while isMore {
                let page = try await client.calls(
                    function: function.map { options.address($0) },
                    state: state,
                    since: nil,
                    limit: 1000,
                    cursor: cursor
                )
                for call in page.calls where state != "cancelled" || call.deadReason == MovedCall.reason {
                    try await work(call)
                }
                (cursor, isMore) = (page.next, page.next != nil)
            }
        }

        private func takeBack(_ client: SystemClient) async throws {
            var taken = 0
            try await eachCall(in: "cancelled", client) { call in
                try await client.takeBackCall(call.id)
                taken += 1
            }
            print("\(taken) wait here again")
        }

        /// False for a call that has begun meanwhile.
        ///
        /// One that cannot be printed is given back.
        private func export(_ id: String, _ client: SystemClient) async throws -> Bool {
            do {
                let call = try await client.exportCall(id)
                do { try FileHandle.standardOutput.write(contentsOf: JSONLine.write(call)) } catch {
                    if call.deadReason == nil { try await client.takeBackCall(id) }
                    throw error
                }
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
            discussion: """
                Reads them from standard input. Each is taken in once by its id, so it can be run again. One that is \
                refused keeps no other from being taken in; it is still where it comes from, and waits there again by \
                martlet calls export --undo. Calls that come back to where they were taken out go on there.
                """
        )
        @OptionGroup var options: ClientOptions

        func run() async throws {
            try await options.withClient { client in
                var (imported, known, refused) = (0, 0, 0)
                var functions: Set<String> = []
                while let line = readLine() {
                    guard !line.isEmpty else { continue }
                    let call = try JSONLine.read(line)
                    do {
                        if !functions.contains(call.function) { try await check(call.function, client) }
                        functions.insert(call.function)
                        if try await client.importCall(call) { imported += 1 } else { known += 1 }
                    } catch let fault as PlatformFault where Self.concernsOne(fault) {
                        refused += 1
                        printError("\(call.id): \(fault.message) \(fault.hint ?? "")")
                    }
                }
                print("\(imported) imported, \(known) known before" + (refused > 0 ? ", \(refused) refused" : ""))
                if refused > 0 { throw ExitCode(1) }
            }
        }

        /// Whether it says something of one call alone.
        private static func concernsOne(_ fault: PlatformFault) -> Bool {
            [.bodyTooLarge, .malformedBody, .invalidValue, .functionNotFound].contains(fault.code)
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
