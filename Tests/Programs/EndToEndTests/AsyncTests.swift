// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import SystemClient
import TestSupport
import Testing

/// Where asynchronous calls are kept.
enum QueueKind: String, CaseIterable, CustomTestStringConvertible {
    case embedded
    case jetStream

    /// Those that can be tested here.
    static var here: [QueueKind] { RunningNATS.isThere ? allCases : [.embedded] }

    var testDescription: String { rawValue }

    /// What tells a platform to use it; `name` keeps the queues of tests apart.
    func variables(_ name: String) async throws -> [String: String] {
        guard self == .jetStream else { return [:] }
        return [
            "MARTLET_NATS_URL": try await RunningNATS.shared.value.url, "queue_name": name,
            "MARTLET_WORKER_NAME": "martlet",
        ]
    }
}

/// Asynchronous calls through the real binary (contract §7), whatever keeps them.
struct AsyncTests {
    private let folder = TemporaryFolder()
    private let queueName = "t\(UInt64.random(in: 0 ... .max))"

    private func start(_ queue: QueueKind, _ arguments: String...) async throws -> RunningMartlet {
        let variables = [
            "initial_retry_wait": "200ms", "max_retry_wait": "200ms", "backoff": "exponential",
            // More than a busy machine gets through while a test looks.
            "max_retry_attempts": "100",
        ]
        return try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: arguments,
            environment: variables.merging(try await queue.variables(queueName)) { _, new in new }
        )
    }

    private func deploy(
        _ name: String,
        _ fprocess: String,
        on martlet: RunningMartlet,
        environment: [String: String] = [:],
        annotations: [String: String] = [:]
    ) async throws {
        try await martlet.client.create(
            FunctionDeployment(
                service: name,
                image: "host",
                envProcess: fprocess,
                envVars: environment,
                annotations: annotations
            )
        )
    }

    /// A program that writes a line into a file for each call, then does what it is told.
    private func ledger(_ rest: String = "", line: String = "$Http_X_Call_Id") -> String {
        folder.write(
            "ledger-\(UUID().uuidString).sh",
            "#!/bin/sh\necho \"\(line)\" >> \(folder.path)/ledger\n\(rest)\n",
            isExecutable: true
        )
    }

    private var lines: [String] {
        let text = (try? String(contentsOfFile: "\(folder.path)/ledger", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").map(String.init)
    }

    private func send(
        _ path: String,
        _ body: String = "",
        _ headers: [(name: String, value: String)] = [],
        to martlet: RunningMartlet
    ) async throws -> (status: Int, headers: [String: String], body: String) {
        try await martlet.ask("POST", "/async-function/\(path)", body, headers: headers, withLogin: false)
    }

    /// Waits until a call is in a state; asked for, since the API pushes no states.
    private func isCall(_ id: String, _ state: String, on martlet: RunningMartlet) async throws -> Bool {
        try await eventually { try await martlet.client.call(id).state == state }
    }

    // MARK: Accepting and carrying out

    @Test(arguments: QueueKind.here)
    func `a call reaches its function as a synchronous one would, and its fate can be seen (§7.1, §29)`(
        queue: QueueKind
    )
        async throws
    {
        let martlet = try await start(queue)
        try await deploy("env", "env", on: martlet)
        try await deploy("cat", "cat", on: martlet, environment: ["content_type": "text/plain"])
        let accepted = try await send(
            "env/a%20b?c=d",
            "body",
            [("X-Call-Id", "mine"), ("X-Thing", "7"), ("X-Callback-Url", "http://gateway:8080/function/cat/cb?k=1")],
            to: martlet
        )
        #expect(accepted.status == 202 && accepted.body.isEmpty)
        #expect(accepted.headers["x-call-id"] == "mine" && accepted.headers["x-martlet-call-id"] == "mine")
        #expect(accepted.headers["x-start-time"] != nil)
        #expect(try await isCall("mine", "succeeded", on: martlet))
        let result = try await martlet.ask("GET", "/system/calls/mine/result")
        #expect(
            result.headers["content-disposition"] == "attachment"
                && result.headers["x-content-type-options"] == "nosniff"
        )
        let seen = String(decoding: try await martlet.client.callResult("mine"), as: UTF8.self)
        for line in ["Http_Method=POST", "Http_Path=/a b", "Http_Query=c=d", "Http_X_Thing=7", "Http_X_Call_Id=mine"] {
            #expect(seen.contains(line), "\(line) is missing in \(seen)")
        }
        #expect(!seen.lowercased().contains("callback") && seen.contains("Http_X_Forwarded_For=127.0.0.1\n"))
        #expect(seen.contains("Http_X_Forwarded_Host=127.0.0.1:\(martlet.port)\n"), "\(seen)")
        #expect(try await eventually { try await martlet.client.call("mine").callback?.state == "delivered" })
        let page = try await martlet.page()
        #expect(page.contains("<dt>Asynchronous</dt><dd>1 succeeded</dd>"), "\(page)")
        let call = try await martlet.client.call("mine")
        #expect(call.attempts.count == 1 && call.result?.status == 200 && call.path == "/a%20b", "\(call)")
        // The call and its callback: both are invocations.
        let metrics = try await martlet.client.function("cat", in: nil).invocationCount
        #expect(metrics == 1)
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here) func `what cannot be accepted is refused at once, with a sentence (§7.1, §28)`(
        queue: QueueKind
    ) async throws {
        let martlet = try await start(queue, "--async-body-limit", "1000")
        try await deploy("cat", "cat", on: martlet)
        let unknown = try await send("nobody", to: martlet)
        #expect(unknown.status == 404 && unknown.body.contains("nobody.openfaas-fn"))
        for (name, value) in [
            ("X-Callback-Url", "/relative"), ("X-Callback-Url", "ftp://host/x"), ("X-Callback-Url", "http:///x"),
            ("X-Callback-Url", "http://h/" + String(repeating: "x", count: 8000)),
            ("X-Delay", "soon"), ("X-Run-At", "tomorrow"), ("Idempotency-Key", String(repeating: "k", count: 256)),
        ] {
            let refused = try await send("cat", "", [(name, value)], to: martlet)
            #expect(refused.status == 400 && refused.body.contains(name), "\(name): \(refused)")
        }
        let both = try await send("cat", "", [("X-Delay", "1s"), ("X-Run-At", "2026-01-02T15:04:05Z")], to: martlet)
        #expect(both.status == 400)
        let large = try await send("cat", String(repeating: "x", count: 1001), to: martlet)
        #expect(large.status == 413 && large.body.contains("1000 bytes"), "\(large)")
        let get = try await martlet.ask("GET", "/async-function/cat", withLogin: false)
        #expect(get.status == 405)
        #expect(try await martlet.ask("DELETE", "/async-function/x", withLogin: false).status == 401)
        #expect(try await martlet.ask("GET", "/system/calls", withLogin: false).status == 401)
        #expect(try await martlet.client.queueNumbers().total.accepted == 0)
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here)
    func `an idempotency key answers with the first call's ids, and the call runs once`(queue: QueueKind) async throws {
        let martlet = try await start(queue)
        try await deploy("note", ledger(), on: martlet)
        let first = try await send("note", "", [("Idempotency-Key", "k")], to: martlet)
        let again = try await send("note", "", [("Idempotency-Key", "k")], to: martlet)
        #expect(again.status == 202 && again.headers["x-martlet-duplicate"] == "true")
        #expect(again.headers["x-martlet-call-id"] == first.headers["x-martlet-call-id"])
        #expect(again.headers["x-call-id"] == first.headers["x-call-id"])
        let id = try #require(first.headers["x-martlet-call-id"])
        #expect(try await isCall(id, "succeeded", on: martlet))
        #expect(lines == [id])
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here)
    func `a call is tried again, then dead, and can be sent again when its function is mended (§7.4)`(
        queue: QueueKind
    )
        async throws
    {
        let martlet = try await start(queue)
        try await deploy(
            "flaky",
            ledger("exit 1"),
            on: martlet,
            annotations: ["com.openfaas.retry.attempts": "3", "com.openfaas.retry.min_wait": "10ms"]
        )
        let id = try #require(try await send("flaky", "x", to: martlet).headers["x-martlet-call-id"])
        #expect(try await isCall(id, "dead", on: martlet))
        let call = try await martlet.client.call(id)
        #expect(call.attempts.map(\.status) == [500, 500, 500] && call.attempts.map(\.number) == [1, 2, 3])
        #expect(call.attempts.allSatisfy { $0.fault == "function" } && call.deadReason?.contains("3 attempts") == true)
        #expect(lines.count == 3)
        try await martlet.client.update(FunctionDeployment(service: "flaky", image: "host", envProcess: "cat"))
        #expect(
            try await eventually { try await martlet.client.function("flaky", in: nil).martlet?.readyRevision == 2 }
        )
        #expect(try await martlet.client.retryDeadCalls(of: "flaky") == 1)
        #expect(try await isCall(id, "succeeded", on: martlet))
        #expect(try await martlet.client.callResult(id) == Data("x".utf8))
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here)
    func `a call waits for its time, and can be cancelled while it waits and while it runs (§7.1)`(
        queue: QueueKind
    ) async throws {
        let martlet = try await start(queue)
        try await deploy("slow", ledger("exec sleep 60"), on: martlet, environment: ["exec_timeout": "60s"])
        let begun = ContinuousClock.now
        let delayed = try await send("slow", "", [("X-Delay", "500ms"), ("X-Call-Id", "later")], to: martlet)
        #expect(delayed.status == 202)
        _ = try await send("slow", "", [("X-Delay", "1h"), ("X-Call-Id", "never")], to: martlet)
        #expect(try await martlet.ask("DELETE", "/async-function/never").status == 202)
        #expect(try await isCall("later", "running", on: martlet))
        #expect(ContinuousClock.now - begun >= .milliseconds(500))
        #expect(await eventually { lines == ["later"] })
        #expect(try await martlet.ask("DELETE", "/async-function/later").status == 202)
        #expect(try await martlet.client.call("later").state == "cancelled")
        #expect(try await martlet.ask("DELETE", "/async-function/later").status == 409)
        #expect(try await martlet.ask("DELETE", "/async-function/unknown").status == 404)
        let numbers = try await martlet.client.queueNumbers().total
        #expect(numbers.cancelled == 2 && numbers.waiting == 0 && numbers.running == 0, "\(numbers)")
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here)
    func `a slow function delays nobody, and no more calls run at a time than it takes (§7.4)`(
        queue: QueueKind
    ) async throws {
        let martlet = try await start(queue, "--drain-timeout", "200ms")
        try await deploy("slow", "sleep 60", on: martlet, environment: ["exec_timeout": "60s", "max_inflight": "2"])
        try await deploy("quick", "cat", on: martlet)
        for _ in 0..<20 { _ = try await send("slow", to: martlet) }
        let id = try #require(try await send("quick", "x", to: martlet).headers["x-martlet-call-id"])
        #expect(try await isCall(id, "succeeded", on: martlet))
        let slow = try #require(
            try await martlet.client.queueNumbers().functions.first { $0.function == "slow.openfaas-fn" }
        )
        #expect(slow.running == 2 && slow.waiting == 18, "\(slow)")
        try await martlet.client.delete("slow", in: nil)
        #expect(try await eventually { try await self.dead("slow", on: martlet) >= 18 })
        // Sent again, they die again, each once: there still is no such function.
        let sent = try await martlet.client.retryDeadCalls(of: "slow")
        #expect(sent >= 18)
        #expect(try await eventually { try await self.dead("slow", on: martlet) >= sent })
        #expect(await martlet.stop() == 0)
    }

    private func dead(_ name: String, on martlet: RunningMartlet) async throws -> Int {
        try await martlet.client.queueNumbers().functions.first { $0.function == "\(name).openfaas-fn" }?.dead ?? 0
    }

    @Test(arguments: QueueKind.here) func `a function at zero is started for its asynchronous calls (§6)`(
        queue: QueueKind
    ) async throws {
        let martlet = try await start(queue)
        try await deploy("cat", "cat", on: martlet)
        try await martlet.client.scale("cat", in: nil, to: 0)
        #expect(try await eventually { try await martlet.client.function("cat", in: nil).martlet?.state == .idle })
        let id = try #require(try await send("cat", "x", to: martlet).headers["x-martlet-call-id"])
        #expect(try await isCall(id, "succeeded", on: martlet))
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here) func `the verbs list, show, send again, cancel, forget and count`(
        queue: QueueKind
    ) async throws {
        let martlet = try await start(queue)
        try await deploy("cat", "cat", on: martlet, environment: ["content_type": "text/plain"])
        let sent = try await martlet.run("invoke", "cat", "--async", input: "hello")
        #expect(sent.code == 0, "\(sent)")
        let printed = sent.output.trimmingCharacters(in: .whitespacesAndNewlines)
        let id = try #require(
            try await martlet.client.calls(function: nil, state: nil, since: nil, limit: 1, cursor: nil).calls.first?.id
        )
        #expect(try await isCall(id, "succeeded", on: martlet))
        #expect(printed == id)
        #expect(try await martlet.run("calls", "list").output.contains(id))
        let shown = try await martlet.run("calls", "show", id)
        #expect(shown.output.contains("succeeded") && shown.output.contains("1. "), "\(shown)")
        #expect(try await martlet.run("calls", "show", id, "--result").output == "hello")
        #expect(try await martlet.run("calls", "retry", id).code == 0)
        #expect(try await isCall(id, "succeeded", on: martlet))
        let count = try await martlet.run("calls", "count")
        #expect(count.output.contains("cat.openfaas-fn"), "\(count)")
        let cancelled = try await martlet.run("calls", "cancel", id)
        #expect(cancelled.code == 1 && cancelled.error.contains("over"), "\(cancelled)")
        #expect(try await martlet.run("calls", "purge", "--state", "succeeded").output == "1 forgotten\n")
        let gone = try await martlet.run("calls", "show", id)
        #expect(gone.code == 1 && gone.error.contains("There is no call"), "\(gone)")
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here) func `metrics tell of the queue under OpenFaaS' names (§12.5)`(
        queue: QueueKind
    ) async throws {
        let martlet = try await start(queue)
        try await deploy("cat", "cat", on: martlet)
        let id = try #require(try await send("cat", "x", to: martlet).headers["x-martlet-call-id"])
        #expect(try await isCall(id, "succeeded", on: martlet))
        let metrics = SystemClient(
            baseURL: "http://127.0.0.1:\(martlet.metricsPort)",
            login: nil,
            http: RunningMartlet.http
        )
        let text = String(decoding: try await metrics.collect(try await metrics.send("GET", "/metrics")), as: UTF8.self)
        let name = queue == .embedded ? "faas-request" : queueName
        for line in [
            "queue_worker_messages_submitted_total 1",
            "queue_worker_messages_processed_total{queue_name=\"\(name)\",kubernetes_pod_name=\"martlet\"} 1",
            "queue_worker_pending_messages{queue_name=\"\(name)\",function_name=\"cat.openfaas-fn\"} 0",
            "martlet_queue_drift{queue_name=\"\(name)\",function_name=\"cat.openfaas-fn\"} 0",
            "gateway_function_invocation_started{function_name=\"cat.openfaas-fn\"} 1",
        ] {
            #expect(text.contains(line), "\(line) is missing")
        }
        #expect(await martlet.stop() == 0)
    }

    // MARK: Callbacks

    @Test(arguments: QueueKind.here)
    func
        `a callback brings the answer with what the receiver wants to know, and outlasts a receiver that is away (§7.3)`(
            queue: QueueKind
        )
        async throws
    {
        let port = try ReservedPort.claim()
        let martlet = try await start(queue)
        try await deploy("cat", "cat", on: martlet, environment: ["content_type": "text/x-thing"])
        let url = "http://127.0.0.1:\(port)/cb?k=1"
        _ = try await send("cat", "Hi", [("X-Callback-Url", url), ("X-Call-Id", "eb82")], to: martlet)
        #expect(try await eventually { try await martlet.client.call("eb82").callback?.attempts ?? 0 >= 2 })
        #expect(try await martlet.client.call("eb82").callback?.state == "waiting")
        let receiver = try await ScriptedOrigin(port: port) { _ in
            [.send("HTTP/1.1 204 No Content\r\n\r\n")]
        }
        let head = await receiver.nextRequest().lowercased()
        for line in [
            "post /cb?k=1 http/1.1", "content-type: text/x-thing", "x-call-id: eb82", "x-function-name: cat",
            "x-function-status: 200", "x-duration-seconds: 0.", "user-agent: martlet/", "content-length: 2",
        ] {
            #expect(head.contains(line), "\(line) is missing in \(head)")
        }
        #expect(try await eventually { try await martlet.client.call("eb82").callback?.state == "delivered" })
        #expect(try await martlet.client.call("eb82").callback?.status == 204)
        let fields = [("X-Callback-Url", url + "#own"), ("X-Call-Id", "eb83")]
        _ = try await send("cat.openfaas-fn", "", fields, to: martlet)
        let second = await receiver.nextRequest().lowercased()
        #expect(second.contains("post /cb?k=1 http") && second.contains("x-function-name: cat.openfaas-fn\r\n"))
        #expect(try await martlet.client.call("eb83").callback?.url == url)
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here) func `a receiver that hangs does not hold back the callbacks of others`(
        queue: QueueKind
    ) async throws {
        let hanging = try await ScriptedOrigin { _ in [] }
        let answering = try await ScriptedOrigin { _ in [.send("HTTP/1.1 204 No Content\r\n\r\n")] }
        let martlet = try await start(queue)
        try await deploy("cat", "cat", on: martlet)
        for _ in 0..<300 {
            _ = try await send("cat", "x", [("X-Callback-Url", "http://127.0.0.1:\(hanging.port)/")], to: martlet)
        }
        #expect(try await eventually { try await martlet.client.queueNumbers().total.succeeded == 300 })
        let url = "http://127.0.0.1:\(answering.port)/"
        _ = try await send("cat", "x", [("X-Callback-Url", url), ("X-Call-Id", "last")], to: martlet)
        #expect(try await eventually { try await martlet.client.call("last").callback?.state == "delivered" })
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here)
    func `a callback to another function of the platform can be asynchronous, too (§7.1)`(queue: QueueKind) async throws
    {
        let martlet = try await start(queue)
        try await deploy("cat", "cat", on: martlet)
        try await deploy("note", ledger("cat > \(folder.path)/noted"), on: martlet)
        let url = "http://127.0.0.1:\(martlet.port)/async-function/note"
        _ = try await send("cat", "chained", [("X-Callback-Url", url), ("X-Call-Id", "chain")], to: martlet)
        #expect(await eventually { lines == ["chain"] })
        #expect(
            await eventually {
                (try? String(contentsOfFile: "\(folder.path)/noted", encoding: .utf8)) == "chained"
            }
        )
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: ["function", "async-function"])
    func `a callback goes past the door of no function that its sender could not call himself`(
        route: String
    ) async throws {
        let martlet = try await start(.embedded)
        try await deploy("cat", "cat", on: martlet)
        try await deploy("closed", ledger(), on: martlet, annotations: ["com.martlet.methods": "GET"])
        #expect(try await send("closed", to: martlet).status == 405)
        let url = "http://gateway:8080/\(route)/closed"
        _ = try await send("cat", "", [("X-Callback-Url", url), ("X-Call-Id", "a")], to: martlet)
        #expect(try await eventually { try await martlet.client.call("a").callback?.status == 405 })
        #expect(try await martlet.client.queueNumbers().total.accepted == 1 && lines.isEmpty)
        #expect(await martlet.stop() == 0)
    }

    @Test(arguments: QueueKind.here) func `callbacks go through the proxy that the environment names`(
        queue: QueueKind
    ) async throws {
        let proxy = try await ScriptedOrigin { _ in [.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")] }
        let martlet = try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            environment: ["HTTP_PROXY": "http://127.0.0.1:\(proxy.port)", "NO_PROXY": "", "http_proxy": ""].merging(
                try await queue.variables(queueName)
            ) { _, new in new }
        )
        try await deploy("cat", "cat", on: martlet)
        _ = try await send(
            "cat",
            "x",
            [("X-Callback-Url", "http://receiver.test/cb"), ("X-Call-Id", "a")],
            to: martlet
        )
        let head = await proxy.nextRequest().lowercased()
        #expect(head.hasPrefix("post http://receiver.test/cb http/1.1\r\n"), "\(head)")
        #expect(try await eventually { try await martlet.client.call("a").callback?.state == "delivered" })
        #expect(await martlet.stop() == 0)
    }

    // MARK: Stops and crashes

    @Test(arguments: QueueKind.here) func `calls in flight when the platform stops are carried out by the next start`(
        queue: QueueKind
    ) async throws {
        let first = try await start(queue, "--drain-timeout", "200ms")
        try await deploy("slow", ledger("[ -e \(folder.path)/go ] || exec sleep 60"), on: first)
        _ = try await send("slow", "", [("X-Call-Id", "a")], to: first)
        #expect(await eventually { lines == ["a"] })
        #expect(await first.stop() == 0)
        folder.write("go", "")
        let second = try await start(queue)
        #expect(try await isCall("a", "succeeded", on: second))
        #expect(try await second.client.call("a").attempts.map(\.number) == [1])
        #expect(lines == ["a", "a"])
        #expect(await second.stop() == 0)
    }

    @Test(arguments: ["full", "write", "sync", "read-only"])
    func `while the disk is full or fails, new calls get 503, and nothing that was accepted is lost`(
        fault: String
    )
        async throws
    {
        let recorder = RunningProgram.folder.appendingPathComponent("libPowerLossRecorder.so").path
        let faulty = [
            "LD_PRELOAD": recorder, "POWERLOSS_ROOT": "\(folder.path)/data", "POWERLOSS_LOG": "\(folder.path)/log",
            "POWERLOSS_FAULT": "\(folder.path)/fault",
        ]
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data", environment: faulty)
        try await deploy("cat", "cat", on: martlet)
        let large = String(repeating: "x", count: 100_000)
        for (id, body) in [("small", "x"), ("large", large)] {
            let answer = try await send("cat", body, [("X-Call-Id", id), ("X-Delay", "1s")], to: martlet)
            #expect(answer.status == 202)
        }
        folder.write("fault", fault)
        for body in ["x", large] {
            let refused = try await send("cat", body, to: martlet)
            #expect(refused.status == 503 && refused.body.contains("kept"), "\(refused)")
            #expect(refused.headers["x-openfaas-internal"] != nil && refused.headers["retry-after"] != nil)
        }
        #expect(try await martlet.call("cat", method: "POST", body: "still").body == "still")
        // The two that wait run meanwhile; what became of them is kept when it can be.
        #expect(
            try await eventually {
                try await martlet.client.function("cat", in: nil).invocationCount == 3
            }
        )
        folder.remove("fault")
        #expect(
            try await eventually { try await send("cat", large, [("X-Call-Id", "after")], to: martlet).status == 202 }
        )
        for id in ["small", "large", "after"] { #expect(try await isCall(id, "succeeded", on: martlet)) }
        await martlet.kill()
        let again = try await start(.embedded)
        for id in ["small", "large", "after"] { #expect(try await again.client.call(id).state == "succeeded") }
        #expect(try await again.client.callResult("large").count == 100_000)
        #expect(await again.stop() == 0)
    }

    @Test func `a damaged queue does not keep the platform from starting, and doctor names it`() async throws {
        await (try start(.embedded)).kill()
        folder.write("data/calls.sqlite", String(repeating: "this is no database ", count: 500))
        for name in ["calls.sqlite-wal", "calls.sqlite-shm"] { folder.remove("data/\(name)") }
        let martlet = try await start(.embedded)
        #expect(martlet.startText.contains("asynchronous calls get 503"), "\(martlet.startText)")
        try await deploy("cat", "cat", on: martlet)
        let refused = try await send("cat", to: martlet)
        #expect(refused.status == 503 && refused.body.contains("martlet doctor"), "\(refused)")
        let doctor = try await martlet.run("doctor")
        #expect(doctor.code == 1 && doctor.output.contains("calls.sqlite is damaged"), "\(doctor)")
        folder.remove("data/calls.sqlite")
        #expect(try await eventually { try await send("cat", to: martlet).status == 202 })
        #expect(await martlet.stop() == 0)
    }

    /// `MARTLET_TEST_KILLS` makes it longer.
    @Test(arguments: QueueKind.here)
    func `whatever the moment of a SIGKILL, every 202 is kept and no success runs twice`(queue: QueueKind) async throws
    {
        let kills = ProcessInfo.processInfo.environment["MARTLET_TEST_KILLS"].flatMap { Int($0) } ?? 12
        let record = CrashRecord()
        var martlet = try await start(queue)
        try await deploy("note", ledger(), on: martlet)
        for kill in 1...kills {
            let running = martlet
            await withTaskGroup(of: Void.self) { group in
                for client in 0..<4 {
                    group.addTask {
                        await self.submit(until: record.isStopped, "k\(kill)-c\(client)", to: running, record)
                    }
                }
                let enough = record.promised.count + Int.random(in: 1...60)
                _ = await eventually { record.promised.count >= enough }
                record.noteSuccesses(try? await succeeded(running), lines)
                await running.kill()
                record.stop()
            }
            martlet = try await start(queue)
            record.go()
        }
        let last = martlet
        #expect(
            try await eventually(within: .seconds(60)) {
                let numbers = try await last.client.queueNumbers().total
                return numbers.waiting + numbers.running == 0
            }
        )
        let numbers = try await last.client.queueNumbers().total
        let seen = Dictionary(grouping: lines, by: \.self).mapValues(\.count)
        #expect(record.promised.subtracting(seen.keys).isEmpty, "never ran: \(record.promised.subtracting(seen.keys))")
        #expect(Set(seen.keys).subtracting(record.sent).isEmpty, "invented: \(Set(seen.keys).subtracting(record.sent))")
        for (id, count) in record.successes { #expect(seen[id] == count, "\(id) ran after its success") }
        #expect(record.promised.count > kills, "only \(record.promised.count) calls were accepted")
        #expect(numbers.succeeded == numbers.accepted && numbers.accepted >= record.promised.count, "\(numbers)")
        #expect(await last.stop() == 0)
    }

    private func submit(
        until isStopped: @escaping @Sendable () -> Bool,
        _ prefix: String,
        to martlet: RunningMartlet,
        _ record: CrashRecord
    ) async {
        for number in 0... {
            guard !isStopped() else { return }
            let id = "\(prefix)-\(number)"
            record.noteSent(id)
            guard let answer = try? await send("note", "x", [("X-Call-Id", id)], to: martlet) else { return }
            if answer.status == 202 { record.notePromised(id) }
        }
    }

    private func succeeded(_ martlet: RunningMartlet) async throws -> [String] {
        try await martlet.client.calls(function: nil, state: "succeeded", since: nil, limit: 1000, cursor: nil).calls
            .map(\.id)
    }
}
