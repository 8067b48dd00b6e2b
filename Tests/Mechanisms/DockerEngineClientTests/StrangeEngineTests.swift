// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import DockerEngineClient

/// Engines that hang, break off, or answer what nobody asked for.
struct StrangeEngineTests {
    private static let version = #"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Arch":"amd64"}"#

    private static func answer(_ body: String, status: String = "200 OK") -> ScriptedOrigin.Step {
        .send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    private static func engine(
        _ steps: @escaping @Sendable (_ request: String) -> [ScriptedOrigin.Step]
    ) async throws -> (ScriptedOrigin, DockerEngine) {
        let origin = try await ScriptedOrigin { $0.contains("/version") ? [answer(version)] : steps($0) }
        return (origin, try await DockerEngine.connect(.tcp(host: "127.0.0.1", port: origin.port, tls: nil)))
    }

    @Test func `one that freezes before or within an answer is no engine`() async throws {
        for steps: [ScriptedOrigin.Step] in [[], [.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")]] {
            let origin = try await ScriptedOrigin { _ in steps }
            await #expect {
                try await DockerEngine.connect(
                    .tcp(host: "127.0.0.1", port: origin.port, tls: nil),
                    within: .milliseconds(200)
                )
            } throws: {
                if case .unreachable = $0 as? EngineFault { true } else { false }
            }
        }
    }

    @Test(arguments: ["", "{", "[]", "null", "\"text\"", #"{"Id":7}"#, #"{"Id":"x","State":{}}"#])
    func `one whose answer is none is told as that`(body: String) async throws {
        let (origin, engine) = try await Self.engine { _ in [Self.answer(body)] }
        await #expect(throws: EngineFault.self) { try await engine.inspectContainer("x") }
        await engine.shutdown()
        withExtendedLifetime(origin) {}
    }

    @Test func `an image's name asks for nothing else`() async throws {
        let (origin, engine) = try await Self.engine { _ in [Self.answer(#"{"message":"No"}"#, status: "404 Not Found")]
        }
        var heads = origin.requests.makeAsyncIterator()
        _ = await heads.next()
        #expect(try await engine.inspectImage("team/fn:1?x=1#y") == nil)
        let head = await heads.next() ?? ""
        #expect(head.hasPrefix("GET /v1.41/images/team/fn%3A1%3Fx%3D1%23y/json "), "\(head)")
        await engine.shutdown()
    }

    @Test func `a pull that fails behind its 200 has failed, also where its last line has no end`() async throws {
        let lines =
            "{\"status\":\"Pulling\"}\n{\"errorDetail\":{\"message\":\"unknown blob\"},\"error\":\"unknown blob\"}"
        let (origin, engine) = try await Self.engine { _ in [Self.answer(lines)] }
        await #expect(throws: EngineFault.self) { try await engine.pull("fn:1", credentials: nil) }
        await engine.shutdown()
        withExtendedLifetime(origin) {}
    }
}
