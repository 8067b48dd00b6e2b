// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import NIOPosix
import ProviderContract
import TestSupport
import Testing

@testable import InvocationEngine

/// Servers at addresses of all kinds, and what requests to them get besides.
struct UpstreamTests {
    private let folder = TemporaryFolder()

    @Test func `calls reach a server on a socket in the file system, one after another on one connection`() async throws
    {
        let path = folder.path + "/s"
        let origin = try await ScriptedOrigin(path: path) { _ in [.send(EngineFixture.ok)] }
        let fixture = try await EngineFixture()
        try await fixture.serve(Upstream(.unix(path: path), pathPrefix: "/base"))
        let connection = try RawConnection(port: fixture.port)
        for _ in 0..<3 {
            try await connection.send("GET /function/fn/a?b HTTP/1.1\r\nHost: gw\r\n\r\n")
            #expect(try await connection.receive(until: "\r\n\r\nok").hasPrefix("HTTP/1.1 200 "))
            let request = await origin.nextRequest()
            #expect(
                request.hasPrefix("GET /base/a?b HTTP/1.1\r\n") && request.contains("\r\nHost: gw\r\n"),
                "\(request)"
            )
        }
        #expect(try await fixture.exchange("GET /function/fn HTTP/1.0\r\n\r\n").hasSuffix("ok"))
        #expect(await origin.nextRequest().contains("\r\nHost: localhost\r\n"), "for a client that names none")
    }

    @Test func `a socket that nobody listens on is a 502 that says so`() async throws {
        let fixture = try await EngineFixture()
        try await fixture.serve(Upstream(.unix(path: folder.path + "/none")))
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 502 ") && answer.contains("does not accept connections"), "\(answer)")
    }

    @Test func `a path that is too long for a socket is a 502, too`() async throws {
        let fixture = try await EngineFixture()
        try await fixture.serve(Upstream(.unix(path: "/" + String(repeating: "x", count: 300))))
        #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 502 "))
    }

    @Test(.enabled("needs IPv6", UpstreamTests.hasIPv6))
    func `calls reach a server at an address of IPv6`() async throws {
        let origin = try await ScriptedOrigin(host: "::1") { _ in [.send(EngineFixture.ok)] }
        let fixture = try await EngineFixture()
        let upstream = try #require(Upstream(url: "http://[::1]:\(origin.port)/base/"))
        #expect(upstream.address == .tcp(host: "::1", port: origin.port))
        try await fixture.serve(upstream)
        #expect(try await fixture.exchange("GET /function/fn/x HTTP/1.0\r\n\r\n").hasSuffix("ok"))
        let request = await origin.nextRequest()
        #expect(
            request.hasPrefix("GET /base/x ") && request.contains("\r\nHost: [::1]:\(origin.port)\r\n"),
            "\(request)"
        )
    }

    static func hasIPv6() async -> Bool {
        let bootstrap = ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        guard let channel = try? await bootstrap.bind(host: "::1", port: 0).get() else { return false }
        try? await channel.close()
        return true
    }

    /// Where the name has an address of IPv6 as well, that is tried first, and nobody is there.
    @Test func `calls reach a server by its name, at whichever of its addresses it listens`() async throws {
        let fixture = try await EngineFixture()
        try await fixture.serve(Upstream(.tcp(host: "localhost", port: fixture.origin.port)))
        for _ in 0..<3 {
            let answer = try await fixture.exchange(EngineFixture.request())
            #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        }
    }

    @Test func `what a server wants in every request stands in for the client's own`() async throws {
        let fixture = try await EngineFixture()
        var upstream = Upstream(.tcp(host: "127.0.0.1", port: fixture.origin.port))
        upstream.headers = [
            try #require(Upstream.Header(name: "Authorization", value: "Basic b3VyczpvdXJz")),
            try #require(Upstream.Header(name: "Host", value: "provider.example")),
        ]
        #expect(!"\(upstream.headers)".contains("b3VyczpvdXJz"), "it is not printed")
        try await fixture.serve(upstream)
        for target in ["/function/fn", "http://gw/function/fn"] {
            let answer = try await fixture.exchange(
                "GET \(target) HTTP/1.1\r\nHost: gw\r\nAUTHORIZATION: Basic bXk=\r\nX-A: 1\r\nauthorization: x\r\n"
                    + "Connection: close\r\n\r\n"
            )
            #expect(answer.hasSuffix("ok"), "\(answer)")
            let lines = await fixture.origin.nextRequest().split(separator: "\r\n").map(String.init)
            #expect(
                lines.filter { $0.lowercased().hasPrefix("authorization:") } == ["Authorization: Basic b3VyczpvdXJz"]
            )
            #expect(lines.filter { $0.lowercased().hasPrefix("host:") } == ["Host: provider.example"])
            #expect(lines.contains("X-A: 1") && lines.contains("X-Forwarded-Host: gw"), "\(lines)")
        }
        _ = try await fixture.exchange("GET /function/fn HTTP/1.0\r\n\r\n")
        #expect(await fixture.origin.nextRequest().contains("\r\nHost: provider.example\r\n"))
    }

    @Test func `a login that is for this hop alone is no function's business, any other is`() async throws {
        var settings = EngineSettings(servedBy: "martlet/test")
        settings.isOwnLogin = { $0 == "Basic b3Vycw==" }
        let fixture = try await EngineFixture(settings: settings)
        for (login, isTold) in [("Basic b3Vycw==", false), ("Basic dGhlaXJz", true)] {
            let line = "Authorization: \(login)\r\n"
            _ = try await fixture.exchange(EngineFixture.request("GET /function/fn HTTP/1.1", line + "X-A: 1\r\n"))
            let request = await fixture.origin.nextRequest()
            #expect(request.contains(line) == isTold && request.contains("X-A: 1\r\n"), "\(request)")
        }
    }

    @Test(arguments: [("A", "b\r\nC: d"), ("A:", "b"), ("", "b"), ("A\n", "b"), ("A", "\u{0}"), ("A B", "c")])
    func `what is not one line of a head cannot be added to it`(name: String, value: String) {
        #expect(Upstream.Header(name: name, value: value) == nil)
    }

    @Test func `a server by TLS is none for an engine that has none`() async throws {
        let fixture = try await EngineFixture()
        let tls = UpstreamTLS(identity: .init(certificates: "c", privateKey: "the key"))
        #expect(!"\(String(describing: tls.identity))".contains("the key"))
        try await fixture.serve(Upstream(.tcp(host: "127.0.0.1", port: fixture.origin.port), tls: tls))
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 502 ") && answer.contains("speaks TLS"), "\(answer)")
    }
}
