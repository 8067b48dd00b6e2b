// SPDX-License-Identifier: Apache-2.0

import NIOCore
import ProviderContract
import TestSupport
import Testing

@testable import InvocationEngine

/// What names a server and what follows it in a target (RFC 9110 §7.2, RFC 3986 §3.2.2).
struct HostTests {
    private static let hosts = [
        "a", "a.example", "a:8080", "A-b_c.~d", "a:", "127.0.0.1:1", "a%2eb", "a:65535", "a:0080", "",
        "xn--bcher-kva.example",
        "[::1]", "[::1]:443", "[2001:db8::7]", "[::ffff:1.2.3.4]", "[v7.a:b]", "a!$&'()*+;=b",
    ]

    private static let others = [
        "a:b", "a:-1", "a:65536", "a:99999999999999999999", "a:1:2", "a:80 ", ":80", "a b", "a/b", "a?b", "a#b", "a@b",
        "u:p@a", "a,b", "a\\b", "a<b", "a>b", "a\"b", "a{b", "a}b", "a|b", "a^b", "a`b", "a[b", "a]b", "a%", "a%2",
        "a%zz",
        "[::1", "::1", "[]", "[::g]", "[1.2.3.4]", "[::1]a", "[::1]:x", "[fe80::1%25eth0]", "[v.a]", "[v7.]", "[::1]]",
        "[\(String(repeating: "1:", count: 40))]", "bücher.example",
    ]

    @Test(arguments: hosts) func `what is a host goes on as it came`(host: String) async throws {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(
            "GET /function/fn HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n"
        )
        #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        #expect(await fixture.origin.nextRequest().contains("\r\nHost: \(host)\r\n"))
        guard !host.isEmpty else { return }
        let absolute = "GET http://\(host)/function/fn HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        #expect(try await fixture.exchange(absolute).hasPrefix("HTTP/1.1 200 "))
        #expect(await fixture.origin.nextRequest().contains("\r\nHost: \(host)\r\n"))
    }

    @Test(arguments: others) func `what is none is none`(host: String) {
        #expect(!Array(host.utf8).withUnsafeBytes { HostGrammar.accepts($0) })
    }

    @Test(arguments: ["a:b", "a{b", "a:65536", "[::1", "a%zz", "b\u{fc}cher.example"])
    func `a request for what is no host is refused, in whatever form`(host: String) async throws {
        let fixture = try await EngineFixture()
        for request in [
            "GET /function/fn HTTP/1.1\r\nHost: \(host)\r\n\r\n", "GET /function/fn HTTP/1.0\r\nHost: \(host)\r\n\r\n",
            "GET http://\(host)/function/fn HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/function/fn HTTP/1.1\r\nHost: \(host)\r\n\r\n",
        ] {
            let answer = try await fixture.exchange(request)
            #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.contains("not a host"), "\(request) \(answer)")
        }
    }

    @Test(arguments: [("h", "h:81"), ("127.0.0.1", "127.0.0.1:81"), ("::1", "[::1]:81")])
    func `for a client that names no host the replica's address stands in`(address: String, host: String) throws {
        let text = try Array("GET /function/fn HTTP/1.0\r\n\r\n".utf8).withUnsafeBytes { raw in
            var scanner = HeadScanner()
            _ = try #require(try scanner.scan(raw, limit: 1024))
            let head = try RequestHead(scanner.startLine, scanner.fields, in: raw)
            let target = Upstream(.tcp(host: address, port: 81))
            let forwarded = ForwardedRequest(
                identifiesCalls: false,
                head: head,
                facts: CallFacts(),
                clientAddress: "1",
                rest: head.target,
                server: UpstreamServer(target, security: nil),
                userAgent: "u"
            )
            var out = ByteBuffer()
            forwarded.write(to: &out, from: raw, scanner.fields)
            return String(buffer: out)
        }
        #expect(text.contains("\r\nHost: \(host)\r\n"), "\(text)")
        #expect(Array(host.utf8).withUnsafeBytes { HostGrammar.accepts($0) })
    }

    @Test func `hosts of random bytes are those that the grammar has`() {
        var random = SeededGenerator()
        let plain = Set("-._~!$&'()*+;=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min ... .max {
            #expect([0x61, byte].withUnsafeBytes { HostGrammar.accepts($0) } == (plain.contains(byte) || byte == 0x3A))
        }
        for _ in 0..<20_000 {
            let bytes = random.mutated(Array(Self.hosts.randomElement(using: &random)?.utf8 ?? "".utf8))
            guard bytes.withUnsafeBytes({ HostGrammar.accepts($0) }) else { continue }
            let allowed = bytes.allSatisfy { plain.contains($0) || "%:[]".utf8.contains($0) }
            #expect(allowed, "\(random) \(bytes)")
        }
    }

    @Test(arguments: ["/function/fn#a", "/function/fn/a?b#c", "/#", "http://a/b#c", "http://a#c", "*#"])
    func `a target with a fragment is refused: clients keep theirs (RFC 9112 §3.2)`(target: String) async throws {
        let fixture = try await EngineFixture()
        let answer = try await fixture.exchange(EngineFixture.request("OPTIONS \(target) HTTP/1.1"))
        #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.contains("fragment"), "\(answer)")
    }

    @Test(
        arguments: [
            ("h2c", nil), ("H2C", nil), ("HTTP/2.0", nil), ("h2c,, h2 ", nil), ("", nil), ("websocket", "websocket"),
            ("h2c, websocket", "websocket"), ("a/1 ,h2c,b", "a/1, b"),
        ] as [(String, String?)]
    )
    func `another version of HTTP is not offered to a function (RFC 9110 §7.8)`(
        offer: String,
        passed: String?
    ) async throws {
        let fixture = try await EngineFixture()
        let fields =
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: \(offer)\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
        let connection = try RawConnection(port: fixture.port)
        try await connection.send("GET /function/fn HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        let seen = await fixture.origin.nextRequest()
        #expect(seen.contains("Upgrade:") == (passed != nil) && !seen.contains("HTTP2-Settings"), "\(seen)")
        if let passed { #expect(seen.contains("\r\nConnection: Upgrade\r\nUpgrade: \(passed)\r\n")) }
    }

    @Test func `a function that begins to speak HTTP/2 is a 502`() async throws {
        let fixture = try await EngineFixture { _ in
            [.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")]
        }
        let fields = "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"
        let connection = try RawConnection(port: fixture.port)
        try await connection.send("GET /function/fn HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        #expect(try await connection.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 502 "))
    }
}
