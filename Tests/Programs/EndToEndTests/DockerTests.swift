// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import TestSupport
import Testing

/// The whole platform with functions as containers of a real engine.
@Suite(.enabled(if: RunningEngine.isThere), .timeLimit(.minutes(5)))
struct DockerTests {
    private let folder = TemporaryFolder()

    private func start(_ engine: RunningEngine) async throws -> RunningMartlet {
        try await RunningMartlet(
            dataDirectory: folder.path,
            arguments: ["--provider", "docker"],
            environment: ["DOCKER_HOST": "unix://\(engine.socket)"]
        )
    }

    /// The ids of the engine's running containers of a function.
    private func containers(_ engine: RunningEngine, of name: String) async throws -> [Substring] {
        let filters = "%7B%22label%22%3A%5B%22com.martlet.function%3D\(name).openfaas-fn%22%5D%7D"
        let list = try await engine.ask([], "/containers/json?filters=\(filters)")
        return list.split(separator: "\"Id\":\"").dropFirst().map { $0.prefix(64) }
    }

    @Test func `a function is deployed, called, scaled to zero, called again and removed`() async throws {
        let engine = try await RunningEngine.shared.value
        let martlet = try await start(engine)
        let deployed = try await martlet.run("deploy", "life", "--image", RunningEngine.function, "--env", "WORD=said")
        #expect(deployed.code == 0, "\(deployed.output)\(deployed.error)")
        #expect(try await martlet.call("life/env").body.contains("WORD=said"))
        #expect(try await martlet.run("scale", "life", "0").code == 0)
        #expect(try await eventually { try await containers(engine, of: "life").isEmpty })
        #expect(try await martlet.call("life/again").body.hasPrefix("GET /again"))
        let logs = try await martlet.run("logs", "life")
        #expect(logs.output.contains("life-1-1 listens") && logs.output.contains("life-1-2 listens"), "\(logs.output)")
        #expect(try await martlet.run("remove", "life").code == 0)
        #expect(try await eventually { try await containers(engine, of: "life").isEmpty })
        #expect(await martlet.stop() == 0)
    }

    @Test func `a Martlet that is killed finds its containers again, and one that stops leaves none`() async throws {
        let engine = try await RunningEngine.shared.value
        let first = try await start(engine)
        #expect(try await first.run("deploy", "found", "--image", RunningEngine.function).code == 0)
        #expect(try await first.call("found").status == 200)
        let before = try await containers(engine, of: "found")
        #expect(before.count == 1)
        await first.kill()
        let second = try await start(engine)
        #expect(try await second.call("found").status == 200)
        #expect(try await containers(engine, of: "found") == before)
        #expect(await second.stop() == 0)
        #expect(try await containers(engine, of: "found").isEmpty)
        #expect(!second.output.contains("is not heard"), "\(second.output)")
    }

    @Test func `without an engine it says whose fault that is`() async throws {
        await #expect {
            _ = try await RunningMartlet(
                dataDirectory: folder.path,
                arguments: ["--provider", "docker"],
                environment: ["DOCKER_HOST": "unix://\(folder.path)/none.sock"]
            )
        } throws: {
            ($0 as? RunningMartlet.StartFailure)?.output.contains("No Docker engine answers") == true
        }
    }
}
