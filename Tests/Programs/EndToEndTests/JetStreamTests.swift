// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NATSClient
import NIOCore
import SystemClient
import TestSupport
import Testing

/// What a queue on NATS JetStream adds: several workers, and a server that can go away.
@Suite(.serialized, .enabled(if: RunningNATS.isThere))
struct JetStreamTests {
    private let folder = TemporaryFolder()
    private let queueName = "t\(UInt64.random(in: 0 ... .max))"

    private func variables(_ url: String, _ more: [String: String] = [:]) -> [String: String] {
        [
            "MARTLET_NATS_URL": url, "queue_name": queueName, "initial_retry_wait": "200ms", "max_retry_wait": "1s",
            "backoff": "exponential", "ack_wait": "2s",
        ].merging(more) { _, new in new }
    }

    private func start(
        _ url: String,
        _ more: [String: String] = [:],
        _ arguments: String...
    ) async throws
        -> RunningMartlet
    {
        try await RunningMartlet(
            dataDirectory: "\(folder.path)/data",
            arguments: arguments,
            environment: variables(url, more)
        )
    }

    private func startWorker(_ name: String, of martlet: RunningMartlet, _ url: String) async throws -> RunningMartlet {
        try await RunningMartlet(
            ["queue-worker"],
            dataDirectory: "\(folder.path)/data",
            arguments: ["--gateway-url", martlet.client.baseURL],
            environment: variables(url, ["MARTLET_WORKER_NAME": name])
        )
    }

    /// Deploys a function that writes a line into a file for each call.
    private func deployLedger(_ rest: String = "", on martlet: RunningMartlet) async throws {
        let program = folder.write(
            "ledger.sh",
            "#!/bin/sh\necho \"$Http_X_Call_Id\" >> \(folder.path)/ledger\n\(rest)\n",
            isExecutable: true
        )
        try await martlet.client.create(
            FunctionDeployment(service: "note", image: "host", envProcess: program, envVars: ["exec_timeout": "60s"])
        )
    }

