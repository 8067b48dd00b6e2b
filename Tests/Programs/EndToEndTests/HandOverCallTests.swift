// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import SystemClient
import TestSupport
import Testing

/// What becomes of calls that are in flight, or wait, when a program takes another's place.
struct HandOverCallTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: String...) async throws -> RunningMartlet {
        let arguments = ["--drain-timeout", "60s"] + arguments
        return try await RunningMartlet(dataDirectory: folder.path, arguments: arguments)
    }

    private var gate: String { "\(folder.path)/gate" }

    /// Answers one call after another, each when the gate is open; before it listens it waits for the same gate where it is
    /// to start slowly.
    private func server(startsSlowly: Bool) -> String {
        folder.write(
            "serve",
            """
            #!/usr/bin/env python3
            import http.server, os, time
            def wait():
                while not os.path.exists("\(gate)"): time.sleep(0.01)
            class Answer(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    wait()
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
            \(startsSlowly ? "wait()" : "")
            http.server.HTTPServer(("127.0.0.1", int(os.environ["OWN_PORT"])), Answer).serve_forever()
            """,
            isExecutable: true
        )
    }

    private func deploy(on martlet: RunningMartlet, startsSlowly: Bool) async throws {
        let port = try ReservedPort.claim()
        try await martlet.client.create(
            FunctionDeployment(
                service: "fixed",
                image: "host",
                envProcess: server(startsSlowly: startsSlowly),
                envVars: [
                    "mode": "http", "upstream_url": "http://127.0.0.1:\(port)", "OWN_PORT": "\(port)",
                    "max_inflight": "1", "exec_timeout": "0",
                ]
            )
        )
    }

    private let inFlight = "gateway_function_invocation_inflight{function_name=\"fixed.openfaas-fn\"}"

    @Test(.timeLimit(.minutes(2)), arguments: [false, true])
    func `calls that wait for a function with a port of its own are answered, and so are those that come later`(
        isAsleep: Bool
    ) async throws {
        let old = try await start()
        try await deploy(on: old, startsSlowly: isAsleep)
        if isAsleep {
            _ = try await old.client.scale("fixed", in: nil, to: 0)
        } else {
            #expect(try await eventually { try await isReady(old) })
        }
        try await withThrowingTaskGroup(of: Int.self) { calls in
            for _ in 0..<4 { calls.addTask { try await old.call("fixed").status } }
            #expect(try await eventually { try await old.metric(inFlight) == 4 })
            let new = try await start("--replace")
            calls.addTask { try await new.call("fixed").status }
            #expect(try await eventually { try await new.metric(inFlight) == 1 })
            folder.write("gate", "")
            for try await status in calls { #expect(status == 200) }
            #expect(await old.exitCode() == 0, "\(old.output)")
            #expect(try await new.call("fixed").status == 200)
            #expect(await new.stop() == 0)
        }
    }

    private func isReady(_ martlet: RunningMartlet) async throws -> Bool {
        try await martlet.client.function("fixed", in: nil, includingUsage: false).availableReplicas == 1
    }

    @Test func `a successor that is told to stop leaves the calls of the one before to it`() async throws {
        let old = try await start()
        try await old.client.create(FunctionDeployment(service: "fixed", image: "host", envProcess: "cat"))
        let held = try RawConnection(port: old.port)
        try await held.send("POST /function/fixed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        #expect(try await eventually { try await old.metric(inFlight) == 1 })
        let new = try await start("--replace", "--drain-timeout", "1s")
        #expect(await new.stop() == 0, "\(new.output)")
        try await held.send("cde")
        #expect(try await held.receive(until: "cde").contains("cde"))
        #expect(await old.exitCode() == 0, "\(old.output)")
    }
}
