// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// What goes over with the sockets, in the forms that a platform can have.
struct HandOverFormsTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: [String], environment: [String: String] = [:]) async throws -> RunningMartlet {
        try await RunningMartlet(dataDirectory: folder.path, arguments: arguments, environment: environment)
    }

    private func deploy(_ program: String, on martlet: RunningMartlet) async throws {
        try await martlet.client.create(FunctionDeployment(service: "fn", image: "host", envProcess: program))
        #expect(try await martlet.call("fn").status == 200)
    }

    @Test(.enabled("needs openssl: scripts/test --with-peers", OpenSSL.isThere))
    func `management's port, encrypted ones and a socket in the file system go over, and calls in flight end`()
        async throws
    {
        let authority = try await TestAuthority()
        let identity = try await authority.issue("DNS:one.example")
        let path = folder.path + "/m.sock"
        let arguments = ["--management-port", "0", "--tls-cert", identity.certificate, "--tls-key", identity.key]
        let old = try await start(arguments + ["--socket", path])
        try await deploy("cat", on: old)
        let rested = try RawConnection(path: path)
        try await rested.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try await rested.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
        let held = try RawConnection(path: path)
        try await held.send("POST /function/fn HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        let inFlight = "gateway_function_invocation_inflight{function_name=\"fn.openfaas-fn\"}"
        #expect(try await eventually { try await old.metric(inFlight) == 1 })

        let new = try await start(arguments + ["--socket", path, "--replace"])
        #expect(new.port == old.port && new.managementPort == old.managementPort && new.pagePort == old.pagePort)
        #expect(try await old.client.functions(in: nil).map(\.name) == ["fn"], "encrypted, on a kept connection")
        #expect(try await new.call("fn", method: "POST", body: "x").body == "x")
        let plain = try RawConnection(port: new.port)
        try await plain.send("GET /system/functions HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(!(try await plain.receive().contains("200")), "encrypted it is still")
        try await rested.send("POST /function/fn HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\ny")
        #expect(try await rested.receive(until: "y").hasPrefix("HTTP/1.1 200 "))
        try await held.send("cde")
        #expect(try await held.receive(until: "cde").hasPrefix("HTTP/1.1 200 "))
        #expect(await old.exitCode() == 0, "\(old.output)")
        #expect(SocketFile.listener(at: path) == new.processID)
        #expect(await new.stop() == 0)
        #expect(access(path, F_OK) != 0)
        withExtendedLifetime(authority) {}
    }

    @Test func `a port that the settings leave out is nobody's any more`() async throws {
        let old = try await start(["--management-port", "0"])
        let new = try await start(["--replace"])
        #expect(await old.exitCode() == 0 && new.port == old.port)
        #expect(throws: RawConnection.Failure.self) { try RawConnection(port: old.managementPort) }
        #expect(await new.stop() == 0)
    }

    @Test(.enabled(if: RunningNATS.isThere))
    func `calls for later that a queue on NATS has are accepted and carried out all the while`() async throws {
        let ledger = folder.path + "/ledger"
        let program = folder.write("note.sh", "#!/bin/sh\necho \"$Http_X_Call_Id\" >> \(ledger)\n", isExecutable: true)
        let variables = [
            "MARTLET_NATS_URL": try await RunningNATS.shared.value.url,
            "queue_name": "t\(UInt64.random(in: 0 ... .max))",
            "ack_wait": "2s", "initial_retry_wait": "200ms",
        ]
        var martlet = try await start([], environment: variables)
        try await deploy(program, on: martlet)
        var sent: Set<String> = []
        for round in 0..<2 {
            let before = martlet
            async let successor = start(["--replace"], environment: variables)
            for number in 0..<40 {
                let id = "call-\(round)-\(number)"
                let answer = try await before.ask("POST", "/async-function/fn", "x", headers: [("X-Call-Id", id)])
                #expect(answer.status == 202, "\(id): \(answer)")
                sent.insert(id)
            }
            martlet = try await successor
            #expect(await before.exitCode() == 0, "\(before.output)")
        }
        let last = martlet
        #expect(
            try await eventually {
                let numbers = try await last.client.queueNumbers().total
                return numbers.succeeded == sent.count && numbers.accepted == sent.count
            }
        )
        let text = try String(contentsOfFile: ledger, encoding: .utf8)
        #expect(sent.isSubset(of: text.split(separator: "\n").map(String.init)))
        #expect(await last.stop() == 0)
    }
}