    private var lines: [String] {
        let text = (try? String(contentsOfFile: "\(folder.path)/ledger", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map(String.init)
    }

    private func send(
        _ id: String,
        to martlet: RunningMartlet,
        _ body: String = "x"
    ) async throws -> (status: Int, headers: [String: String], body: String) {
        try await martlet.ask(
            "POST",
            "/async-function/note",
            body,
            headers: [("X-Call-Id", id)],
            withLogin: false
        )
    }

    private func hasSucceeded(
        _ count: Int,
        on martlet: RunningMartlet,
        within limit: Duration = .seconds(60)
    )
        async throws -> Bool
    {
        try await eventually(within: limit) {
            let numbers = try await martlet.client.queueNumbers().total
            return numbers.succeeded == count && numbers.accepted == count
        }
    }

    // MARK: Workers

    @Test func `workers share the calls of a function, and nobody else carries any out`() async throws {
        let url = try await RunningNATS.shared.value.url
        let martlet = try await start(url, [:], "--async-worker", "false")
        try await deployLedger("sleep 0.1", on: martlet)
        for number in 0..<3 { #expect(try await send("early-\(number)", to: martlet).status == 202) }
        #expect(try await martlet.client.queueNumbers().total.waiting == 3)
        var workers: [RunningMartlet] = []
        for name in ["one", "two"] { workers.append(try await startWorker(name, of: martlet, url)) }
        for number in 0..<100 { #expect(try await send("call-\(number)", to: martlet).status == 202) }
        #expect(try await hasSucceeded(103, on: martlet))
        #expect(Set(lines).count == 103 && lines.count == 103, "\(lines.count) runs")
        for worker in workers {
            let name = "queue_worker_messages_processed_total{queue_name=\"\(queueName)\""
            let text = try await metrics(of: worker)
            let count = text.split(separator: "\n").first { $0.hasPrefix(name) }?.split(separator: " ").last
            #expect(count.flatMap { Double($0) } ?? 0 > 10, "\(text)")
            #expect(text.contains("queue_worker_pending_messages{queue_name=\"\(queueName)\""))
            #expect(text.contains("queue_worker_nats_reconnect_total 0\n"))
            #expect(await worker.stop() == 0)
        }
        #expect(await martlet.stop() == 0)
    }

    private func metrics(of martlet: RunningMartlet) async throws -> String {
        let client = SystemClient(
            baseURL: "http://127.0.0.1:\(martlet.metricsPort)",
            login: nil,
            http: RunningMartlet.http
        )
        return String(decoding: try await client.collect(try await client.send("GET", "/metrics")), as: UTF8.self)
    }

    @Test func `what a killed worker held is carried out by another, once its lease is over`() async throws {
        let url = try await RunningNATS.shared.value.url
        let martlet = try await start(url, [:], "--async-worker", "false")
        try await deployLedger("[ -e \(folder.path)/go ] || exec sleep 60", on: martlet)
        let first = try await startWorker("one", of: martlet, url)
        #expect(try await send("held", to: martlet).status == 202)
        #expect(await eventually { lines == ["held"] })
        await first.kill()
        folder.write("go", "")
        let second = try await startWorker("two", of: martlet, url)
        #expect(try await hasSucceeded(1, on: martlet, within: .seconds(20)))
        #expect(lines == ["held", "held"])
        #expect(try await martlet.client.call("held").attempts.map(\.number) == [1])
        #expect(await second.stop() == 0)
        #expect(await martlet.stop() == 0)
    }

    /// `MARTLET_TEST_KILLS` makes it longer.
    @Test func `whatever worker is killed at whatever moment, every 202 runs and no success runs twice`() async throws {
        let kills = ProcessInfo.processInfo.environment["MARTLET_TEST_KILLS"].flatMap { Int($0) } ?? 10
        let url = try await RunningNATS.shared.value.url
        let martlet = try await start(url, [:], "--async-worker", "false")
        try await deployLedger(on: martlet)
        let record = CrashRecord()
        var workers: [RunningMartlet] = []
        for name in ["one", "two"] { workers.append(try await startWorker(name, of: martlet, url)) }
        for kill in 1...kills {
            for number in 0..<Int.random(in: 1...30) {
                let id = "k\(kill)-\(number)"
                record.noteSent(id)
                if try await send(id, to: martlet).status == 202 { record.notePromised(id) }
            }
            let done = try await martlet.client.calls(
                function: nil,
                state: "succeeded",
                since: nil,
                limit: 1000,
                cursor: nil
            )
            record.noteSuccesses(done.calls.map(\.id), lines)
            let victim = Int.random(in: 0...1)
            await workers[victim].kill()
            // Under its own name, as after a crash, or under another one, as a worker elsewhere.
            workers[victim] = try await startWorker(kill.isMultiple(of: 2) ? "n\(kill)" : "one", of: martlet, url)
        }
        #expect(try await hasSucceeded(record.promised.count, on: martlet))
        let seen = Dictionary(grouping: lines, by: \.self).mapValues(\.count)
        #expect(record.promised.subtracting(seen.keys).isEmpty, "never ran: \(record.promised.subtracting(seen.keys))")
        #expect(Set(seen.keys).subtracting(record.sent).isEmpty, "invented")
        for (id, count) in record.successes { #expect(seen[id] == count, "\(id) ran after its success") }
        for worker in workers { #expect(await worker.stop() == 0) }
        #expect(await martlet.stop() == 0)
    }

    // MARK: The server

    @Test func `a NATS server that is killed and started again in the midst of it all loses nothing`() async throws {
        let nats = try await RunningNATS()
        let martlet = try await start(nats.url)
        try await deployLedger(on: martlet)
        let record = CrashRecord()
        for round in 1...3 {
            await withTaskGroup(of: Void.self) { group in
                for client in 0..<4 {
                    group.addTask {
                        for number in 0... {
                            guard !record.isStopped() else { return }
                            let id = "r\(round)-c\(client)-\(number)"
                            record.noteSent(id)
                            if (try? await self.send(id, to: martlet).status) == 202 { record.notePromised(id) }
                        }
                    }
                }
                let enough = record.promised.count + 100
                _ = await eventually { record.promised.count >= enough }
                await nats.stop()
                try? await nats.startAgain()
                _ = await eventually { record.promised.count >= enough + 50 }
                record.stop()
            }
            record.go()
        }
        #expect(
            try await eventually(within: .seconds(60)) {
                let numbers = try await martlet.client.queueNumbers().total
                return numbers.waiting + numbers.running == 0
            }
        )
        #expect(record.promised.subtracting(lines).isEmpty, "never ran: \(record.promised.subtracting(lines))")
        #expect(Set(lines).subtracting(record.sent).isEmpty, "invented: \(Set(lines).subtracting(record.sent))")
        let numbers = try await martlet.client.queueNumbers().total
        #expect(numbers.succeeded == numbers.accepted && numbers.accepted >= record.promised.count, "\(numbers)")
        #expect(await martlet.stop() == 0)
        await nats.stop(SIGTERM)
    }

    @Test func `while the NATS server is away new calls get 503 and other calls work; it may come later`() async throws
    {
        let nats = try await RunningNATS()
        let martlet = try await start(nats.url)
        try await deployLedger(on: martlet)
        #expect(try await send("before", to: martlet).status == 202)
        #expect(try await hasSucceeded(1, on: martlet))
        await nats.stop()
        let refused = try await send("away", to: martlet)
        #expect(refused.status == 503 && refused.body.contains("NATS"), "\(refused)")
        #expect(refused.headers["retry-after"] != nil && refused.headers["x-openfaas-internal"] != nil)
        #expect(try await martlet.call("note", method: "POST", body: "x").status == 200)
        try await nats.startAgain()
        #expect(try await eventually { try await self.send("after", to: martlet).status == 202 })
        #expect(try await eventually { try await martlet.client.call("after").state == "succeeded" })
        #expect(try await metrics(of: martlet).contains("gateway_nats_reconnect_total 1\n"))
        #expect(await martlet.stop() == 0)
        await nats.stop(SIGTERM)
        // Started before its server.
        let early = try await start(nats.url)
        #expect(early.startText.contains("asynchronous calls get 503"), "\(early.startText)")
        #expect(try await send("early", to: early).status == 503)
        try await nats.startAgain()
        #expect(try await eventually { try await self.send("late", to: early).status == 202 })
        #expect(try await eventually { try await early.client.call("late").state == "succeeded" })
        #expect(await early.stop() == 0)
        await nats.stop(SIGTERM)
    }

    @Test func `three servers lose one, and no call is lost`() async throws {
        let cluster = try await NATSCluster()
        let martlet = try await start(cluster.url, ["nats_stream_replicas": "3"])
        try await deployLedger(on: martlet)
        // The three have to find each other, and a leader for each stream.
        #expect(try await eventually(within: .seconds(60)) { try await self.send("first", to: martlet).status == 202 })
        for number in 0..<20 { #expect(try await send("before-\(number)", to: martlet).status == 202) }
        await cluster.servers[0].stop()
        var promised = Set((0..<20).map { "before-\($0)" })
        for number in 0..<20 where try await send("after-\(number)", to: martlet).status == 202 {
            promised.insert("after-\(number)")
        }
        #expect(promised.count > 30, "\(promised.count) were accepted")
        #expect(await eventually(within: .seconds(60)) { promised.subtracting(lines).isEmpty })
        #expect(
            try await eventually(within: .seconds(60)) {
                let numbers = try await martlet.client.queueNumbers().total
                return numbers.succeeded == numbers.accepted && numbers.accepted >= promised.count
            }
        )
        #expect(await martlet.stop() == 0)
        for server in cluster.servers { await server.stop() }
    }

    // MARK: Moving

    @Test func `waiting and dead calls move from one queue to the other, each once, however often they are moved`()
        async throws
    {
        let file = folder.path + "/calls"
        let old = try await RunningMartlet(dataDirectory: "\(folder.path)/old")
        let new = try await start(try await RunningNATS.shared.value.url)
        for martlet in [old, new] { try await deployLedger("if [ \"$(cat)\" = fail ]; then exit 1; fi", on: martlet) }
        try await old.client.update(
            FunctionDeployment(
                service: "note",
                image: "host",
                envProcess: "\(folder.path)/ledger.sh",
                annotations: ["com.openfaas.retry.attempts": "1"]
            )
        )
        #expect(try await eventually { try await old.client.function("note", in: nil).martlet?.readyRevision == 2 })
        #expect(try await send("fallen", to: old, "fail").status == 202)
        #expect(try await eventually { try await old.client.call("fallen").state == "dead" })
        for number in 0..<5 {
            let headers = [("X-Call-Id", "moved-\(number)"), ("X-Delay", number == 0 ? "1h" : "10s")]
            let answer = try await old.ask(
                "POST",
                "/async-function/note",
                "x\(number)",
                headers: headers.map { (name: $0.0, value: $0.1) },
                withLogin: false
            )
            #expect(answer.status == 202)
        }
        // A first attempt that broke off, so to speak: what it printed is lost.
        _ = try await old.run("calls", "export")
        let exported = try await old.run("calls", "export")
        #expect(exported.code == 0 && exported.error.contains("6 exported"), "\(exported.error)")
        #expect(try await old.client.queueNumbers().total.waiting == 0)
        try Data(exported.output.utf8).write(to: URL(fileURLWithPath: file))
        for expected in ["6 imported, 0 known before\n", "0 imported, 6 known before\n"] {
            let imported = try await new.run("calls", "import", input: exported.output)
            #expect(imported.code == 0 && imported.output == expected, "\(imported)")
        }
        #expect(try await eventually { try await new.client.queueNumbers().total.succeeded == 4 })
        #expect(Set(lines) == ["fallen", "moved-1", "moved-2", "moved-3", "moved-4"] && lines.count == 5, "\(lines)")
        let dead = try await new.client.call("fallen")
        #expect(dead.state == "dead" && dead.attempts.map(\.status) == [500], "\(dead)")
        #expect(try await new.client.call("moved-0").state == "waiting")
        #expect(try await old.client.call("moved-1").deadReason == "exported")
        #expect(try await new.client.callResult("moved-3").isEmpty)
        let line = try #require(exported.output.split(separator: "\n").first { $0.contains("\"moved-1\"") })
        for (was, bad) in [("\"id\":\"moved-1\"", "\"id\":\"a\\r\\nb\""), ("note.openfaas-fn", "a>.b")] {
            let changed = line.replacing(was, with: bad)
            #expect(changed != line, "\(line)")
            let refused = try await new.ask("POST", "/system/calls/import", String(changed))
            #expect(refused.status == 400, "\(refused)")
        }
        for martlet in [old, new] { #expect(await martlet.stop() == 0) }
    }

    @Test func `doctor tells of a server that is away, and warns of a single one`() async throws {
        let nats = try await RunningNATS()
        let martlet = try await start(nats.url)
        let environment = variables(nats.url)
        let doctor = try await martlet.run("doctor", environment: environment)
        #expect(doctor.output.contains("note    NATS: calls are kept on one server"), "\(doctor)")
        await nats.stop()
        let away = try await martlet.run("doctor", environment: environment)
        #expect(away.code == 1 && away.output.contains("PROBLEM NATS: "), "\(away)")
        #expect(await martlet.stop() == 0)
    }

    // MARK: Limits and access

    @Test func `a body beyond what the server takes gets 413 with that limit`() async throws {
        let nats = try await RunningNATS(configuration: "max_payload: 65536\n")
        let martlet = try await start(nats.url)
        try await deployLedger(on: martlet)
        let refused = try await send("large", to: martlet, String(repeating: "x", count: 60_000))
        #expect(refused.status == 413 && refused.body.contains("65536"), "\(refused)")
        #expect(try await send("small", to: martlet, String(repeating: "x", count: 30_000)).status == 202)
        #expect(try await hasSucceeded(1, on: martlet))
        #expect(await martlet.stop() == 0)
        await nats.stop(SIGTERM)
    }

    @Test func `a server that wants a password gets it, and a wrong one is named at the start`() async throws {
        let nats = try await RunningNATS(configuration: "authorization { user: faas, password: \"s3cret\" }\n")
        let wrong = try await start("nats://faas:wrong@127.0.0.1:\(nats.port)")
        #expect(wrong.startText.contains("asynchronous calls get 503"), "\(wrong.startText)")
        #expect(await wrong.prints("Authorization Violation"), "\(wrong.output)")
        #expect(!wrong.output.contains("wrong@"))
        #expect(await wrong.stop() == 0)
        let martlet = try await start("nats://faas:s3cret@127.0.0.1:\(nats.port)")
        try await deployLedger(on: martlet)
        #expect(try await send("a", to: martlet).status == 202)
        #expect(try await hasSucceeded(1, on: martlet))
        #expect(await martlet.stop() == 0)
        await nats.stop(SIGTERM)
    }

    @Test func `a server of an operator lets us in by the credentials of a file`() async throws {
        let accounts = try NATSAccounts()
        let nats = try await RunningNATS(configuration: accounts.configuration(in: folder))
        let martlet = try await start(nats.url, ["MARTLET_NATS_CREDS": accounts.credentials(in: folder)])
        try await deployLedger(on: martlet)
        #expect(try await send("a", to: martlet).status == 202, "\(martlet.output)")
        #expect(try await hasSucceeded(1, on: martlet))
        #expect(await martlet.stop() == 0)
        await nats.stop(SIGTERM)
    }

    @Test func `a server that speaks TLS is checked against the authorities of a file`() async throws {
        try #require(await OpenSSL.isThere(), "openssl is missing")
        let (certificate, key) = ("\(folder.path)/cert.pem", "\(folder.path)/key.pem")
        let made = await OpenSSL.run(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            key,
            "-out",
            certificate
        )
        try #require(made.isSuccess, "\(made.output)")
        let nats = try await RunningNATS(
            configuration: "tls { cert_file: \"\(certificate)\", key_file: \"\(key)\" }\n"
        )
        let url = "tls://localhost:\(nats.port)"
        let martlet = try await start(url, ["MARTLET_NATS_CA": certificate])
        try await deployLedger(on: martlet)
        #expect(try await send("a", to: martlet).status == 202)
        #expect(try await hasSucceeded(1, on: martlet))
        #expect(await martlet.stop() == 0)
        await nats.stop(SIGTERM)
    }

    @Test func `the message of a call is OpenFaaS' QueueRequest (§7.2)`() async throws {
        let url = try await RunningNATS.shared.value.url
        let martlet = try await start(url)
        try await deployLedger(on: martlet)
        let connection = try NATSConnection(NATSConnection.Settings(servers: [url], name: "listener"))
        let (messages, continuation) = AsyncStream.makeStream(of: NATSMessage.self)
        try connection.subscribe(to: "\(queueName).requests.>", headers: ["Nats-Msg-Id"]) { continuation.yield($0) }
        let answer = try await martlet.ask(
            "POST",
            "/async-function/note/a/b?c=d",
            "<&>",
            headers: [("X-Call-Id", "seen"), ("x-thing", "7"), ("X-Callback-Url", "http://example.com:81/cb?k=1")],
            withLogin: false
        )
        #expect(answer.status == 202)
        var iterator = messages.makeAsyncIterator()
        let message = try #require(await iterator.next())
        #expect(message.headers == ["seen"])
        let json = try JSONSerialization.jsonObject(with: Data(message.payload.readableBytesView)) as? [String: Any]
        let object = try #require(json)
        #expect(object["Method"] as? String == "POST" && object["Function"] as? String == "note.openfaas-fn")
        #expect(object["Path"] as? String == "/a/b" && object["QueryString"] as? String == "c=d")
        #expect(object["Body"] as? String == Data("<&>".utf8).base64EncodedString())
        #expect(object["QueueName"] as? String == queueName && object["Host"] as? String == "127.0.0.1:\(martlet.port)")
        let header = try #require(object["Header"] as? [String: [String]])
        #expect(header["X-Call-Id"] == ["seen"] && header["X-Thing"] == ["7"])
        let callback = try #require(object["CallbackUrl"] as? [String: Any])
        #expect(callback["Scheme"] as? String == "http" && callback["Host"] as? String == "example.com:81")
        #expect(callback["Path"] as? String == "/cb" && callback["RawQuery"] as? String == "k=1")
        connection.close()
        #expect(await martlet.stop() == 0)
    }
}

/// Three servers that know each other, on loopback.
private struct NATSCluster {
    let servers: [RunningNATS]
    var url: String { servers.map(\.url).joined(separator: ",") }

    init() async throws {
        let ports = try (0..<3).map { _ in try ReservedPort.claim() }
        let routes = ports.map { "nats://127.0.0.1:\($0)" }.joined(separator: ", ")
        servers = try await withThrowingTaskGroup(of: RunningNATS.self) { group in
            for (number, port) in ports.enumerated() {
                group.addTask {
                    try await RunningNATS(
                        configuration: """
                            server_name: s\(number)
                            cluster { name: test, listen: "127.0.0.1:\(port)", routes: [\(routes)] }

                            """
                    )
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }
}
