// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import ProviderContract
import TestSupport
import Testing
import UpstreamTLS

/// Calls of servers that speak TLS, which real certificates tell from others.
@Suite(.enabled("needs openssl: scripts/test --with-peers", OpenSSL.isThere))
struct TLSConnectorTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    private static var greeting: ByteBuffer { ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n") }
    private let folder = TemporaryFolder()

    /// A server with a certificate, and the way to it.
    private func server(
        _ security: ServerSecurity,
        path: String? = nil,
        answer: @escaping @Sendable (String) -> [ScriptedOrigin.Step] = { _ in [.send(TLSConnectorTests.ok)] }
    ) async throws -> ScriptedOrigin {
        try await ScriptedOrigin(path: path, prepare: { try security.prepare($0) }, answer: answer)
    }

    private func address(_ server: ScriptedOrigin) -> Upstream.Address { .tcp(host: "127.0.0.1", port: server.port) }

    @Test func `calls go over kept connections, and bodies of any size come whole`() async throws {
        let authority = try await TestAuthority()
        let large = String(repeating: "0123456789abcdef", count: 262_144)
        let server = try await server(try ServerSecurity(await authority.issue("IP:127.0.0.1"))) { request in
            let body = request.contains("/large") ? large : "ok"
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let engine = try await SecuredEngine(Upstream(address(server), tls: try UpstreamTLS(authority: authority)))
        let client = try RawConnection(port: engine.port)
        for _ in 0..<3 {
            try await client.send("GET /function/fn/a HTTP/1.1\r\nHost: gw\r\n\r\n")
            #expect(try await client.receive(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200 "))
            #expect(await server.nextRequest().contains("\r\nHost: gw\r\n"))
        }
        let post = "POST /function/fn/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4194304\r\n\r\n"
        let answer = try await engine.exchange(post + large)
        #expect(answer.hasSuffix("\r\n\r\n" + large), "\(answer.utf8.count) bytes")
        #expect(try await eventually { try await engine.callsInFlight() == 0 })
    }

    @Test func `the name that a certificate is for need not be that of the address`() async throws {
        let authority = try await TestAuthority()
        let server = try await server(try ServerSecurity(await authority.issue("DNS:one.example")))
        let tls = try UpstreamTLS(name: "one.example", authority: authority)
        let engine = try await SecuredEngine(Upstream(address(server), tls: tls))
        #expect(try await engine.exchange().hasSuffix("\r\n\r\nok"))
    }

    @Test func `a socket in the file system may be encrypted, too`() async throws {
        let authority = try await TestAuthority()
        let path = folder.path + "/s"
        let server = try await server(try ServerSecurity(await authority.issue("DNS:one.example")), path: path)
        let tls = try UpstreamTLS(name: "one.example", authority: authority)
        let engine = try await SecuredEngine(Upstream(.unix(path: path), tls: tls))
        #expect(try await engine.exchange().hasSuffix("\r\n\r\nok"))
        _ = server
    }

    @Test func `an answer that only the connection's end ends is whole when its server says so, else broken off`()
        async throws
    {
        let authority = try await TestAuthority()
        let identity = try await authority.issue("IP:127.0.0.1")
        for cuts in [false, true] {
            let security = try ServerSecurity(identity, cutsConnections: cuts)
            let server = try await server(security) { request in
                let length = request.contains("/length") ? "Content-Length: 10\r\n" : ""
                return [.sendAndClose("HTTP/1.1 200 OK\r\n\(length)\r\nhalf")]
            }
            let engine = try await SecuredEngine(Upstream(address(server), tls: try UpstreamTLS(authority: authority)))
            let whole = try await engine.exchange()
            #expect(whole.hasPrefix("HTTP/1.1 200 ") && whole.contains("half"), "\(whole)")
            #expect(whole.hasSuffix("\r\n0\r\n\r\n") == !cuts, "cut: \(cuts) \(whole)")
            let announced = try await engine.exchange(
                "GET /function/fn/length HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            #expect(announced.hasSuffix("\r\n\r\nhalf"), "six bytes are missing: \(announced)")
        }
    }

    @Test func `a slow client gets all of an answer whose server has said goodbye`() async throws {
        let authority = try await TestAuthority()
        let body = String(repeating: "0123456789abcdef", count: 196_608)
        let server = try await server(try ServerSecurity(await authority.issue("IP:127.0.0.1"))) { _ in
            [.sendAndClose("HTTP/1.1 200 OK\r\n\r\n\(body)")]
        }
        let engine = try await SecuredEngine(Upstream(address(server), tls: try UpstreamTLS(authority: authority)))
        let client = try RawConnection(port: engine.port, receiveBuffer: 4096)
        try await client.send("GET /function/fn HTTP/1.0\r\n\r\n")
        _ = await server.nextRequest()
        let answer = try await client.receive()
        #expect(answer.hasSuffix(body), "\(answer.utf8.count) bytes")
    }

    @Test func `upgraded connections carry bytes both ways, and end by halves`() async throws {
        let authority = try await TestAuthority()
        let server = try await server(try ServerSecurity(await authority.issue("IP:127.0.0.1"))) { request in
            request.contains("Upgrade: echo")
                ? [.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello")]
                : [.sendAndClose("got it")]
        }
        let engine = try await SecuredEngine(Upstream(address(server), tls: try UpstreamTLS(authority: authority)))
        let client = try RawConnection(port: engine.port)
        try await client.send("GET /function/fn HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        #expect(try await client.receive(until: "hello").hasPrefix("HTTP/1.1 101 "))
        try await client.send("last words\r\n\r\n")
        client.endInput()
        #expect(try await client.receive() == "got it")
        #expect(try await eventually { try await engine.callsInFlight() == 0 })
    }

    @Test func `a certificate that is not right is a 503 that says what is wrong with it`() async throws {
        let authority = try await TestAuthority()
        let stranger = try await TestAuthority()
        let cases: [(TestAuthority.Identity, UpstreamTLS, String)] = [
            (
                try await authority.issue("DNS:one.example"), try UpstreamTLS(authority: authority),
                "not for this address"
            ),
            (
                try await authority.issue("DNS:one.example"),
                try UpstreamTLS(name: "two.example", authority: authority),
                "not for the name two.example"
            ),
            (
                try await authority.issue("IP:127.0.0.1", days: -1), try UpstreamTLS(authority: authority),
                "it expired on"
            ),
            (
                try await stranger.issue("IP:127.0.0.1"), try UpstreamTLS(authority: authority),
                "no authority that is trusted"
            ),
            (try await authority.issue("IP:127.0.0.1"), UpstreamTLS(), "no authority that is trusted"),
        ]
        for (identity, tls, words) in cases {
            let server = try await server(try ServerSecurity(identity))
            let engine = try await SecuredEngine(Upstream(address(server), tls: tls))
            let answer = try await engine.exchange()
            #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains(words), "\(words): \(answer)")
            #expect(try await engine.callsInFlight() == 0)
        }
    }

    @Test func `a server that wants a certificate gets ours, and without one its refusal is told`() async throws {
        let authority = try await TestAuthority()
        let security = try ServerSecurity(
            await authority.issue("IP:127.0.0.1"),
            clients: authority.certificate
        )
        let server = try await server(security)
        let own = try await authority.issue("DNS:gateway.example")
        let known = try UpstreamTLS(authority: authority, identity: own)
        #expect(try await SecuredEngine(Upstream(address(server), tls: known)).exchange().hasSuffix("\r\n\r\nok"))
        let unknown = try UpstreamTLS(authority: authority)
        let refused = try await SecuredEngine(Upstream(address(server), tls: unknown)).exchange()
        #expect(refused.hasPrefix("HTTP/1.1 503 ") && refused.contains("does not accept the certificate"), "\(refused)")
    }

    @Test func `certificates that are renewed hold for new connections, and such that cannot be used for none`()
        async throws
    {
        let authority = try await TestAuthority()
        let stranger = try await TestAuthority()
        let server = try await server(try ServerSecurity(await authority.issue("IP:127.0.0.1")))
        let tls = try UpstreamTLS(authority: stranger)
        let engine = try await SecuredEngine(Upstream(address(server), tls: tls))
        #expect(try await engine.exchange().hasPrefix("HTTP/1.1 503 "))
        #expect(throws: PlatformFault.self) { try engine.connector.renew(tls, as: UpstreamTLS(roots: "no PEM")) }
        #expect(try await engine.exchange().hasPrefix("HTTP/1.1 503 "))
        try engine.connector.renew(tls, as: try UpstreamTLS(authority: authority))
        #expect(try await engine.exchange().hasSuffix("\r\n\r\nok"))
    }

    @Test func `a server that does not speak TLS, or hangs up, is told of`() async throws {
        let authority = try await TestAuthority()
        let tls = try UpstreamTLS(authority: authority)
        let plain = try await ScriptedOrigin(prepare: { $0.writeAndFlush(Self.greeting, promise: nil) }) { _ in [] }
        let answer = try await SecuredEngine(Upstream(address(plain), tls: tls)).exchange()
        #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains("speak TLS"), "\(answer)")
        let gone = try await ScriptedOrigin(prepare: { $0.close(promise: nil) }) { _ in [] }
        let hangUp = try await SecuredEngine(Upstream(address(gone), tls: tls)).exchange()
        #expect(hangUp.hasPrefix("HTTP/1.1 502 "), "\(hangUp)")
    }

    @Test func `what is no PEM, or does not belong together, is told before the first call`() async throws {
        let authority = try await TestAuthority()
        let one = try await authority.issue("DNS:a")
        let other = try await authority.issue("DNS:b")
        let mixed = TestAuthority.Identity(certificate: one.certificate, key: other.key)
        for tls in [
            UpstreamTLS(roots: "no PEM"), UpstreamTLS(roots: ""),
            try UpstreamTLS(authority: authority, identity: mixed),
            UpstreamTLS(identity: .init(certificates: "x", privateKey: "y")),
        ] {
            let fault = #expect(throws: PlatformFault.self) { try TLSConnector().prepare(tls) }
            #expect(fault?.code == .badSettings)
        }
        try TLSConnector().prepare(try UpstreamTLS(authority: authority, identity: one))
    }
}
