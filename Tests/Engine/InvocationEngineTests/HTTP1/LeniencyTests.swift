// SPDX-License-Identifier: Apache-2.0

import Foundation
import InvocationEngine
import TestSupport
import Testing

/// What looks odd and is valid by RFC 9110 and RFC 9112 is accepted, and goes on in the one form that all read alike.
struct LeniencyTests {
    /// Sends a request to the function `fn`, and shows what the function gets of it.
    private func answer(_ request: String, seen: ((String) -> Void)? = nil) async throws -> String {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(request)
        if let seen, answer.hasPrefix("HTTP/1.1 200 ") { seen(await fixture.origin.nextRequest()) }
        return answer
    }

    private func post(_ fields: String, _ body: String = "") -> String {
        EngineFixture.request("POST /function/fn HTTP/1.1", fields, body: body)
    }

    @Test(arguments: ["HTTP/1.2", "HTTP/1.9"])
    func `a later minor version is spoken as 1.1 (9110 §2.5)`(version: String) async throws {
        let answer = try await answer("GET /function/fn \(version)\r\nHost: a\r\nConnection: close\r\n\r\n") {
            #expect($0.hasPrefix("GET / HTTP/1.1\r\n"))
        }
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("Connection: close"), "\(answer)")
        // It is no 1.0, so chunks are its body's end.
        let chunked =
            "POST /function/fn \(version)\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        #expect(try await self.answer(chunked).hasPrefix("HTTP/1.1 200 "))
    }

    @Test(arguments: ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0"])
    func `another major version is a 505`(version: String) async throws {
        let answer = try await answer("GET /function/fn \(version)\r\nHost: a\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 505 "), "\(answer)")
    }

    @Test(arguments: ["HTTP/1.", "HTTP/1.10", "HTTP/1.1 ", "http/1.1", "HTTP/a.1", "HTTP/1.a", "HTTP/1,1", "HTTP/11.1"])
    func `what is no version is a 400`(version: String) async throws {
        let answer = try await answer("GET /function/fn \(version)\r\nHost: a\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(answer)")
    }

    @Test(arguments: ["HTTP/1.2 200 OK\r\n", "HTTP/1.1 200\r\n", "HTTP/1.1 200 \r\n", "HTTP/1.7 200 Fine\r\n"])
    func `so it is with answers`(line: String) async throws {
        let fixture = try await EngineFixture { _ in [.send(line + "Content-Length: 2\r\n\r\nok")] }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.hasSuffix("\r\n\r\nok"), "\(answer)")
    }

    @Test(arguments: [
        "003\r\nabc\r\n0\r\n\r\n", "0000000000000000000003\r\nabc\r\n00000000000000000000\r\n\r\n",
        "3 ;a=b\r\nabc\r\n0\r\n\r\n",
        "3\t ; a = \"b;c\"\r\nabc\r\n0;last\r\n\r\n", "3;a;b=c\r\nabc\r\n0\r\n\r\n",
    ])
    func `sizes of chunks may have zeros before them and extensions behind them (9112 §7.1)`(body: String) async throws
    {
        let fixture = try await EngineFixture(environment: ["http_buffer_req_body": "true"])
        let answer = try await fixture.exchange(post("Transfer-Encoding: chunked\r\n", body))
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        #expect(await fixture.origin.nextRequest().contains("Content-Length: 3\r\n"))
    }

    @Test(arguments: [
        "3 \r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3 a=b\r\nabc\r\n0\r\n\r\n",
        "1000000000000003\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "3;a=\u{7}\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "-0\r\n\r\n",
    ])
    func `anything else about a chunk's size is refused`(body: String) async throws {
        let answer = try await answer(post("Transfer-Encoding: chunked\r\n", body))
        #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(body) \(answer)")
    }

    @Test(arguments: ["\r\n", "\r\n\r\n", "\r\n\r\n\r\n\r\n"])
    func `empty lines before a request line are none of it (9112 §2.2)`(lines: String) async throws {
        let fixture = try await EngineFixture()
        let connection = try RawConnection(port: fixture.port)
        // Before the first one, and behind a body, as some clients do it; at once and in pieces.
        try await connection.send(
            "\(lines)POST /function/fn HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\(lines)"
        )
        #expect(try await connection.receive(until: "ok").hasPrefix("HTTP/1.1 200 "))
        for byte in lines { try await connection.send(String(byte)) }
        try await connection.send(EngineFixture.request())
        #expect(try await connection.receive().hasPrefix("HTTP/1.1 200 "))
    }

    @Test func `a connection on which only empty lines came is idle, and ends without a word when it drains`()
        async throws
    {
        let fixture = try await EngineFixture()
        let connection = try RawConnection(port: fixture.port)
        try await connection.send("GET /function/fn HTTP/1.1\r\nHost: a\r\n\r\n\r\n")
        #expect(try await connection.receive(until: "ok").hasPrefix("HTTP/1.1 200 "))
        await fixture.drain()
        #expect(try await connection.receive().isEmpty)
    }

    @Test(arguments: ["close,,", ", close", " , ,close , ", "close, ,X-A", "keep-alive,,close"])
    func `Connection may have empty members (9110 §5.6.1)`(list: String) async throws {
        let answer = try await answer(
            "GET /function/fn HTTP/1.1\r\nHost: a\r\nConnection: \(list)\r\nX-A: 1\r\n\r\n"
        ) { #expect($0.contains("X-A") == !list.contains("X-A")) }
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("Connection: close\r\n"), "\(answer)")
    }

    @Test func `a field is named in Connection at most a hundred times, since each is looked for`() async throws {
        let many = (0..<101).map { "X-\($0)" }.joined(separator: ",")
        #expect(
            try await answer(EngineFixture.request("GET /function/fn HTTP/1.1", "Connection: \(many)\r\n")).hasPrefix(
                "HTTP/1.1 431 "
            )
        )
        let few = (0..<100).map { "X-\($0)" }.joined(separator: ",,")
        #expect(
            try await answer(EngineFixture.request("GET /function/fn HTTP/1.1", "Connection: \(few)\r\n")).hasPrefix(
                "HTTP/1.1 200 "
            )
        )
    }

    @Test(arguments: ["03", "003", "0000000000000000000000003"])
    func `zeros before a length go no further: some would read an octal number (9110 §8.6)`(length: String) async throws
    {
        let answer = try await answer(post("Content-Length: \(length)\r\n", "abc")) {
            #expect(
                $0.components(separatedBy: "Content-Length: ").count == 2 && $0.contains("\r\nContent-Length: 3\r\n")
            )
        }
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        let fixture = try await EngineFixture { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(length)\r\n\r\nabc")]
        }
        let reply = try await fixture.exchange(EngineFixture.request())
        #expect(reply.contains("\r\nContent-Length: 3\r\n") && reply.hasSuffix("\r\n\r\nabc"), "\(reply)")
        #expect(!reply.contains("Content-Length: 0"))
    }

    @Test func `a length of zeros is none`() async throws {
        let answer = try await answer(post("Content-Length: 000\r\n")) {
            #expect($0.contains("\r\nContent-Length: 0\r\n"))
        }
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
    }

    @Test(arguments: [
        ("http://a/function/fn", "/"), ("http://a/function/fn?b", "/?b"), ("HTTPS://a:1/function/fn/c", "/c"),
    ])
    func `a target may be a whole URL (9112 §3.2.2)`(target: String, path: String) async throws {
        let answer = try await answer(EngineFixture.request("GET \(target) HTTP/1.1")) {
            #expect($0.hasPrefix("GET \(path) HTTP/1.1\r\n"), "\($0)")
        }
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
    }

    @Test func `behind an authority the path may be left out, and OPTIONS asks about the server then`() async throws {
        for (line, body) in [
            ("GET http://a HTTP/1.1", "GET /\n"), ("GET http://a:80?b=c HTTP/1.1", "GET /?b=c\n"),
            ("OPTIONS http://a?b HTTP/1.1", "OPTIONS /?b\n"), ("OPTIONS http://a HTTP/1.1", ""),
            ("OPTIONS * HTTP/1.1", ""),
        ] {
            let answer = try await answer(EngineFixture.request(line))
            #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.hasSuffix("\r\n\r\n\(body)"), "\(line) \(answer)")
            #expect(answer.contains("\r\nAllow: ") == body.isEmpty)
        }
    }
}
