// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import FaultModel
import Foundation
import FunctionModel
import NIOCore
import Synchronization
import SystemClient
import TestSupport
import Testing

/// Replicas follow the load, in the real binary with real processes (contract §6, §13).
@Suite(.serialized)
struct ScalingTests {
    private let folder = TemporaryFolder()

    private func start(_ arguments: String...) async throws -> RunningMartlet {
        try await RunningMartlet(dataDirectory: folder.path + "/data", arguments: arguments)
    }

    /// Waits until a function has so many replicas, desired and ready.
    private func has(
        _ replicas: ClosedRange<Int>,
        _ name: String,
        _ martlet: RunningMartlet,
        within limit: Duration = .seconds(60)
    ) async throws -> Bool {
        try await eventually(within: limit) {
            let status = try await martlet.client.function(name, in: nil)
            return replicas.contains(status.replicas) && status.availableReplicas == status.replicas
        }
    }

    /// What became of the calls of a load.
    private final class Tally: Sendable {
        private let state = Mutex((calls: 0, failures: [String](), isOver: false))

        var calls: Int { state.withLock { $0.calls } }
        var failures: [String] { state.withLock { $0.failures } }
        var isOver: Bool { state.withLock { $0.isOver } }

        func count(_ failure: String?) {
            state.withLock { state in
                state.calls += 1
                if let failure { state.failures.append(failure) }
            }
        }

        func end() { state.withLock { $0.isOver = true } }
    }

