// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import ProviderContract
import TestSupport
import Testing

struct AdmissionTests {
    @Test func `many calls of a sleeping function ask for it once and are all answered (§6)`() async throws {
        let fixture = try await EngineFixture(isReady: false)
        let answers = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<40 { group.addTask { try await fixture.exchange(EngineFixture.request()) } }
            _ = await eventually { fixture.activations.count > 0 }
            fixture.table.apply(.changed(try EngineFixture.route(replicas: [fixture.replica])))
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.allSatisfy { $0.hasPrefix("HTTP/1.1 200 ") })
        #expect(fixture.activations.count == 1)
    }

    @Test func `a function that does not become ready is a 504 that says why (§29)`() async throws {
        let fixture = try await EngineFixture(isReady: false)
        var route = try EngineFixture.route(replicas: [], ["exec_timeout": "100ms"])
        route.desiredReplicas = 1
        route.notReadyReason = "revision 1 exited with status 3 after 0.1 s"
        fixture.table.apply(.changed(route))
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 504 "), "\(answer)")
        #expect(answer.contains("exited with status 3"))
    }

    @Test(arguments: [
        ("exec_timeout", "", "the function's exec_timeout"), ("x", "X-Timeout: 100ms\r\n", "X-Timeout of the request"),
    ])
    func `a deadline that passes is a 504 that says whose limit it was`(
        variable: String,
        field: String,
        sentence: String
    ) async throws {
        let fixture = try await EngineFixture(environment: [variable: "100ms"]) { _ in [] }
        let answer = try await fixture.exchange(EngineFixture.request("GET /function/fn HTTP/1.1", field))
        #expect(answer.hasPrefix("HTTP/1.1 504 "), "\(answer)")
        #expect(answer.contains(sentence) && answer.contains("X-Duration-Seconds: "), "\(answer)")
    }

    @Test func `calls wait for a place, and beyond the queue's depth get OpenFaaS' 429 (§15.6)`() async throws {
        let fixture = try await EngineFixture(environment: ["max_inflight": "1"]) { _ in [] }
        var route = try EngineFixture.route(replicas: [fixture.replica], ["max_inflight": "1"])
        route.variants[0].policy.queueDepth = 0
        fixture.table.apply(.changed(route))
        let first = try RawConnection(port: fixture.port)
        try await first.send(EngineFixture.request())
        _ = await fixture.origin.nextRequest()
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 429 "), "\(answer)")
        #expect(answer.contains("X-OpenFaaS-Internal: faas-middleware\r\n"))
        #expect(answer.hasSuffix("\r\n\r\nConcurrent request limit exceeded. Max concurrent requests: 1\n"))
    }

    @Test func `before it is known which functions there are, none is missing: 503 says when to ask again`()
        async throws
    {
        let fixture = try await EngineFixture(isTold: false)
        let early = try await fixture.exchange(EngineFixture.request("GET /function/unknown HTTP/1.1"))
        #expect(early.hasPrefix("HTTP/1.1 503 ") && early.contains("Retry-After: 2\r\n"), "\(early)")
        #expect(!fixture.table.hasSnapshot)
        fixture.table.apply(.snapshot([try EngineFixture.route(replicas: [fixture.replica])]))
        let late = try await fixture.exchange(EngineFixture.request("GET /function/unknown HTTP/1.1"))
        #expect(late.hasPrefix("HTTP/1.1 404 "), "\(late)")
        #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `while contact is lost functions are called as before`() async throws {
        let fixture = try await EngineFixture()
        fixture.table.apply(.lost(PlatformFault(.providerUnreachable, "There is no answer.")))
        #expect(fixture.table.loss?.fault.code == .providerUnreachable)
        #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 200 "))
        fixture.table.apply(.heardAgain)
        #expect(fixture.table.loss == nil)
    }

    @Test func `as many calls wait for a first replica as may, and the next one gets 503 (§6)`() async throws {
        let settings = EngineSettings(waitingLimit: 3, servedBy: "martlet/test")
        let fixture = try await EngineFixture(settings: settings, isReady: false)
        let answers = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<4 { group.addTask { try await fixture.exchange(EngineFixture.request()) } }
            let first = try await group.next() ?? ""
            #expect(first.hasPrefix("HTTP/1.1 503 ") && first.contains("Retry-After: 5\r\n"), "\(first)")
            fixture.table.apply(.changed(try EngineFixture.route(replicas: [fixture.replica])))
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.count == 3 && answers.allSatisfy { $0.hasPrefix("HTTP/1.1 200 ") })
    }

    @Test func `where no call may wait, one that finds no replica still asks for it`() async throws {
        let settings = EngineSettings(waitingLimit: 0, servedBy: "martlet/test")
        let fixture = try await EngineFixture(settings: settings, isReady: false)
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 503 "), "\(answer)")
        #expect(await eventually { fixture.activations.count == 1 })
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [fixture.replica])))
        #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `a call that comes to the line of a function that is gone is told so at once, not at its deadline`()
        async throws
    {
        let buffering = ["http_buffer_req_body": "true"]
        let fixture = try await EngineFixture(environment: buffering)
        let connection = try RawConnection(port: fixture.port)
        let line = "POST /function/fn HTTP/1.1"
        try await connection.send(EngineFixture.request(line, "Content-Length: 4\r\n", body: "ab"))
        #expect(try await eventually { try await fixture.metrics()?.started == 1 })
        fixture.table.apply(.removed(FunctionID(name: "fn", namespace: "openfaas-fn")))
        // Every event loop has heard of it.
        _ = try await fixture.metrics()
        try await connection.send("cd")
        let answer = try await connection.receive()
        #expect(answer.hasPrefix("HTTP/1.1 404 ") && answer.contains("was deleted"), "\(answer)")
    }

    @Test func `the queue's depth counts only while replicas are full`() async throws {
        let fixture = try await EngineFixture()
        let old = try gone()
        old.drain {}
        var route = try EngineFixture.route(replicas: [old])
        route.variants[0].policy.queueDepth = 0
        fixture.table.apply(.changed(route))
        async let answer = fixture.exchange(EngineFixture.request())
        #expect(try await eventually { try await fixture.metrics()?.started == 1 })
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [fixture.replica])))
        #expect(
            try await answer.hasPrefix("HTTP/1.1 200 "),
            "one that drains is not full: its successor takes the call"
        )
    }

    @Test func `a call that waits goes on when the one before it has ended`() async throws {
        let fixture = try await EngineFixture(environment: ["max_inflight": "1"])
        let answers = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<30 { group.addTask { try await fixture.exchange(EngineFixture.request()) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.allSatisfy { $0.hasPrefix("HTTP/1.1 200 ") })
        #expect(await eventually { fixture.replica.inFlight == 0 })
    }

    /// A replica whose process has just ended, before anybody has noticed.
    private func gone() throws -> Replica {
        let port = try ReservedPort.claim()
        return Replica(id: "gone", target: Upstream(.tcp(host: "127.0.0.1", port: port)), maxInFlight: nil)
    }

    @Test func `a call that meets a replica just gone waits for its successor`() async throws {
        let fixture = try await EngineFixture()
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [try gone()])))
        async let answer = fixture.exchange(EngineFixture.request("POST /function/fn HTTP/1.1"))
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [fixture.replica])))
        #expect(try await answer.hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `a replica that refuses connections does not draw the calls of the others`() async throws {
        let fixture = try await EngineFixture()
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [try gone(), fixture.replica])))
        for _ in 0..<40 {
            #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func `a function that never accepts is a 502 that says so`() async throws {
        let fixture = try await EngineFixture()
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [try gone()])))
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 502 ") && answer.contains("does not accept connections"), "\(answer)")
        #expect(await eventually { fixture.replica.inFlight == 0 })
    }

    @Test func `calls are counted by status (§12.5)`() async throws {
        let fixture = try await EngineFixture { request in
            request.contains("/bad")
                ? [.send("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")] : [.send(EngineFixture.ok)]
        }
        for path in ["a", "b", "bad"] {
            _ = try await fixture.exchange(EngineFixture.request("GET /function/fn/\(path) HTTP/1.1"))
        }
        let metrics = try #require(try await fixture.metrics())
        #expect(metrics.started == 3)
        #expect(metrics.inFlight == 0)
        #expect(metrics.answers[200]?.count == 2)
        #expect(metrics.answers[404]?.count == 1)
    }

    @Test func `a draining replica ends its calls and gets no new one`() async throws {
        let fixture = try await EngineFixture { _ in [] }
        let connection = try RawConnection(port: fixture.port)
        try await connection.send(EngineFixture.request())
        _ = await fixture.origin.nextRequest()
        let drained = Counter()
        fixture.replica.drain { drained.add() }
        #expect(drained.count == 0)
        #expect(!fixture.replica.enter())
        await fixture.drain()
        #expect(await eventually { drained.count == 1 })
    }
}
