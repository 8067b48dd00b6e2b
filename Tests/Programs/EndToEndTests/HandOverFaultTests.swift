// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// What goes wrong while one program takes another's place: whoever is left goes on serving.
struct HandOverFaultTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: String...) async throws -> RunningMartlet {
        try await RunningMartlet(dataDirectory: folder.path, arguments: arguments)
    }

    /// What a successor says first.
    private var hello: String {
        get throws {
            var lock = stat()
            try #require(stat(folder.path + "/lock", &lock) == 0)
            return "martlet 1 \(lock.st_dev)-\(lock.st_ino)"
        }
    }

    private func deploy(on martlet: RunningMartlet) async throws {
        try await martlet.client.create(FunctionDeployment(service: "env", image: "host", envProcess: "cat"))
        #expect(try await martlet.call("env").status == 200)
    }

    /// Whether a call by a connection of its own, whose answer may be long in coming, succeeds.
    private func isCalled(_ connection: RawConnection) async throws -> Bool {
        try await connection.send("GET /function/env HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return try await connection.receive().hasPrefix("HTTP/1.1 200 ")
    }

    /// Takes over until the other one has said a word, or until `go`, and goes away.
    private func quit(at stage: String) async throws {
        let quitter = try #require(MessageSocket.connect(folder: folder.path, name: "successor"))
        quitter.send(.init(try hello))
        while let message = await quitter.next() {
            for descriptor in message.descriptors { close(descriptor) }
            let word = message.text.split(separator: " ").first.map(String.init)
            if word == stage { return }
            guard word == "listeners" else { continue }
            quitter.send(.init("go"))
            if stage == "go" { return }
        }
    }

    @Test(.timeLimit(.minutes(2)), arguments: ["go", "stores"])
    func `a successor that ends before it is ready leaves one that serves, and no call fails`(
        stage: String
    )
        async throws
    {
        let path = folder.path + "/m.sock"
        let martlet = try await start("--socket", path)
        try await deploy(on: martlet)
        let held = try RawConnection(port: martlet.port)
        try await held.send("POST /function/env HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        let inFlight = "gateway_function_invocation_inflight{function_name=\"env.openfaas-fn\"}"
        #expect(try await eventually { try await martlet.metric(inFlight) == 1 })
        try await quit(at: stage)
        // Nobody is refused, neither on a port nor on a socket in the file system.
        let waiting = [try RawConnection(port: martlet.port), try RawConnection(path: path)]
        try await held.send("cde")
        #expect(try await held.receive(until: "abcde").hasPrefix("HTTP/1.1 200 "))
        for connection in waiting { #expect(try await isCalled(connection), "\(martlet.output)") }
        #expect(martlet.output.contains("this one starts again"))
        let later = try await martlet.ask("POST", "/async-function/env", "", headers: [("X-Call-Id", "later")])
        #expect(later.status == 202)
        #expect(try await eventually { try await martlet.client.call("later").state == "succeeded" })
        let next = try await start("--replace", "--socket", path)
        #expect(await martlet.exitCode() == 0 && next.port == martlet.port, "\(martlet.output)")
        #expect(await next.stop() == 0)
    }

    @Test(.timeLimit(.minutes(2)))
    func `one that hangs is waited for no longer than ten seconds, and serves on when it wakes`() async throws {
        let martlet = try await start()
        try await deploy(on: martlet)
        kill(martlet.processID, SIGSTOP)
        let failure = await #expect(throws: RunningMartlet.StartFailure.self) { try await start("--replace") }
        kill(martlet.processID, SIGCONT)
        let output = failure?.output ?? ""
        #expect(output.contains("Waiting for process \(martlet.processID),"), "\(output)")
        #expect(output.contains("process \(martlet.processID), does not answer"), "\(output)")
        #expect(try await martlet.call("env").status == 200)
        #expect(await martlet.stop() == 0)
    }

    @Test(.timeLimit(.minutes(2)), arguments: ["martlet.sqlite", "calls.sqlite"])
    func `a database that is damaged is found before anybody is disturbed`(name: String) async throws {
        let martlet = try await start()
        try await deploy(on: martlet)
        let path = "\(folder.path)/\(name)"
        let good = path + ".good"
        // The one that runs has its file open by whatever name it has.
        try #require(rename(path, good) == 0)
        _ = folder.write(name, String(repeating: "no database", count: 100))
        let failure = await #expect(throws: RunningMartlet.StartFailure.self) { try await start("--replace") }
        #expect(failure?.output.contains("(\(name)) cannot be used") == true, "\(failure?.output ?? "")")
        try #require(rename(good, path) == 0)
        #expect(!martlet.output.contains("another Martlet"))
        #expect(try await martlet.call("env").status == 200)
        #expect(await martlet.stop() == 0)
    }
}
