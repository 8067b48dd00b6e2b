// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import InvocationEngine
import NIOCore
import ProviderContract
import Synchronization
import TestSupport
import Testing

/// Clients and functions at their worst, against the engine.
struct EngineFaultTests {
    private static let body = "POST /function/fn/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Y: z\r\n\r\nhello"

    @Test func `a client that goes at any byte leaves nothing behind`() async throws {
        let fixture = try await EngineFixture()
        for count in 0...Self.body.utf8.count {
            let connection = try RawConnection(port: fixture.port)
            try await connection.send(String(Self.body.prefix(count)))
            connection.close()
        }
        #expect(await eventually { fixture.replica.inFlight == 0 })
        #expect(await eventually { (try? await fixture.metrics()?.inFlight) == 0 })
        #expect(try await fixture.exchange(EngineFixture.request()).hasSuffix("ok"))
    }

    @Test func `a request that comes byte by byte is one request`() async throws {
        // However slow the machine is: how long a head may take is tested elsewhere.
        let settings = EngineSettings(headTimeout: .seconds(60), servedBy: "martlet/test")
        let fixture = try await EngineFixture(settings: settings)
        let connection = try RawConnection(port: fixture.port)
        for byte in EngineFixture.request("POST /function/fn HTTP/1.1", "Content-Length: 3\r\n", body: "abc") {
            try await connection.send(String(byte))
        }
        #expect(try await connection.receive().hasSuffix("\r\n\r\nok"))
        #expect(await fixture.origin.nextRequest().contains("Content-Length: 3"))
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npa",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n",
    ])
    func `after an answer that broke off nothing more comes on the connection (9112 §8)`(start: String) async throws {
        let fixture = try await EngineFixture { request in
            request.contains("/next") ? [.send(EngineFixture.ok)] : [.send(start), .close]
        }
        let pipelined = "GET /function/fn HTTP/1.1\r\nHost: a\r\n\r\nGET /function/fn/next HTTP/1.1\r\nHost: a\r\n\r\n"
        let answer = try await fixture.exchange(pipelined)
        #expect(answer.contains("pa") && !answer.hasSuffix("ok") && !answer.hasSuffix("0\r\n\r\n"), "\(answer)")
    }

    @Test func `a function that sends fields for ever is a 502, one that is silent after 1xx a 504`() async throws {
        let endless = String(repeating: "X-More: \(String(repeating: "a", count: 1000))\r\n", count: 200)
        let endlessly = try await EngineFixture { _ in [.send("HTTP/1.1 200 OK\r\n" + endless)] }
        let large = try await endlessly.exchange(EngineFixture.request())
        #expect(large.hasPrefix("HTTP/1.1 502 "), "\(large.prefix(300))")
        let silently = try await EngineFixture(environment: ["exec_timeout": "300ms"]) { _ in
            [.send("HTTP/1.1 103 Early Hints\r\n\r\n")]
        }
        let silent = try await silently.exchange(EngineFixture.request())
        #expect(silent.contains("HTTP/1.1 504 ") && silent.contains("exec_timeout"), "\(silent)")
    }

    @Test func `an answer before the body's end reaches the client, and the connection lives on`() async throws {
        let fixture = try await EngineFixture()
        let connection = try RawConnection(port: fixture.port)
        try await connection.send("POST /function/fn HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin")
        #expect(try await connection.receive(until: "ok").hasPrefix("HTTP/1.1 200 "))
        try await connection.send(String(repeating: "x", count: 99_995) + EngineFixture.request())
        #expect(try await connection.receive().hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `a client that reads slowly gets the whole of its last answer`() async throws {
        let body = String(repeating: "0123456789abcdef", count: 524_288)
        let fixture = try await EngineFixture { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let connection = try RawConnection(port: fixture.port)
        try await connection.send(EngineFixture.request())
        // Nothing is read until everything between function and client is full.
        _ = await fixture.origin.nextRequest()
        #expect(try await connection.receive().hasSuffix(body))
    }

    @Test func `a client that reads slowly gets all of an answer whose function has closed its connection`()
        async throws
    {
        let body = String(repeating: "0123456789abcdef", count: 196_608)
        let fixture = try await EngineFixture { request in
            let head = request.contains("/length") ? "Content-Length: \(body.utf8.count)\r\n" : ""
            return [.sendAndClose("HTTP/1.1 200 OK\r\n\(head)\r\n\(body)")]
        }
        for path in ["length", "none"] {
            let connection = try RawConnection(port: fixture.port, receiveBuffer: 4096)
            try await connection.send(EngineFixture.request("GET /function/fn/\(path) HTTP/1.0"))
            _ = await fixture.origin.nextRequest()
            let answer = try await connection.receive()
            #expect(answer.hasSuffix(body), "\(path): \(answer.utf8.count) bytes")
        }
    }

    @Test func `a kept connection that the function has closed meanwhile is no failure`() async throws {
        let fixture = try await EngineFixture { _ in [.send(EngineFixture.ok), .close] }
        for _ in 0..<50 {
            let answer = try await fixture.exchange(EngineFixture.request())
            #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        }
    }

    @Test func `an upgraded connection that ends by halves goes on in the other direction`() async throws {
        let fixture = try await EngineFixture { request in
            request.contains("Upgrade: echo")
                ? [.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")]
                : [.send("got it"), .close]
        }
        let connection = try RawConnection(port: fixture.port)
        try await connection.send(
            "GET /function/fn HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        )
        _ = try await connection.receive(until: "\r\n\r\n")
        try await connection.send("last words\r\n\r\n")
        connection.endInput()
        #expect(try await connection.receive() == "got it")
        #expect(await eventually { fixture.replica.inFlight == 0 })
    }

    @Test func `no call in flight fails when the engine drains`() async throws {
        let held = Mutex<[@Sendable () -> Void]>([])
        // Calls wait until all are there, on a busy machine for longer than a function usually may.
        let fixture = try await EngineFixture(environment: ["exec_timeout": "10m"]) { _ in
            [.hold { release in held.withLock { $0.append(release) } }]
        }
        let count = 1000
        // Four descriptors a call; where that is too much for the machine, the connections below say so.
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(7), &limit)
        let clients = try (0..<count).map { _ in try RawConnection(port: fixture.port) }
        for client in clients { try await client.send("GET /function/fn HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(await eventually { held.withLock { $0.count } == count })
        let draining = Task { await fixture.drain(within: .seconds(600)) }
        #expect(await eventually { (try? RawConnection(port: fixture.port)) == nil }, "it still accepts")
        for release in held.withLock({ $0 }) { release() }
        await draining.value
        for client in clients {
            let answer = try await client.receive()
            #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("Connection: close"), "\(answer)")
        }
    }

    /// A client that is connected and has asked nothing, while the engine drains.
    private func newcomer(waitsFor limit: Duration) async throws -> (RawConnection, Task<Void, Never>) {
        let settings = EngineSettings(newcomerTimeout: limit, servedBy: "martlet/test")
        let fixture = try await EngineFixture(settings: settings)
        let client = try RawConnection(port: fixture.port)
        // Connections are accepted in order: whoever is answered has come after the one above.
        _ = try await fixture.exchange(EngineFixture.request())
        let draining = Task { await fixture.drain(within: .seconds(600)) }
        #expect(await eventually { (try? RawConnection(port: fixture.port)) == nil }, "it still accepts")
        return (client, draining)
    }

    @Test func `a client that has connected and not asked yet is answered while the engine drains`() async throws {
        let (client, draining) = try await newcomer(waitsFor: .seconds(600))
        try await client.send("GET /function/fn HTTP/1.1\r\nHost: a\r\n\r\n")
        let answer = try await client.receive()
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("Connection: close"), "\(answer)")
        await draining.value
    }

    @Test func `a client that never asks does not keep the engine from ending`() async throws {
        let (client, draining) = try await newcomer(waitsFor: .milliseconds(1))
        await draining.value
        #expect(try await client.receive().isEmpty)
    }
}

struct ObservingTests {
    @Test(arguments: [
        ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n", true),
        ("traceparent: cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-more\r\n", true), ("", false),
        ("traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\ntracestate: a=b\r\n", false),
        ("traceparent: 00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", false),
        ("traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n", false),
        ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x\r\n", false),
        ("traceparent: 00-1\r\n", false),
    ])
    func `a trace is continued where there is one and begun where there is none`(
        fields: String,
        isContinued: Bool
    ) async throws {
        let fixture = try await EngineFixture()
        _ = try await fixture.exchange(EngineFixture.request("GET /function/fn HTTP/1.1", fields))
        let seen = await fixture.origin.nextRequest()
        if isContinued {
            for line in fields.split(separator: "\r\n") { #expect(seen.contains("\(line)\r\n"), "\(seen)") }
        } else {
            #expect(!seen.contains("tracestate"))
        }
        let trace = /traceparent: [0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/
        #expect(seen.matches(of: trace).count == 1, "\(seen)")
    }

    @Test func `the access log hears of every call, refused ones too, and of nothing else`() async throws {
        let records = RecordedCalls()
        let fixture = try await EngineFixture(
            settings: EngineSettings(servedBy: "martlet/test", accessLog: records)
        ) { request in
            request.contains("/quiet")
                ? [.send("HTTP/1.1 299 X\r\nContent-Length: 0\r\n\r\n")] : [.send(EngineFixture.ok)]
        }
        let fields = "X-Call-Id: mine\r\nUser-Agent: me\r\n"
        for target in ["/function/fn/a?b", "/function/nobody", "/system/info", "/function/fn/quiet"] {
            _ = try await fixture.exchange(EngineFixture.request("GET \(target) HTTP/1.1", fields))
        }
        let all = records.all
        #expect(all.map(\.target) == ["/function/fn/a?b", "/function/nobody"])
        #expect(all.map(\.status) == [200, 404] && all.map(\.function) == ["fn.openfaas-fn", nil])
        #expect(all.allSatisfy { $0.callID == "mine" && $0.userAgent == "me" && $0.clientAddress == "127.0.0.1" })
        #expect(all.first?.bytes == 2 && all.first?.method == "GET" && all.first?.traceID.count == 32)
        #expect(all.allSatisfy { $0.duration > .zero && $0.duration < .seconds(10) })
    }

    @Test func `the access log names a call of the platform's own by the id that it was accepted with`() async throws {
        let records = RecordedCalls()
        let fixture = try await EngineFixture(settings: EngineSettings(servedBy: "martlet/test", accessLog: records))
        for name in ["fn", "nobody"] {
            let request = DirectRequest(
                function: FunctionID(name: name, namespace: "openfaas-fn"),
                method: "POST",
                target: "/a?b",
                fields: ByteBuffer(string: "Host: gw\r\n"),
                body: ByteBuffer(),
                clientAddress: "10.0.0.9",
                callID: "accepted",
                answerLimit: 100
            )
            await withCheckedContinuation { continuation in
                _ = fixture.call(request) { _ in continuation.resume() }
            }
        }
        let all = records.all
        #expect(all.map(\.target) == ["/function/fn.openfaas-fn/a?b", "/function/nobody.openfaas-fn/a?b"])
        #expect(all.map(\.status) == [200, 404] && all.allSatisfy { $0.callID == "accepted" && $0.bytes > 0 })
    }
}
