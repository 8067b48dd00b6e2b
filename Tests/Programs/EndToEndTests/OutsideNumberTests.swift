// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import SystemClient
import TestSupport
import Testing

/// Numbers from outside, and calls that may end the platform: it lives on, against the real binary.
struct OutsideNumberTests {
    private let folder = TemporaryFolder()

    private func start(_ environment: [String: String] = [:]) async throws -> RunningMartlet {
        // Looking for where it died takes seconds.
        let quick = ["SWIFT_BACKTRACE": "enable=no"]
        return try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--drain-timeout", "200ms"],
            environment: quick.merging(environment) { _, new in new }
        )
    }

    private func deploy(_ name: String, _ command: String, to martlet: RunningMartlet) async throws {
        try await martlet.client.create(
            FunctionDeployment(
                service: name,
                image: "host",
                envProcess: command,
                envVars: ["exec_timeout": "60s"],
                annotations: ["com.openfaas.retry.attempts": "1"]
            )
        )
    }

    private func send(
        _ path: String,
        _ headers: [(name: String, value: String)],
        to martlet: RunningMartlet
    ) async throws -> Int {
        try await martlet.ask("POST", "/async-function/\(path)", "x", headers: headers, withLogin: false).status
    }

    @Test func `an address, a date or a duration of a caller's is refused or used, and ends nothing`() async throws {
        let martlet = try await start()
        try await deploy("cat", "cat", to: martlet)
        for url in [
            "http://127.0.0.1:65536/", "http://127.0.0.1:0/", "http://[::1]:99999/", "https://127.0.0.1:70000",
            "http://127.0.0.1:99999999999999999999/", "http://gateway:65536/function/cat",
        ] {
            #expect(try await send("cat", [("X-Callback-Url", url)], to: martlet) == 400, "\(url)")
        }
        for moment in ["1677-09-21T00:12:44Z", "1700-01-01T00:00:00Z", "2262-04-11T23:47:16Z", "9999-12-31T23:59:59Z"] {
            _ = try await send("cat", [("X-Run-At", moment)], to: martlet)
        }
        for delay in ["2562047h", "9223372036", "9223372036854775807", "1e300s", "292y", "-1s"] {
            _ = try await send("cat", [("X-Delay", delay)], to: martlet)
            _ = try await martlet.call("cat", headers: [("X-Timeout", delay)])
        }
        for path in ["/system/calls?limit=1000&since=1677-09-21T00:12:44Z", "/system/queue"] {
            #expect(try await martlet.ask("GET", path).status == 200, "\(path)")
        }
        #expect(try await martlet.call("cat", method: "POST", body: "alive").body == "alive")
        for gateway in ["http://127.0.0.1:99999", "127.0.0.1:0", "http://[::1]:70000", "http://h:99999999999999999999"]
        {
            let listed = try await martlet.run("list", "-g", gateway)
            #expect(listed.code == 64 && listed.error.contains("not an address of a gateway"), "\(listed)")
        }
        #expect(await martlet.stop() == 0)
    }

    @Test func `an environment that names no proxy, or a database elsewhere, stops the start with a sentence`()
        async throws
    {
        await #expect {
            _ = try await start(["HTTP_PROXY": "http://127.0.0.1:65536", "http_proxy": ""])
        } throws: { "\($0)".contains("HTTP_PROXY is not an address of a proxy") }
    }

    // MARK: Deaths

    /// Waits until a call runs, and until nothing else does.
    private func runs(_ id: String, on martlet: RunningMartlet) async throws -> Bool {
        try await eventually { try await martlet.client.call(id).state == "running" }
    }

    @Test(arguments: QueueKind.here)
    func `a call alone in flight at two deaths by a fault of the platform is dead, and the others run`(
        queue: QueueKind
    ) async throws {
        let variables = try await queue.variables("t\(UInt64.random(in: 0 ... .max))")
        var martlet = try await start(variables)
        try await deploy("slow", "sleep 60", to: martlet)
        try await deploy("cat", "cat", to: martlet)
        #expect(try await send("slow", [("X-Call-Id", "bad")], to: martlet) == 202)
        for signal in [SIGILL, SIGSEGV] {
            #expect(try await runs("bad", on: martlet))
            Glibc.kill(martlet.processID, signal)
            #expect(await martlet.exitCode() == -signal)
            martlet = try await start(variables)
        }
        #expect(try await eventually { try await martlet.client.call("bad").state == "dead" })
        let call = try await martlet.client.call("bad")
        #expect(call.state == "dead" && call.deadReason == "crashed-platform", "\(call)")
        #expect(martlet.output.contains("given up"), "\(martlet.output)")
        #expect(try await send("cat", [("X-Call-Id", "good")], to: martlet) == 202)
        #expect(try await eventually { try await martlet.client.call("good").state == "succeeded" })
        let numbers = try await martlet.client.queueNumbers().total
        #expect(numbers.dead == 1 && numbers.accepted == 2, "\(numbers)")
        #expect(await martlet.stop() == 0)
    }

    @Test func `several in flight at a death are tried one at a time, and a SIGKILL blames nobody`() async throws {
        var martlet = try await start()
        try await deploy("slow", "sleep 60", to: martlet)
        for id in ["a", "b"] {
            #expect(try await send("slow", [("X-Call-Id", id)], to: martlet) == 202)
            #expect(try await runs(id, on: martlet))
        }
        Glibc.kill(martlet.processID, SIGABRT)
        #expect(await martlet.exitCode() == -SIGABRT)
        for _ in 0..<3 {
            martlet = try await start()
            // One alone has its turn; whichever it is, the other one waits.
            #expect(try await runs("a", on: martlet))
            #expect(try await martlet.client.call("b").state == "waiting")
            await martlet.kill()
        }
        martlet = try await start()
        #expect(try await runs("a", on: martlet))
        #expect(try await martlet.ask("DELETE", "/async-function/a").status == 202)
        #expect(try await runs("b", on: martlet))
        #expect(await martlet.stop() == 0)
    }
}
