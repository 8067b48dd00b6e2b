// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// The real `fwatchdog` on free loopback ports, as an image starts it.
public final class RunningWatchdog: Sendable {
    /// The port of calls.
    public let port: Int
    /// The port of metrics.
    public let metricsPort: Int
    /// Where its lock file lies.
    public let folder = TemporaryFolder()
    private let program: RunningProgram

    /// Where the program is.
    public static let binary = RunningProgram.folder.appendingPathComponent("fwatchdog").path

    /// Why it did not start.
    public struct StartFailure: Error {
        /// What it printed.
        public let output: String
        /// How it ended.
        public let exitCode: Int32
    }

    /// Starts it with variables, and waits until it has written its lock file, or says that it writes none.
    public init(_ variables: [String: String]) async throws {
        var environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "TMPDIR": folder.path,
            "listen_address": "127.0.0.1", "port": "0", "metrics_port": "0", "healthcheck_interval": "100ms",
        ]
        environment.merge(variables) { _, new in new }
        program = try await RunningProgram([Self.binary], environment: environment, in: folder.path)
        let isQuiet = ["true", "1"].contains(variables["suppress_lock"])
        guard await program.prints(isQuiet ? "suppress_lock" : "Writing lock-file") else {
            throw StartFailure(output: program.output, exitCode: await program.exitCode())
        }
        port = program.number(after: "Listening on port: ")
        metricsPort = program.number(after: "Metrics listening on port: ")
    }

    /// The process's id.
    public var processID: Int32 { program.processID }

    /// Everything that it has printed.
    public var output: String { program.output }

    /// Waits until it has printed a text; false when it ended without.
    public func prints(_ text: String) async -> Bool { await program.prints(text) }

    /// Sends bytes on a connection of its own and returns everything until it closes.
    public func exchange(_ request: String, port: Int? = nil) async throws -> String {
        let connection = try RawConnection(port: port ?? self.port)
        try await connection.send(request)
        return try await connection.receive()
    }

    /// Sends a request that closes its connection, and returns the answer.
    public func call(
        _ line: String = "GET / HTTP/1.1",
        _ fields: String = "",
        body: String = ""
    ) async throws -> String {
        let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
        return try await exchange("\(line)\r\nHost: fn:8080\r\nConnection: close\r\n\(length)\(fields)\r\n\(body)")
    }

    /// What it exports.
    public func metrics() async throws -> String {
        try await exchange("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", port: metricsPort)
    }

    /// Sends what an orchestrator sends.
    public func terminate() { program.signal(SIGTERM) }

    /// Waits until it has ended.
    public func exitCode() async -> Int32 { await program.exitCode() }

    /// Stops it and returns its exit code.
    public func stop() async -> Int32 {
        terminate()
        return await exitCode()
    }
}
