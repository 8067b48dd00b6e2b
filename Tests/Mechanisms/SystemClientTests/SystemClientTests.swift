// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import FaultModel
import Foundation
import FunctionModel
import SystemClient
import TestSupport
import Testing

/// What the client makes of addresses that are none and of answers that are odd.
struct SystemClientTests {
    private static let login = SystemClient.Login(user: "admin", password: "swordfish")

    private func client(_ url: String, login: SystemClient.Login? = nil) -> SystemClient {
        SystemClient(baseURL: url, login: login, http: RunningMartlet.http)
    }

    private func client(of server: ScriptedOrigin, _ path: String = "") -> SystemClient {
        client("http://127.0.0.1:\(server.port)\(path)", login: Self.login)
    }

    private static func answer(_ status: String, _ body: String, _ fields: String = "") -> [ScriptedOrigin.Step] {
        [.send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)")]
    }

    @Test(arguments: [
        "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://[::1]:70000", "http://h:99999999999999999999",
        "ftp://h",
        "", "http://", "http://h:-1", "http://h?x",
    ])
    func `an address that nobody can be reached at is refused with how to write it`(url: String) async {
        let fault = await #expect(throws: PlatformFault.self) { try await client(url).info() }
        #expect(fault?.code == .badSettings && fault?.hint?.contains("http://HOST:PORT") == true)
    }

    @Test(arguments: ["http://user:pa/swordfish@h", "http://user:swordfish", "user:swordfish@h"])
    func `a password in what is no address is not told`(url: String) async {
        let fault = await #expect(throws: PlatformFault.self) { try await client(url).info() }
        #expect(fault?.code == .badSettings && fault?.message.contains("swordfish") == false)
    }

