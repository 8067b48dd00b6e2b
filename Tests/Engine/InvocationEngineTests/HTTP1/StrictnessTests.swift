// SPDX-License-Identifier: Apache-2.0

import Foundation
import InvocationEngine
import TestSupport
import Testing

/// One row per rule of RFC 9110 and RFC 9112 that a request can break.
struct StrictnessTests {
    struct Breach: Sendable, CustomTestStringConvertible {
        let rule: String
        let request: String
        let status: String
        var testDescription: String { rule }
    }

    static let breaches: [Breach] = [
        Breach(
            rule: "9112 §6.1 length and chunks",
            request: head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            status: "400"
        ),
        Breach(
            rule: "9110 §8.6 two lengths",
            request: head("Content-Length: 3\r\nContent-Length: 4\r\n"),
            status: "400"
        ),
        Breach(
            rule: "9110 §8.6 the same length twice",
            request: head("Content-Length: 3\r\nContent-Length: 3\r\n"),
            status: "400"
        ),
        Breach(rule: "9110 §8.6 a signed length", request: head("Content-Length: +3\r\n"), status: "400"),
        Breach(rule: "9110 §8.6 a list of lengths", request: head("Content-Length: 3, 3\r\n"), status: "400"),
        Breach(
            rule: "9112 §6.1 chunked twice",
            request: head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            status: "400"
        ),
        Breach(rule: "9112 §6.1 another coding", request: head("Transfer-Encoding: gzip, chunked\r\n"), status: "501"),
        Breach(rule: "9112 §6.1 a hidden coding", request: head("Transfer-Encoding: xchunked\r\n"), status: "501"),
        Breach(rule: "9112 §5.1 space before the colon", request: head("Content-Length : 3\r\n"), status: "400"),
        Breach(rule: "9112 §5.2 folded line", request: head("X: a\r\n b\r\n"), status: "400"),
        Breach(rule: "9112 §2.2 bare LF", request: "GET /function/fn HTTP/1.1\nHost: a\n\n", status: "400"),
        Breach(rule: "9110 §5.5 bare CR in a value", request: head("X: a\rb\r\n"), status: "400"),
        Breach(rule: "9110 §5.5 NUL in a value", request: head("X: a\0b\r\n"), status: "400"),
        Breach(rule: "9110 §5.1 an empty name", request: head(": a\r\n"), status: "400"),
        Breach(rule: "9110 §7.2 no Host", request: "GET /function/fn HTTP/1.1\r\n\r\n", status: "400"),
        Breach(rule: "9110 §7.2 two Hosts", request: head("Host: b\r\n"), status: "400"),
        Breach(
            rule: "9110 §7.2 a Host that is none",
            request: "GET /function/fn HTTP/1.1\r\nHost: a/b\r\n\r\n",
            status: "400"
        ),
        Breach(
            rule: "9110 §7.6.1 Connection names the length",
            request: head("Content-Length: 3\r\nConnection: Content-Length\r\n", "abc"),
            status: "400"
        ),
        Breach(rule: "9110 §7.6.1 Connection names Host", request: head("Connection: close, host\r\n"), status: "400"),
        Breach(rule: "9112 §3 no version", request: "GET /function/fn\r\nHost: a\r\n\r\n", status: "400"),
        Breach(rule: "9112 §3 two spaces", request: "GET  /function/fn HTTP/1.1\r\nHost: a\r\n\r\n", status: "400"),
        Breach(rule: "9112 §2.3 HTTP/2.0", request: "GET /function/fn HTTP/2.0\r\nHost: a\r\n\r\n", status: "505"),
        Breach(
            rule: "9112 §3.2 a target without slash",
            request: "GET function/fn HTTP/1.1\r\nHost: a\r\n\r\n",
            status: "400"
        ),
        Breach(rule: "9110 §10.1.1 another expectation", request: head("Expect: miracles\r\n"), status: "417"),
        Breach(rule: "9110 §9.3.6 CONNECT", request: "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", status: "405"),
        Breach(
            rule: "9112 §6.1 HTTP/1.0 with chunks",
            request: "POST /function/fn HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            status: "400"
        ),
        Breach(
            rule: "9112 §7.1 a bad chunk size",
            request: head("Transfer-Encoding: chunked\r\n", "x\r\n"),
            status: "400"
        ),
        Breach(
            rule: "9112 §7.1 a chunk longer than it says",
            request: head("Transfer-Encoding: chunked\r\n", "1\r\nabc\r\n"),
            status: "400"
        ),
        Breach(
            rule: "9112 §7.1 a size of 17 digits",
            request: head("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n"),
            status: "400"
        ),
        Breach(
            rule: "6585 §5 a head of 100 KiB",
            request: head("X: \(String(repeating: "a", count: 102_400))\r\n"),
            status: "431"
        ),
        Breach(
            rule: "6585 §5 fields of few bytes each, but 2000 of them",
            request: head(String(repeating: "X:\r\n", count: 2000)),
            status: "431"
        ),
        Breach(
            rule: "9110 §15.5.15 a target of 100 KiB",
            request: "GET /function/fn/\(String(repeating: "a", count: 102_400)) HTTP/1.1\r\nHost: a\r\n\r\n",
            status: "414"
        ),
    ]