    /// Calls a function from several clients at once for as long as some work takes.
    private func load(
        _ name: String,
        clients: Int,
        on martlet: RunningMartlet,
        while work: @Sendable () async throws -> Void
    ) async throws -> Tally {
        let tally = Tally()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<clients {
                group.addTask {
                    while !tally.isOver {
                        let answer = try? await martlet.call(name)
                        tally.count(answer?.status == 200 ? nil : "\(answer as Any)")
                    }
                }
            }
            defer { tally.end() }
            try await work()
        }
        return tally
    }

    @Test func `replicas rise with the rate of calls and fall after it, and no call fails`() async throws {
        let martlet = try await start()
        try await martlet.deploy(
            "fn",
            // A rate that four clients reach on any machine.
            scaledBy: ["target": "1", "target-proportion": "1", "max": "4", "down.window": "2s"]
        )
        let loaded = try await load("fn", clients: 4, on: martlet) { () async throws in
            let hasGrown = try await has(4...4, "fn", martlet)
            let told = try await martlet.client.scaling(of: "fn", in: nil)
            #expect(hasGrown, "\(told)")
        }
        #expect(loaded.failures.isEmpty && loaded.calls > 10, "\(loaded.calls) \(loaded.failures.prefix(3))")
        #expect(try await has(1...1, "fn", martlet))
        let told = try await martlet.client.scaling(of: "fn", in: nil)
        #expect(told.mode == "rps" && told.max == 4 && told.decisions.contains { $0.to == 4 }, "\(told)")
        let shown = try await martlet.run("scale", "explain", "fn")
        #expect(shown.output.contains("rps, 1 per replica") && shown.output.contains("-> 4  "), "\(shown)")
        #expect(await martlet.stop() == 0)
    }

    @Test func `a function that nobody calls goes to sleep, and its next call wakes it`() async throws {
        let martlet = try await start()
        try await martlet.deploy("fn", scaledBy: ["zero": "true", "zero-duration": "1s", "min": "2"])
        #expect(try await martlet.call("fn").status == 200)
        #expect(try await has(0...0, "fn", martlet))
        #expect(try await martlet.client.function("fn", in: nil).martlet?.state == .idle)
        #expect(try await eventually { try await martlet.client.scaling(of: "fn", in: nil).current == 0 })
        #expect(try await martlet.call("fn").status == 200)
        #expect(try await has(2...2, "fn", martlet))
        #expect(try await has(0...0, "fn", martlet))
        let text = try await martlet.run("scale", "explain", "fn").output
        #expect(text.contains("No call for 1s.") && text.contains("Woken by a call"), "\(text)")
        _ = await martlet.stop()
    }

    @Test func `a function without labels of the autoscaler stays as it was scaled, and one with them does not`()
        async throws
    {
        let martlet = try await start()
        try await martlet.deploy("free", scaledBy: [:])
        try await martlet.deploy("kept", scaledBy: ["target": "50", "max": "2"])
        for name in ["free", "kept"] { try await martlet.client.scale(name, in: nil, to: 3) }
        #expect(try await has(2...2, "kept", martlet))
        #expect(try await has(3...3, "free", martlet))
        let told = try await martlet.client.scaling(of: "free", in: nil)
        #expect(told.mode == "none" && told.frozen && told.current == 3, "\(told)")
        let missing = await #expect(throws: PlatformFault.self) {
            try await martlet.client.scaling(of: "missing", in: nil)
        }
        #expect(missing?.code == .functionNotFound)
        #expect(try await martlet.ask("GET", "/system/scaling/free", withLogin: false).status == 401)
        _ = await martlet.stop()
    }

    @Test func `a burst on many sleeping functions is answered whole, and each is started once`() async throws {
        let martlet = try await start()
        let ledger = "\(folder.path)/ledger"
        let script = folder.write(
            "start.sh",
            "#!/bin/sh\necho \"$OPENFAAS_NAME\" >> \(ledger)\nexec \(RunningMartlet.origin)\n"
        )
        let names = (0..<100).map { "fn-\($0)" }
        for name in names {
            try await martlet.deploy(name, scaledBy: ["zero": "true"], fprocess: "/bin/sh \(script)")
            try await martlet.client.scale(name, in: nil, to: 0)
        }
        #expect(
            try await eventually {
                try await martlet.client.functions(in: nil).allSatisfy { $0.martlet?.state == .idle }
            }
        )
        try Data().write(to: URL(fileURLWithPath: ledger))
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for call in 0..<1000 { group.addTask { try await martlet.call(names[call % 100]).status } }
            return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
        }
        #expect(statuses == [200: 1000])
        let starts = try String(contentsOfFile: ledger, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(starts.sorted() == names.sorted(), "\(starts.count) starts")
        _ = await martlet.stop()
    }

    @Test func `no call fails while replicas are added and taken away`() async throws {
        let martlet = try await start()
        try await martlet.deploy("fn", scaledBy: [:])
        let loaded = try await load("fn", clients: 8, on: martlet) { () async throws in
            for _ in 0..<5 {
                for count in [8, 1] {
                    try await martlet.client.scale("fn", in: nil, to: count)
                    #expect(try await has(count...count, "fn", martlet))
                }
            }
            try await martlet.client.scale("fn", in: nil, to: 0)
        }
        #expect(loaded.failures.isEmpty && loaded.calls > 10, "\(loaded.calls) \(loaded.failures.prefix(3))")
        _ = await martlet.stop()
    }

    @Test func `a stream outlives its replica's being taken away, however long it lasts`() async throws {
        let martlet = try await start("--drain-timeout", "1s")
        let go = "\(folder.path)/go"
        let script = folder.write(
            "stream.py",
            """
            import http.server, os, time
            class Handler(http.server.BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                def do_GET(self):
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.write(b"data: first\\n\\n")
                    self.wfile.flush()
                    while not os.path.exists("\(go)"): time.sleep(0.02)
                    self.wfile.write(b"data: last\\n\\n")
            http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
            """
        )
        try await martlet.deploy(
            "fn",
            scaledBy: [:],
            fprocess: "python3 \(script)",
            environment: ["exec_timeout": "4s"]
        )
        let answer = try await martlet.client.send("GET", "/function/fn", withLogin: false)
        try #require(answer.status == 200, "the function did not answer within its four seconds")
        var events = answer.body.makeAsyncIterator()
        _ = try await events.next()
        try await martlet.client.scale("fn", in: nil, to: 0)
        #expect(try await has(0...0, "fn", martlet))
        // Far beyond the limit of a call: another function is started, called and removed meanwhile.
        try await martlet.deploy("other", scaledBy: [:])
        #expect(try await martlet.call("other").status == 200)
        let waited = ContinuousClock.now
        let isLate = await eventually { ContinuousClock.now - waited > .milliseconds(4200) }
        #expect(isLate)
        try Data().write(to: URL(fileURLWithPath: go))
        var rest = ""
        while let piece = try await events.next() { rest += String(buffer: piece) }
        #expect(rest.contains("data: last"))
        _ = await martlet.stop()
    }

    @Test func `what functions use, and asynchronous calls that are due, are loads`() async throws {
        let martlet = try await start()
        try await martlet.deploy("fat", scaledBy: ["type": "memory", "target": "100Ki", "max": "2"])
        try await martlet.deploy("hot", scaledBy: ["type": "cpu", "target": "5m", "max": "2"])
        try await martlet.client.create(
            FunctionDeployment(
                service: "busy",
                image: "host",
                envProcess: "sleep 2",
                envVars: ["max_inflight": "1"],
                labels: ["com.openfaas.scale.type": "queue", "com.openfaas.scale.target": "4"]
            )
        )
        for _ in 0..<8 {
            #expect(try await martlet.ask("POST", "/async-function/busy", withLogin: false).status == 202)
        }
        #expect(try await has(3...3, "busy", martlet))
        #expect(try await has(2...2, "fat", martlet))
        let loaded = try await load("hot", clients: 4, on: martlet) { () async throws in
            #expect(try await has(2...2, "hot", martlet))
        }
        #expect(loaded.failures.isEmpty, "\(loaded.failures.prefix(3))")
        let refused = await #expect(throws: PlatformFault.self) {
            try await martlet.client.create(
                FunctionDeployment(
                    service: "blind",
                    image: "host",
                    envProcess: "cat",
                    labels: ["com.openfaas.scale.type": "cpu"]
                )
            )
        }
        #expect(refused?.message.contains("cannot be measured") == true, "\(refused as Any)")
        _ = await martlet.stop()
    }

    @Test func `a gateway alone scales the functions of a provider elsewhere`() async throws {
        let provider = try await RunningMartlet(["provider", "process"], dataDirectory: folder.path + "/provider")
        let data = folder.path + "/gateway"
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        for file in ["basic-auth-user", "basic-auth-password"] {
            try FileManager.default.copyItem(atPath: "\(folder.path)/provider/\(file)", toPath: "\(data)/\(file)")
        }
        let gateway = try await RunningMartlet(
            ["gateway"],
            dataDirectory: data,
            arguments: ["--autoscaler", "true", "--provider-url", "\(provider.client.baseURL)/"]
        )
        try await gateway.deploy(
            "fn",
            scaledBy: ["type": "rps", "target": "10", "zero": "true", "zero-duration": "3s"]
        )
        let loaded = try await load("fn", clients: 4, on: gateway) { () async throws in
            #expect(try await has(4...20, "fn", gateway))
        }
        #expect(loaded.failures.isEmpty, "\(loaded.failures.prefix(3))")
        #expect(try await has(0...0, "fn", gateway))
        #expect(try await gateway.call("fn").status == 200)
        // The provider names its API's requests as OpenFaaS' providers do, on its own port.
        let metrics = try await provider.ask("GET", "/metrics", withLogin: false).body
        #expect(
            metrics.contains("provider_http_requests_total{method=\"POST\",path=\"/system/functions\",code=\"202\"} 1")
        )
        #expect(metrics.contains("path=\"/system/scale-function\""))
        _ = await provider.stop()
        let alert = #"{"alerts":[{"status":"firing","labels":{"function_name":"fn"}}]}"#
        #expect(try await gateway.ask("POST", "/system/alert", alert).status == 503)
        _ = await gateway.stop()
    }
}