    @Test(arguments: ["unix://", "http+unix://"])
    func `a server on a socket in the file system is asked by a Host that says nothing`(scheme: String) async throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/a b.sock"
        let server = try await ScriptedOrigin(path: path) { _ in Self.answer("200 OK", "{}") }
        let encoded = path.replacing("/", with: "%2F").replacing(" ", with: "%20")
        let url = scheme + (scheme == "unix://" ? path : encoded)
        let client = client(url, login: Self.login)
        _ = try await client.info()
        let request = await server.nextRequest()
        #expect(
            request.hasPrefix("GET /system/info HTTP/1.1\r\n") && request.lowercased().contains("host: localhost\r\n")
        )
        #expect(request.lowercased().contains("authorization: basic "))
        #expect(client.address(ofFunction: "env") == "http://localhost/function/env on \(path)")
        let nobody = self.client("unix://\(folder.path)/none")
        let fault = await #expect(throws: PlatformFault.self) { try await nobody.info() }
        #expect(fault?.code == .providerUnreachable && fault?.message.contains("/none") == true)
    }

    @Test func `a followed log that gives signs of life and then none for 30 s ends with a fault`() async throws {
        let clock = ManualClock()
        let server = try await ScriptedOrigin { request in
            let fields = request.contains("name=quiet") ? "" : "X-Martlet-Heartbeat: 10s\r\n"
            return [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\(fields)\r\n1\r\n\n\r\n")]
        }
        let client = SystemClient(
            baseURL: "http://127.0.0.1:\(server.port)",
            login: nil,
            http: RunningMartlet.http,
            clock: clock
        )
        func query(_ name: String) -> LogQuery {
            var query = LogQuery(function: FunctionID(name: name, namespace: "openfaas-fn"), instance: nil)
            query.follow = true
            return query
        }
        let quiet = Task { for try await _ in try await client.logs(query("quiet")) {} }
        let lively = Task { for try await _ in try await client.logs(query("lively")) {} }
        #expect(await eventually { clock.sleepers == [.seconds(30)] })
        clock.advance(by: .seconds(30))
        let fault = await #expect(throws: PlatformFault.self) { try await lively.value }
        #expect(fault?.code == .providerUnreachable)
        #expect(clock.sleepers.isEmpty, "another may well have nothing to say")
        quiet.cancel()
        _ = await quiet.result
    }

    @Test(arguments: ["", "/"]) func `an address may end in a slash`(end: String) async throws {
        let server = try await ScriptedOrigin { _ in Self.answer("200 OK", "[]") }
        #expect(try await client(of: server, end).functions(in: nil).isEmpty)
        #expect(await server.nextRequest().hasPrefix("GET /system/functions HTTP/1.1\r\n"))
    }

    @Test func `the password goes where it is wanted, and is never printed`() async throws {
        let server = try await ScriptedOrigin { _ in Self.answer("200 OK", "") }
        let token = Data("admin:swordfish".utf8).base64EncodedString()
        _ = try await client(of: server).send("GET", "/system/info")
        #expect(await server.nextRequest().contains("authorization: Basic \(token)\r\n"))
        _ = try await client(of: server).send("GET", "/function/x", withLogin: false)
        #expect(await !server.nextRequest().contains(token))
        _ = try await client(of: server).send("GET", "/system/info", headers: [("Authorization", "Bearer own")])
        #expect(await !server.nextRequest().contains(token))
        #expect(!"\(Self.login)".contains("swordfish"))
    }

    @Test func `an answer that cannot be parsed, breaks off or has no end is the other side's fault`() async throws {
        let odd = try await ScriptedOrigin { _ in Self.answer("200 OK", "<html>") }
        let broken = try await ScriptedOrigin { _ in [.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"), .close] }
        for server in [odd, broken] {
            let fault = await #expect(throws: PlatformFault.self) { try await client(of: server).functions(in: nil) }
            #expect(fault?.source == .provider)
        }
        let long = try await ScriptedOrigin { _ in Self.answer("200 OK", String(repeating: " ", count: 100)) }
        let answer = try await client(of: long).send("GET", "/")
        await #expect(throws: PlatformFault.self) { try await client(of: long).collect(answer, upTo: 99) }
    }

    @Test func `faults say what the other side said`() async throws {
        let json = #"{"error":"No.","code":"conflict","fault":"caller","hint":"Wait."}"#
        let ours = try await ScriptedOrigin { _ in Self.answer("409 Conflict", json) }
        let told = await #expect(throws: PlatformFault.self) { try await client(of: ours).info() }
        #expect(told?.code == .conflict && told?.message == "No." && told?.hint == "Wait.")
        let theirs = try await ScriptedOrigin { _ in Self.answer("404 Not Found", "nothing here\n") }
        let text = await #expect(throws: PlatformFault.self) { try await client(of: theirs).info() }
        #expect(text?.code == .notFound && text?.message == "nothing here")
    }

    @Test func `lines are read whole however they come, the last one without an end too`() async throws {
        let texts = ["first", "zweite äöü", "third 🐦"]
        let lines = try texts.map { text in
            let line = LogLine(name: "f", namespace: "n", instance: "i", timestamp: .now(), text: text)
            return String(decoding: try JSONEncoder().encode(line), as: UTF8.self)
        }
        let bytes = Array((lines.joined(separator: "\n\n")).utf8)
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for size in [1, 7, bytes.count] {
            let chunks = stride(from: 0, to: bytes.count, by: size).map { start in
                bytes[start..<min(start + size, bytes.count)]
            }
            // A chunk may end within a character.
            let server = try await ScriptedOrigin { _ in
                [.send(head)]
                    + chunks.map { chunk in
                        .sendBytes(Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + [13, 10])
                    }
                    + [.send("0\r\n\r\n")]
            }
            let query = LogQuery(function: FunctionID(name: "f", namespace: "n"), follow: true)
            var seen: [String] = []
            for try await line in try await client(of: server).logs(query) { seen.append(line.text) }
            #expect(seen == texts, "\(size)")
        }
    }
}
