// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import InvocationEngine
import ProviderContract
import TestSupport
import Testing

struct ForwardingTests {
    @Test(arguments: [
        ("/function/fn", "/"), ("/function/fn/", "/"),
        ("/function/fn/a%2Fb%3F//c/../d?x=1&y=%20", "/a%2Fb%3F//c/../d?x=1&y=%20"),
        ("/function/fn?x=1", "/?x=1"), ("/function/fn.openfaas-fn/a", "/a"), ("/function/fn/%00%7f", "/%00%7f"),
    ])
    func `the function gets the path as the client sent it (§5.2, §29)`(target: String, seen: String) async throws {
        let fixture = try await EngineFixture()
        _ = try await fixture.exchange(EngineFixture.request("GET \(target) HTTP/1.1"))
        #expect(await fixture.origin.nextRequest().hasPrefix("GET \(seen) HTTP/1.1\r\n"))
    }

    @Test func `what ends at a hop does not reach the function (§4, §29)`() async throws {
        let fixture = try await EngineFixture()
        let fields =
            "Connection: X-Private, close\r\nX-Private: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: x\r\nHTTP2-Settings: y\r\nX-Public: 2\r\n"
        _ = try await fixture.exchange("GET /function/fn HTTP/1.1\r\nHost: gw\r\n\(fields)\r\n")
        let seen = await fixture.origin.nextRequest().lowercased()
        for gone in ["x-private", "keep-alive", "te:", "proxy-authorization", "http2-settings", "connection:"] {
            #expect(!seen.contains(gone), "\(gone) reached the function")
        }
        #expect(seen.contains("x-public: 2\r\n"))
    }

    @Test func `the platform adds call id, start time and forwarding fields (§5.1, §28)`() async throws {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(
            EngineFixture.request(
                "GET /function/fn HTTP/1.1",
                "X-Call-Id: mine\r\nX-Start-Time: 1\r\nX-Forwarded-For: 9.9.9.9\r\n"
            )
        )
        let seen = await fixture.origin.nextRequest()
        #expect(seen.contains("X-Call-Id: mine\r\n"))
        #expect(seen.contains("X-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n"))
        #expect(seen.contains("X-Forwarded-Host: gw:8080\r\n"))
        #expect(seen.contains("Host: gw:8080\r\n"))
        #expect(seen.components(separatedBy: "X-Start-Time").count == 2)
        #expect(!seen.contains("X-Start-Time: 1\r\n"))
        for field in ["X-Call-Id: mine", "X-Start-Time: ", "X-Served-By: martlet/test", "X-Duration-Seconds: "] {
            #expect(answer.contains(field), "\(field) is missing in \(answer)")
        }
    }

    @Test(arguments: [
        ("", nil), ("X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9"), ("X-Forwarded-For:\r\n", nil),
        ("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8, 7.7.7.7\r\n", "9.9.9.9, 8.8.8.8, 7.7.7.7"),
    ])
    func `a client on a socket in the file system has no address to add, and only what it tells is told`(
        fields: String,
        told: String?
    ) async throws {
        let folder = TemporaryFolder()
        let log = RecordedCalls()
        let fixture = try await EngineFixture(settings: EngineSettings(servedBy: "martlet/test", accessLog: log))
        try await fixture.listen(at: folder.path + "/s")
        let connection = try RawConnection(path: folder.path + "/s")
        try await connection.send(EngineFixture.request("GET /function/fn HTTP/1.1", fields))
        #expect(try await connection.receive().hasSuffix("\r\n\r\nok"))
        let seen = await fixture.origin.nextRequest().split(separator: "\r\n")
        #expect(seen.filter { $0.hasPrefix("X-Forwarded-For:") } == told.map { ["X-Forwarded-For: \($0)"] } ?? [])
        #expect(log.all.map(\.clientAddress) == [""])
    }

