// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import SystemClient
import TestSupport
import Testing

/// Clients and functions that misbehave, against the real binary: each is told what is wrong, and nobody else suffers.
@Suite(.serialized)
struct BadInputTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: String..., environment: [String: String] = [:]) async throws -> RunningMartlet {
        try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: arguments,
            environment: environment
        )
    }

    private func deploy(
        _ name: String,
        _ command: String,
        _ variables: [String: String] = [:],
        labels: [String: String]? = nil,
        to martlet: RunningMartlet
    ) async throws {
        let deployment = FunctionDeployment(service: name, image: "host", envProcess: command, envVars: variables)
        var labelled = deployment
        labelled.labels = labels
        try await martlet.client.create(labelled)
    }

    @Test func `what is too large is refused by its size, and nothing is stored`() async throws {
        let martlet = try await start(environment: ["MARTLET_BODY_LIMIT": "100000"])
        try await deploy("cat", "cat", to: martlet)
        let padding = String(repeating: "x", count: 5 << 20)
        let body = #"{"service":"large","image":"host","envProcess":"cat","envVars":{"A":"\#(padding)"}}"#
        // By hand, here and below: a client of a library gives up when it finds the other side closed while it still sends.
        let deploying = try RawConnection(port: martlet.port)
        try? await deploying.send(
            "POST /system/functions HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\nAuthorization: Basic \(martlet.token)\r\n\r\n\(body)"
        )
        #expect(try await deploying.receive().hasPrefix("HTTP/1.1 413 "))
        for path in ["/system/functions", "/function/cat"] {
            let connection = try RawConnection(port: martlet.port)
            try? await connection.send("GET \(path) HTTP/1.1\r\nHost: a\r\nX-Large: \(padding.prefix(100_000))\r\n\r\n")
            #expect(try await connection.receive().hasPrefix("HTTP/1.1 431 "))
        }
        let call = try await martlet.call("cat", method: "POST", body: String(padding.prefix(100_001)))
        #expect(call.status == 413 && call.body.contains("100000 bytes"), "\(call.status) \(call.body.prefix(80))")
        #expect(try await martlet.call("cat", method: "POST", body: String(padding.prefix(100_000))).status == 200)
        #expect(try await martlet.call("nobody", method: "POST", body: String(padding.prefix(90_000))).status == 404)
        #expect(try await martlet.client.functions(in: nil).map(\.name) == ["cat"])
        _ = await martlet.stop()
    }

    @Test func `a function that never listens is ended, and its calls and its status say so`() async throws {
        let martlet = try await start()
        let quick = ["com.martlet.start.timeout": "200ms"]
        try await deploy("deaf", "sleep 1000", ["mode": "http"], labels: quick, to: martlet)
        #expect(try await eventually { try await martlet.client.function("deaf", in: nil).martlet?.state == .failing })
        let reason = try await martlet.client.function("deaf", in: nil).martlet?.reason ?? ""
        #expect(reason.contains("did not listen on port") && reason.contains("200ms"), "\(reason)")
        let call = try await martlet.call("deaf", headers: [("X-Timeout", "300ms")])
        #expect(call.status == 504 && call.body.contains("did not listen on port"), "\(call)")
        #expect(call.headers["x-openfaas-internal"] != nil)
        try await deploy("brief", "true", ["mode": "http"], to: martlet)
        #expect(try await eventually { try await martlet.client.function("brief", in: nil).martlet?.state == .failing })
        let brief = try await martlet.call("brief", headers: [("X-Timeout", "300ms")])
        #expect(brief.status == 504 && brief.body.contains("exited with status 0"), "\(brief)")
        _ = await martlet.stop()
    }

    @Test func `a client that goes away ends the process that works for it, and nothing else`() async throws {
        let martlet = try await start()
        try await deploy("yes", "yes", to: martlet)
        try await deploy("cat", "cat", to: martlet)
        let connection = try RawConnection(port: martlet.port)
        try await connection.send("GET /function/yes HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try await connection.receive(until: "y\ny\n").hasPrefix("HTTP/1.1 200 "))
        #expect(processes(named: "yes", of: martlet) == 1)
        connection.close()
        #expect(await eventually { processes(named: "yes", of: martlet) == 0 })
        #expect(try await martlet.call("cat", method: "POST", body: "on").body == "on")
        _ = await martlet.stop()
    }

    @Test func `a client that dawdles is cut off with a sentence`() async throws {
        let martlet = try await start(environment: ["read_timeout": "2s"])
        try await deploy("count", "wc -c", to: martlet)
        for part in [
            "POST /function/count HTTP/1.1\r\nHos",
            "POST /function/count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal",
        ] {
            let connection = try RawConnection(port: martlet.port)
            try await connection.send(part)
            let answer = try await connection.receive()
            #expect(answer.hasPrefix("HTTP/1.1 408 ") && answer.contains("Connection: close"), "\(part) \(answer)")
        }
        #expect(await eventually { processes(named: "wc", of: martlet) == 0 })
        _ = await martlet.stop()
    }

    @Test func `a data directory that cannot be written stops the start and is named`() async throws {
        let failure = await #expect(throws: RunningMartlet.StartFailure.self) {
            // Not even root makes folders there.
            try await RunningMartlet(dataDirectory: "/proc/martlet")
        }
        #expect(failure?.output.contains("/proc/martlet") == true, "\(failure?.output ?? "")")
        #expect(failure?.output.contains("--data-dir") == true)
    }

    @Test func `when descriptors run out what is open goes on, and others get in when some are back`() async throws {
        let binary = RunningProgram.folder.appendingPathComponent("martlet").path
        let ports = "--port 0 --metrics-port 0 --ui-port 0"
        let command = "ulimit -n 100 && exec \(binary) up \(ports) --data-dir \(folder.path)/data"
        let program = try await RunningProgram(
            ["sh", "-c", command],
            environment: ["PATH": "/usr/bin:/bin", "HOME": folder.path]
        )
        #expect(await program.prints("deploy only what you trust."), "\(program.output)")
        let port = program.number(after: "is ready at http://127.0.0.1:")
        let health = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        let early = try RawConnection(port: port)
        try await early.send(health)
        #expect(try await early.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        var crowd = (0..<200).compactMap { _ in try? RawConnection(port: port) }
        #expect(crowd.count == 200)
        try await early.send(health)
        #expect(try await early.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        crowd.removeAll()
        let late = try RawConnection(port: port)
        try await late.send(health)
        #expect(try await late.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        program.signal(SIGTERM)
        #expect(await program.exitCode() == 0)
    }

    @Test func `the first interrupt lets calls end, the second ends at once`() async throws {
        let gate = folder.path + "/gate"
        #expect(mkfifo(gate, 0o600) == 0)
        let patient = try await start()
        try await deploy("wait", "cat \(gate)", ["exec_timeout": "0"], to: patient)
        let call = try RawConnection(port: patient.port)
        try await call.send("GET /function/wait HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { processes(named: "cat", of: patient) == 1 })
        patient.interrupt()
        #expect(await eventually { (try? RawConnection(port: patient.port)) == nil }, "it still accepts")
        FileHandle(forWritingAtPath: gate)?.write(Data("opened".utf8))
        let answer = try await call.receive()
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("opened"), "\(answer)")
        #expect(await patient.exitCode() == 0)

        let hasty = try await start()
        let stuck = try RawConnection(port: hasty.port)
        try await stuck.send("GET /function/wait HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(await eventually { processes(named: "cat", of: hasty) == 1 })
        hasty.interrupt()
        #expect(await eventually { (try? RawConnection(port: hasty.port)) == nil })
        let begun = ContinuousClock.now
        hasty.interrupt()
        #expect(await hasty.exitCode() == 1)
        #expect(ContinuousClock.now - begun < .seconds(5), "it waited for its calls")
    }

    /// Children of a platform that run a program.
    private func processes(named program: String, of martlet: RunningMartlet) -> Int {
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return processes.count { process in
            guard Int(process) != nil, let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
            else { return false }
            let fields = stat.split(separator: " ")
            return fields.count > 4 && fields[1] == "(\(program))" && fields[2] != "Z"
                && fields[3] == "\(martlet.processID)"
        }
    }
}