    private static func head(_ fields: String, _ body: String = "") -> String {
        "POST /function/fn HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\(body)"
    }

    @Test(arguments: breaches)
    func `a request that breaks a rule is refused and its connection ends`(breach: Breach) async throws {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(breach.request)
        #expect(answer.hasPrefix("HTTP/1.1 \(breach.status) "), "\(answer)")
        #expect(answer.contains("Connection: close"))
        #expect(answer.contains("X-OpenFaaS-Internal"))
        #expect(answer.components(separatedBy: "X-OpenFaaS-Internal").count == 2, "answered more than once")
    }

    @Test(arguments: [
        "garbage\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", "HTTP/1.1 000 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Content-Length\r\n\r\na",
    ])
    func `a function's malformed answer is a 502 that blames it (§29)`(bytes: String) async throws {
        let fixture = try await EngineFixture { _ in [.send(bytes), .close] }
        let answer = try await fixture.exchange(
            EngineFixture.request("GET /function/fn HTTP/1.1", "Accept: application/json\r\n")
        )
        #expect(answer.hasPrefix("HTTP/1.1 502 "), "\(answer)")
        #expect(answer.contains("\"fault\":\"function\""))
    }

    @Test func `fields have no other limit than the bytes of their head, each counting 32 more`() async throws {
        let settings = EngineSettings(headLimit: 20_000, servedBy: "martlet/test")
        let fixture = try await EngineFixture(settings: settings)
        for (count, status) in [(500, "200"), (530, "431")] {
            let fields = String(repeating: "X: a\r\n", count: count)
            let answer = try await fixture.exchange(EngineFixture.request("GET /function/fn HTTP/1.1", fields))
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(count) \(answer)")
        }
        let long = EngineFixture.request("GET /function/fn HTTP/1.1", "X: \(String(repeating: "a", count: 19_000))\r\n")
        #expect(try await fixture.exchange(long).hasPrefix("HTTP/1.1 200 "))
    }

    @Test(arguments: [
        ("TRACE /function/fn", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("get /function/fn", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("MAKEUP /function/fn/a", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("CONNECT a:1", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"), ("GET /async-function/fn", "DELETE, POST"),
        ("post /async-function/fn", "DELETE, POST"), ("TRACE //async-function/fn", "DELETE, POST"),
    ])
    func `a method that is not for a path is a 405 that names those that are (9110 §15.5.6)`(
        line: String,
        allowed: String
    ) async throws {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(EngineFixture.request("\(line) HTTP/1.1"))
        #expect(answer.hasPrefix("HTTP/1.1 405 ") && answer.contains("\r\nAllow: \(allowed)\r\n"), "\(answer)")
    }

    @Test func `a head that comes too slowly is a 408, however often a byte of it comes`() async throws {
        let settings = EngineSettings(headTimeout: .milliseconds(300), servedBy: "martlet/test")
        let fixture = try await EngineFixture(settings: settings)
        let connection = try RawConnection(port: fixture.port)
        // Kept connections wait for the next head as long as ever.
        try await connection.send("GET /function/fn HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try await connection.receive(until: "ok").hasPrefix("HTTP/1.1 200 "))
        try await connection.send("GET /function/fn HTTP/1.1\r\nHost: a\r\nX: ")
        #expect(
            try await eventually {
                if !connection.hasInput { try await connection.send("a") }
                return connection.hasInput
            }
        )
        let answer = try await connection.receive()
        #expect(answer.hasPrefix("HTTP/1.1 408 ") && answer.contains("Connection: close\r\n"), "\(answer)")
    }

    @Test(arguments: [100, 102, 103])
    func `interim answers pass or are swallowed, and the final one follows`(status: Int) async throws {
        let fixture = try await EngineFixture { _ in
            [.send("HTTP/1.1 \(status) Early\r\nLink: </x>\r\n\r\n"), .send(EngineFixture.ok)]
        }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.contains("HTTP/1.1 \(status) Early") == (status != 100))
        #expect(answer.hasSuffix("ok"))
    }

    @Test(arguments: [299, 418, 600, 999])
    func `any status of three digits passes as sent (§29)`(status: Int) async throws {
        let fixture = try await EngineFixture { _ in [.send("HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\r\n")] }
        #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 \(status) X\r\n"))
    }
}
