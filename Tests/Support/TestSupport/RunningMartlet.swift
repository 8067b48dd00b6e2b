// SPDX-License-Identifier: Apache-2.0

public import AsyncHTTPClient
import Foundation
import Glibc
import NIOCore
import ProcessControl
public import SystemClient

/// The real binary with a data directory of its own, as a user starts it.
public final class RunningMartlet: Sendable {
    /// The data directory.
    public let dataDirectory: String
    /// The port of the API and the functions.
    public let port: Int
    /// The port of management, where that is another one; else the same.
    public let managementPort: Int
    /// The port of metrics.
    public let metricsPort: Int
    /// The port of the page; 0 where there is none.
    public let pagePort: Int
    /// What it printed until it was ready.
    public let startText: String
    /// A client with the credentials.
    public let client: SystemClient
    private let login: SystemClient.Login
    /// What follows `Authorization: Basic`.
    public let token: String
    private let program: RunningProgram
    /// Follows no redirects, as the tests want to see them; lives as long as the tests.
    public static let http = SystemClient.makeHTTPClient(verifiesCertificates: false)

    /// Why it, or a program beside it, did not start.
    public struct StartFailure: Error, CustomStringConvertible {
        /// What it printed.
        public let output: String
        /// Keeps what was printed.
        public init(output: String) { self.output = output }
        /// For the test's report.
        public var description: String { output }
    }

    /// Starts `martlet up`, or a part of the platform, on free ports and waits until it says that it is ready.
    ///
    /// `redirection` is what a shell is to do with its output, as `2>file`; `launcher` is a program that becomes it.
    public init(
        _ verb: [String] = ["up"],
        dataDirectory: String,
        arguments: [String] = [],
        environment more: [String: String] = [:],
        redirection: String? = nil,
        launcher: [String] = []
    ) async throws {
        self.dataDirectory = dataDirectory
        var environment = ProcessInfo.processInfo.environment
        environment["HOME"] = dataDirectory
        environment.merge(more) { _, new in new }
        program = try await RunningProgram(
            launcher + (redirection.map { ["/bin/bash", "-c", "exec \"$0\" \"$@\" \($0)"] } ?? []) + [Self.binary.path]
                + verb
                + ["--port", "0", "--metrics-port", "0", "--ui-port", "0"]
                + ["--data-dir", dataDirectory] + arguments,
            environment: environment
        )
        let lastWords =
            switch verb {
            case ["gateway"]: "The gateway is ready at"
            case ["queue-worker"]: "/metrics"
            case ["up"] where arguments.contains("docker"): "Functions run as containers"
            default: "deploy only what you trust."
            }
        guard await program.prints(lastWords) else { throw StartFailure(output: program.output) }
        startText = program.output
        let scheme = startText.contains("is ready at https://") ? "https" : "http"
        port = program.number(after: "is ready at \(scheme)://127.0.0.1:")
        let management = program.number(after: "Manage    \(scheme)://127.0.0.1:")
        managementPort = management == 0 ? port : management
        pagePort = program.number(after: "Page      \(scheme)://127.0.0.1:")
        metricsPort = program.number(after: "Metrics   http://127.0.0.1:")
        let text = (try? String(contentsOfFile: "\(dataDirectory)/basic-auth-password", encoding: .utf8)) ?? ""
        let password = text.trimmingCharacters(in: .whitespacesAndNewlines)
        login = SystemClient.Login(user: "admin", password: password)
        token = Data("admin:\(password)".utf8).base64EncodedString()
        client = SystemClient(baseURL: "\(scheme)://127.0.0.1:\(managementPort)", login: login, http: Self.http)
    }

    /// Everything that it has printed.
    public var output: String { program.output }

    /// Waits until it has printed a text; false when it ended without, or took too long.
    public func prints(_ text: String) async -> Bool { await program.prints(text) }

    /// Sends what tells it to read its files again.
    public func hangUp() { program.signal(SIGHUP) }

    private static let binary = RunningProgram.folder.appendingPathComponent("martlet")

    /// The process's id.
    public var processID: Int32 { program.processID }

    /// Stops it as a user does and returns its exit code.
    public func stop() async -> Int32 {
        program.signal(SIGTERM)
        return await exitCode()
    }

    /// Sends what Ctrl-C sends.
    public func interrupt() { program.signal(SIGINT) }

    /// Waits until it has ended and returns its exit code; that of a signal is negative.
    public func exitCode() async -> Int32 { await program.exitCode() }

    /// Ends it by force, as a power cut does.
    public func kill() async {
        program.signal(SIGKILL)
        _ = await exitCode()
    }

    // MARK: Verbs

    /// Runs a user's verb against this platform, as its user would type it on this machine.
    ///
    /// `OPENFAAS_URL`, `HOME` and the data directory are this platform's.
    public func run(
        _ arguments: String...,
        input: String = "",
        in folder: String? = nil,
        environment more: [String: String] = [:]
    ) async throws -> (code: Int32, output: String, error: String) {
        var environment = ProcessInfo.processInfo.environment
        environment["HOME"] = dataDirectory
        environment["MARTLET_DATA_DIR"] = dataDirectory
        environment["OPENFAAS_URL"] = client.baseURL
        let run = try await ProgramRun.run(
            [Self.binary.path] + arguments,
            environment: environment.merging(more) { _, new in new },
            in: folder ?? dataDirectory,
            input: Array(input.utf8)
        )
        guard case .exited(let code) = run.exit else { return (-1, run.output, run.error) }
        return (code, run.output, run.error)
    }

    /// The number of a metric without labels; 0 where it is not exported.
    public func metric(_ name: String) async throws -> Double {
        let metrics = SystemClient(baseURL: "http://127.0.0.1:\(metricsPort)", login: nil, http: Self.http)
        let answer = try await metrics.send("GET", "/metrics")
        let text = String(decoding: try await metrics.collect(answer), as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
        return line.flatMap { Double($0.dropFirst(name.count + 1)) } ?? 0
    }

    // MARK: Calls

    /// Asks the API; returns status, header fields by lower-case name, and body.
    public func ask(
        _ method: String,
        _ path: String,
        _ body: String? = nil,
        headers: [(name: String, value: String)] = [],
        withLogin: Bool = true
    ) async throws -> (status: Int, headers: [String: String], body: String) {
        let answer = try await client.send(
            method,
            path,
            headers: headers,
            body: body.map { .bytes(Data($0.utf8)) },
            withLogin: withLogin
        )
        let fields = Dictionary(
            answer.headers.map { ($0.name.lowercased(), $0.value) },
            uniquingKeysWith: { first, _ in first }
        )
        return (answer.status, fields, String(decoding: try await client.collect(answer), as: UTF8.self))
    }

    /// What the page shows, to whoever has the credentials.
    public func page() async throws -> String {
        let url = client.baseURL.replacing(":\(managementPort)", with: ":\(pagePort)")
        let page = SystemClient(baseURL: url, login: login, http: Self.http)
        return String(decoding: try await page.collect(page.send("GET", "/ui/")), as: UTF8.self)
    }

    /// Calls a function; returns status, header fields by lower-case name, and body.
    public func call(
        _ path: String,
        method: String = "GET",
        headers: [(name: String, value: String)] = [],
        body: String? = nil
    ) async throws -> (status: Int, headers: [String: String], body: String) {
        try await ask(method, "/function/\(path)", body, headers: headers, withLogin: false)
    }
}
