// SPDX-License-Identifier: Apache-2.0

public import Foundation
import Glibc
import ProcessControl
import Synchronization

/// A real `nats-server` with JetStream that keeps its streams in a folder of its own.
public final class RunningNATS: Sendable {
    /// Where clients connect.
    public let port: Int
    private let folder: TemporaryFolder
    private let arguments: [String]
    private let program: Mutex<RunningProgram>

    /// Whether tests that need it can run; where they have to, a missing program is a failure.
    public static var isThere: Bool {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        return (try? ExecutableLookup.find("nats-server", path: path, in: "/")) != nil
            || ProcessInfo.processInfo.environment["CI"] == "true"
    }

    /// One server for all tests that do not stop it.
    public static let shared = Task { try await RunningNATS() }

    /// Where it keeps its streams.
    public var store: String { "\(folder.path)/store" }

    /// Its URL.
    public var url: String { "nats://127.0.0.1:\(port)" }

    /// Starts one on a free port; `configuration` is added to its file, `arguments` to its command.
    public init(configuration: String = "", arguments: [String] = []) async throws {
        folder = TemporaryFolder()
        let file = folder.write("nats.conf", configuration)
        self.arguments =
            ["nats-server", "-js", "-sd", "\(folder.path)/store", "-a", "127.0.0.1", "-c", file] + arguments
        port = try ReservedPort.claim()
        program = Mutex(try await Self.start(self.arguments + ["-p", "\(port)"]))
    }

    private static func start(_ arguments: [String]) async throws -> RunningProgram {
        let program = try await RunningProgram(arguments, environment: ProcessInfo.processInfo.environment)
        guard await program.prints("Server is ready") else { throw RunningMartlet.StartFailure(output: program.output) }
        return program
    }

    /// What it has printed since it was last started.
    public var output: String { program.withLock { $0.output } }

    /// Ends it, by SIGKILL if nothing else is said.
    public func stop(_ signal: Int32 = SIGKILL) async {
        let running = program.withLock { $0 }
        running.signal(signal)
        _ = await running.exitCode()
    }

    /// Sends it a signal: SIGSTOP freezes it, SIGCONT lets it go on.
    public func signal(_ number: Int32) { program.withLock { $0 }.signal(number) }

    /// Starts it again, on the same port and with what it has kept.
    public func startAgain() async throws {
        let next = try await Self.start(arguments + ["-p", "\(port)"])
        program.withLock { $0 = next }
    }
}
