// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProcessControl
import Synchronization
import TestSupport
import Testing

/// Something that says it is Martlet and holds the port that Martlet is looked for on.
struct LookAlikeTests {
    private let folder = TemporaryFolder()
    private static let answer =
        "HTTP/1.1 200 OK\r\nX-Served-By: martlet/0.1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"

    /// Runs `martlet` beside a look-alike; returns the run, and what the look-alike was told.
    private func run(
        _ arguments: (_ port: Int) -> [String]
    ) async throws -> (isSuccess: Bool, output: String, heard: String) {
        let heard = Mutex("")
        let other = try await ScriptedOrigin { request in
            heard.withLock { $0 += request }
            return [.send(Self.answer)]
        }
        let run = try await ProgramRun.run(
            [RunningProgram.folder.appendingPathComponent("martlet").path] + arguments(other.port),
            environment: [
                "HOME": folder.path, "MARTLET_DATA_DIR": folder.path + "/data",
                "OPENFAAS_URL": "http://127.0.0.1:\(other.port)",
            ],
            in: folder.path
        )
        return (run.isSuccess, run.output + run.error, heard.withLock { $0 })
    }

    @Test func `neither up nor any other verb tells it the password`() async throws {
        folder.write("data/basic-auth-password", "secret\n")
        folder.write("data/basic-auth-user", "admin\n")
        let stack = folder.write("stack.yaml", "functions: {env: {image: host, fprocess: env}}")
        let up = try await run { ["up", "--port", "\($0)", "--metrics-port", "0", "--ui-port", "0", "--file", stack] }
        #expect(!up.isSuccess && up.output.contains("cannot listen on"), "\(up)")
        #expect(up.heard.isEmpty, "\(up.heard)")
        for verb in [["list"], ["deploy", "-f", stack, "--no-wait"], ["secret", "list"], ["calls", "list"]] {
            let run = try await run { _ in verb }
            #expect(!run.heard.isEmpty && !run.heard.lowercased().contains("authorization"), "\(verb) \(run)")
        }
    }

    @Test func `a gateway that wants a password which is not its own is told how to get it`() async throws {
        folder.write("data/basic-auth-password", "secret\n")
        let other = try await ScriptedOrigin { _ in
            [.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 19\r\n\r\ninvalid credentials")]
        }
        for verb in [["list"], ["deploy", "env", "--image", "host", "--fprocess", "env"]] {
            let run = try await ProgramRun.run(
                [RunningProgram.folder.appendingPathComponent("martlet").path] + verb,
                environment: [
                    "HOME": folder.path, "MARTLET_DATA_DIR": folder.path + "/data",
                    "OPENFAAS_URL": "http://127.0.0.1:\(other.port)",
                ],
                in: folder.path
            )
            #expect(!run.isSuccess && run.error.contains("martlet login --gateway"), "\(run.error)")
        }
    }
}