    @Test func `a client without a call id gets a random one`() async throws {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(EngineFixture.request("GET /function/fn HTTP/1.1", "X-Call-Id:\r\n"))
        let id = answer.components(separatedBy: "X-Call-Id: ").last?.prefix { $0 != "\r\n" } ?? ""
        #expect(
            id.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil,
            "\(id)"
        )
    }

    @Test func `the function's hop-by-hop fields do not reach the client (§29)`() async throws {
        let fixture = try await EngineFixture { _ in
            [
                .send(
                    "HTTP/1.1 200 OK\r\nConnection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: 3\r\nX-Outer: 2\r\nContent-Length: 0\r\n\r\n"
                )
            ]
        }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(!answer.contains("X-Inner") && !answer.contains("Keep-Alive"))
        #expect(answer.contains("X-Outer: 2\r\n"))
    }

    @Test func `chunks, trailers and their length pass both ways`() async throws {
        let fixture = try await EngineFixture { _ in
            [
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n"),
                .send("0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n"),
            ]
        }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasSuffix("3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"), "\(answer)")
    }

    @Test(arguments: [
        ("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Late: 1\r\n\r\n", "5"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "0"), ("Content-Length: 5\r\n", "hello", "5"),
    ])
    func `a function that wants its body whole gets it with its length (§15.2)`(
        framing: String,
        body: String,
        length: String
    ) async throws {
        let fixture = try await EngineFixture(environment: ["http_buffer_req_body": "true"])
        let connection = try RawConnection(port: fixture.port)
        // Two calls on one connection: what follows a body is not taken for a part of it.
        let call = "POST /function/fn HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\(body)"
        try await connection.send(call + EngineFixture.request("GET /function/fn/next HTTP/1.1"))
        #expect(try await connection.receive().components(separatedBy: "HTTP/1.1 200 OK").count == 3)
        let seen = await fixture.origin.nextRequest()
        #expect(seen.contains("Content-Length: \(length)\r\n") && !seen.contains("Transfer-Encoding"), "\(seen)")
    }

    @Test func `a body that is read whole has a limit of size`() async throws {
        let fixture = try await EngineFixture(
            environment: ["http_buffer_req_body": "true"],
            settings: EngineSettings(bodyLimit: 4, servedBy: "martlet/test")
        )
        let chunks = EngineFixture.request(
            "POST /function/fn HTTP/1.1",
            "Transfer-Encoding: chunked\r\n",
            body: "5\r\nhello\r\n0\r\n\r\n"
        )
        #expect(try await fixture.exchange(chunks).hasPrefix("HTTP/1.1 413 "))
    }

    @Test func `HTTP/1.0 clients get no chunks and no interim answers`() async throws {
        let fixture = try await EngineFixture { _ in
            [
                .send(
                    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                )
            ]
        }
        let answer = try await fixture.exchange("GET /function/fn HTTP/1.0\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.hasSuffix("\r\n\r\nabc"), "\(answer)")
        #expect(!answer.contains("chunked"))
    }

    @Test func `an answer that breaks off never looks whole`() async throws {
        let fixture = try await EngineFixture { _ in
            [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), .close]
        }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.contains("abc") && !answer.contains("0\r\n\r\n"), "\(answer)")
    }

    @Test func `a function that closes without an answer is a 502 with a sentence (§29)`() async throws {
        let fixture = try await EngineFixture { _ in [.close] }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 502 "))
        #expect(answer.contains("fn.openfaas-fn closed the connection without an answer."))
    }

    @Test func `pipelined requests are answered in their order`() async throws {
        let fixture = try await EngineFixture { request in
            let path = request.split(separator: " ")[1]
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(path.count)\r\n\r\n\(path)")]
        }
        let one = "GET /function/fn/one HTTP/1.1\r\nHost: a\r\n\r\n"
        let two = "GET /anything HTTP/1.1\r\nHost: a\r\n\r\n"
        let answer = try await fixture.exchange(one + two + EngineFixture.request("GET /function/fn/three HTTP/1.1"))
        let first = try #require(answer.range(of: "/one"))
        let second = try #require(answer.range(of: "GET /anything"))
        let third = try #require(answer.range(of: "/three"))
        #expect(first.lowerBound < second.lowerBound && second.lowerBound < third.lowerBound)
    }

    @Test func `a body waits for 100-continue until somebody takes it (§29)`() async throws {
        let fixture = try await EngineFixture()
        let connection = try RawConnection(port: fixture.port)
        try await connection.send(
            "POST /function/fn HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        // The scripted server answers to the head alone, so its answer may already stand behind this one.
        let interim = try await connection.receive(until: "\r\n\r\n")
        #expect(interim.hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
        try await connection.send("hi")
        #expect((interim + (try await connection.receive())).hasSuffix("ok"))
        #expect(!(await fixture.origin.nextRequest()).contains("Expect"))
    }

    @Test func `upgraded connections carry bytes both ways`() async throws {
        let fixture = try await EngineFixture { request in
            request.contains("Upgrade: echo")
                ? [.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello")]
                : [.send("again")]
        }
        let connection = try RawConnection(port: fixture.port)
        try await connection.send(
            "GET /function/fn HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        )
        #expect(try await connection.receive(until: "hello").hasPrefix("HTTP/1.1 101 "))
        try await connection.send("some bytes\r\n\r\n")
        #expect(try await connection.receive(until: "again") == "again")
    }

    @Test(arguments: [
        "/function/nope", "/function/fn./x", "/function/fn.other", "/function/fn/_/health", "/function/fn/_/ready",
        "/function/a%2eb",
    ])
    func `what is not there is a 404 with a sentence (§5.3, §29)`(path: String) async throws {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(EngineFixture.request("GET \(path) HTTP/1.1"))
        #expect(answer.hasPrefix("HTTP/1.1 404 "), "\(answer)")
        #expect(answer.contains("X-Call-Id") || !path.contains("nope"))
    }

    @Test func `calls of functions in turn reach each its own, and a removed one is gone`() async throws {
        let fixture = try await EngineFixture()
        let other = try await ScriptedOrigin { _ in [.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n2.")] }
        let target = Upstream(.tcp(host: "127.0.0.1", port: other.port))
        let second = FunctionRoute(
            id: FunctionID(name: "fn2", namespace: "openfaas-fn"),
            revision: 1,
            desiredReplicas: 1,
            replicas: [Replica(id: "fn2-1", target: target, maxInFlight: nil)]
        )
        fixture.table.apply(.changed(second))
        let connection = try RawConnection(port: fixture.port)
        func expect(_ end: String, of name: String) async throws {
            // Every event loop has heard of the changes then.
            _ = try await fixture.metrics()
            try await connection.send("GET /function/\(name) HTTP/1.1\r\nHost: a\r\n\r\n")
            let answer = try await connection.receive(until: end)
            #expect(answer.contains(end), "\(answer)")
        }
        for name in ["fn", "fn2", "fn2", "fn", "fn.openfaas-fn", "fn2.openfaas-fn"] {
            try await expect(name.hasPrefix("fn2") ? "\r\n\r\n2." : "\r\n\r\nok", of: name)
        }
        fixture.table.apply(.removed(second.id))
        try await expect("there is no such function", of: "fn2.openfaas-fn")
    }

    @Test(arguments: ["/function/fn/a", "//function/fn/a", "////function/fn/a", "http://a//function/fn/a"])
    func `a gateway's address may end in a slash: more of them before a route count as one`(target: String) async throws
    {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(EngineFixture.request("GET \(target) HTTP/1.1"))
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        #expect(await fixture.origin.nextRequest().hasPrefix("GET /a HTTP/1.1\r\n"))
    }

    @Test func `slashes anywhere else lead nowhere else`() async throws {
        let fixture = try await EngineFixture()
        for (target, status, words) in [
            ("//function//fn", "400", "Provide function name"), ("/function//fn", "400", "Provide function name"),
            ("//function/../system/info", "404", "no such function"),
            ("/x//function/fn", "200", "GET /x//function/fn\n"),
            ("///system//info", "200", "GET /system//info\n"), ("//", "200", "GET /\n"),
            ("/%2Ffunction/fn", "200", "GET /%2Ffunction/fn\n"), ("//function/fn/_/health", "404", "not reachable"),
        ] {
            let answer = try await fixture.exchange(EngineFixture.request("GET \(target) HTTP/1.1"))
            #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains(words), "\(target) \(answer)")
        }
    }

    @Test func `pipelined calls keep their own ids`() async throws {
        let fixture = try await EngineFixture()
        let first = "GET /function/fn HTTP/1.1\r\nHost: a\r\nX-Call-Id: the-first\r\n\r\n"
        let answers = try await fixture.exchange(
            first + EngineFixture.request("GET /function/fn HTTP/1.1", "X-Call-Id: the-other\r\n")
        )
        #expect(answers.contains("the-first") && answers.contains("the-other"), "\(answers)")
    }
}
