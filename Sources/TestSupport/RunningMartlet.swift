// SPDX-License-Identifier: Apache-2.0

public import AsyncHTTPClient
import Foundation
import NIOCore
public import SystemClient

/// The real binary with a data directory of its own, as a user starts it.
public final class RunningMartlet: Sendable {
    /// The data directory.
    public let dataDirectory: String
    /// The port of the API and the functions.
    public let port: Int
    /// The port of metrics.
    public let metricsPort: Int
    /// What it printed until it was ready.
    public let startText: String
    /// A client with the credentials.
    public let client: SystemClient
    private let process: Process
    /// Follows no redirects, as the tests want to see them; lives as long as the tests.
    public static let http = SystemClient.makeHTTPClient()

    /// Why it did not start.
    public struct StartFailure: Error, CustomStringConvertible {
        /// What it printed.
        public let output: String
        /// For the test's report.
        public var description: String { output }
    }

    /// Starts `martlet up` on free ports and waits until it says that it is ready.
    public init(dataDirectory: String, arguments: [String] = []) async throws {
        self.dataDirectory = dataDirectory
        process = Process()
        process.executableURL = Self.binary
        process.arguments =
            ["up", "--port", "0", "--metrics-port", "0", "--data-dir", dataDirectory] + arguments
        var environment = ProcessInfo.processInfo.environment
        environment["HOME"] = dataDirectory
        process.environment = environment
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        startText = try await Self.readUntilReady(output.fileHandleForReading)
        port = Self.number(after: "is ready at http://127.0.0.1:", in: startText)
        metricsPort = Self.number(after: "Metrics   http://127.0.0.1:", in: startText)
        let password = (try? String(contentsOfFile: "\(dataDirectory)/basic-auth-password", encoding: .utf8)) ?? ""
        client = SystemClient(
            baseURL: "http://127.0.0.1:\(port)",
            login: SystemClient.Login(
                user: "admin",
                password: password.trimmingCharacters(in: .whitespacesAndNewlines)
            ),
            http: Self.http
        )
    }

    /// The `martlet` beside the test bundle.
    static var binary: URL {
        let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") } ?? Bundle.main
        var folder = bundle.bundleURL.deletingLastPathComponent()
        if !FileManager.default.fileExists(atPath: folder.appendingPathComponent("martlet").path) {
            folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        }
        return folder.appendingPathComponent("martlet")
    }

    /// The process's id.
    public var processID: Int32 { process.processIdentifier }

    /// Stops it as a user does and returns its exit code.
    public func stop() async -> Int32 {
        process.terminate()
        return await ended()
    }

    /// Ends it by force, as a power cut does.
    public func kill() async {
        Foundation.kill(process.processIdentifier, SIGKILL)
        _ = await ended()
    }

    private func ended() async -> Int32 {
        let process = process
        return await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                process.waitUntilExit()
                continuation.resume(returning: process.terminationStatus)
            }
        }
    }

    /// Reads on after the start, so that a full pipe never stops the program.
    private static func readUntilReady(_ handle: FileHandle) async throws -> String {
        try await withCheckedThrowingContinuation { continuation in
            let thread = Thread {
                var text = ""
                var isReady = false
                while true {
                    let data = handle.availableData
                    if data.isEmpty { break }
                    guard !isReady else { continue }
                    text += String(decoding: data, as: UTF8.self)
                    guard text.contains("deploy only what you trust.") else { continue }
                    isReady = true
                    continuation.resume(returning: text)
                }
                if !isReady { continuation.resume(throwing: StartFailure(output: text)) }
            }
            thread.start()
        }
    }

    private static func number(after text: String, in output: String) -> Int {
        guard let start = output.range(of: text)?.upperBound else { return 0 }
        return Int(output[start...].prefix { $0.isNumber }) ?? 0
    }

    // MARK: Calls

    /// Calls a function; returns status, header fields by lower-case name, and body.
    public func call(
        _ path: String,
        method: String = "GET",
        headers: [(name: String, value: String)] = [],
        body: String? = nil
    ) async throws -> (status: Int, headers: [String: String], body: String) {
        let answer = try await client.send(
            method,
            "/function/\(path)",
            headers: headers,
            body: body.map { .bytes(Data($0.utf8)) },
            withLogin: false
        )
        let fields = Dictionary(
            answer.headers.map { ($0.name.lowercased(), $0.value) },
            uniquingKeysWith: { first, _ in first }
        )
        return (answer.status, fields, String(decoding: try await client.collect(answer), as: UTF8.self))
    }
}
