// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import ProcessControl

/// A Docker Engine of the tests' own, which ends with them and leaves nothing (`Tests/Support/Containers/engine.sh`).
public final class RunningEngine: Sendable {
    /// What did not work, and what the engine or the tool said.
    public struct Failure: Error {
        /// All of it.
        public let output: String
    }

    /// Whether tests that need one can run; where they have to, a missing program is a failure.
    public static var isThere: Bool {
        if ProcessInfo.processInfo.environment["CI"] == "true" { return true }
        return geteuid() == 0 && ["dockerd", "unshare", "ip", "gcc"].allSatisfy { find($0) }
    }

    private static func find(_ program: String) -> Bool {
        (try? ExecutableLookup.find(program, path: path, in: "/")) != nil
    }

    private static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// One engine for all tests that do not stop it.
    public static let shared = Task { try await RunningEngine() }

    /// A whole image in one program (`Tests/Support/Containers/function.c`): it serves HTTP on 8080 as the user 10001.
    public static let function = "martlet-test/function:1"

    /// Where clients connect.
    public let socket: String
    /// The address of its bridge, which is this machine's.
    public let bridge: String
    private let folder: String
    private let program: RunningProgram

    /// Starts one, with the image of the function.
    public init() async throws {
        let number = UInt32.random(in: 0..<1 << 14)
        // Short: the path of a socket has 107 bytes.
        folder = "/tmp/martlet-engine-\(getpid())-\(number)"
        socket = "\(folder)/docker.sock"
        bridge = "10.\(192 + number >> 8).\(number & 0xFF).1"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        program = try await RunningProgram(
            [
                "/bin/sh", Repository.file("Tests/Support/Containers/engine.sh").path, folder, "\(getpid())",
                "mt\(number)", "\(bridge)/24",
            ],
            environment: ["PATH": Self.path]
        )
        guard await program.prints("API listen on"), access(socket, F_OK) == 0 else {
            throw Failure(output: program.output)
        }
        try await makeImage()
    }

    /// What it has printed.
    public var output: String { program.output }

    /// Sends it a signal: SIGKILL ends it with all of its containers.
    public func signal(_ number: Int32) { program.signal(number) }

    private func makeImage() async throws {
        let context = TemporaryFolder()
        let source = Repository.file("Tests/Support/Containers/function.c").path
        try await Self.run(["gcc", "-static", "-O1", "-o", "\(context.path)/function", source])
        context.write(
            "Dockerfile",
            """
            FROM scratch
            COPY function /function
            USER 10001
            EXPOSE 8080
            ENV FROM_IMAGE=yes
            ENTRYPOINT ["/function"]
            """
        )
        let archive = "\(context.path)/context.tar"
        try await Self.run(["tar", "-C", context.path, "-cf", archive, "Dockerfile", "function"])
        let built = try await ask(
            ["-X", "POST", "-H", "Content-Type: application/x-tar", "--data-binary", "@\(archive)"],
            "/build?rm=1&t=\(Self.function)"
        )
        guard built.contains("Successfully tagged") else { throw Failure(output: built) }
    }

    /// Asks the engine something by `curl`, whose options come first; for what a test does behind Martlet's back.
    @discardableResult
    public func ask(_ options: [String], _ path: String) async throws -> String {
        try await Self.run(["curl", "-s", "--unix-socket", socket] + options + ["http://engine/v1.41\(path)"])
    }

    @discardableResult
    private static func run(_ arguments: [String]) async throws -> String {
        let run = try await ProgramRun.run(arguments, environment: ["PATH": path], in: "/")
        guard run.isSuccess else { throw Failure(output: run.output + run.error) }
        return run.output
    }
}
