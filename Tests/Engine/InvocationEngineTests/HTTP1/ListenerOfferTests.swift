// SPDX-License-Identifier: Apache-2.0

import FaultModel
import InvocationEngine
import NIOCore
import ProviderContract
import TestSupport
import Testing

/// Several listeners of one engine, each with what is found there.
struct ListenerOfferTests {
    /// Says who it is.
    private struct Named: LocalResponder {
        let name: String

        func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
            let bytes = ByteBuffer(string: "\(name): \(request.method) \(request.target)")
            // The only failure is a client that has gone.
            try? await writer.writeHead(status: 200, headers: [("Content-Length", "\(bytes.readableBytes)")])
            try? await writer.write(bytes)
        }
    }

    private func ask(_ port: Int, _ line: String) async throws -> String {
        let connection = try RawConnection(port: port)
        try await connection.send("\(line) HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return try await connection.receive()
    }

    @Test func `functions are called where they are offered, and everything else is the listener's own`() async throws {
        let settings = EngineSettings(servedBy: "martlet/test", intake: AcceptingIntake())
        let fixture = try await EngineFixture(settings: settings)
        let other = try await fixture.listen(ListenerOffer(responder: Named(name: "other")))
        let closed = try await fixture.listen(ListenerOffer(responder: Named(name: "closed"), hasFunctions: false))
        var route = try EngineFixture.route(replicas: [fixture.replica])
        route.paths = ["/shop"]
        fixture.table.apply(.changed(route))
        for port in [fixture.port, other] {
            #expect(try await ask(port, "GET /function/fn").hasSuffix("\r\n\r\nok"))
            #expect(try await ask(port, "GET /shop/x").hasSuffix("\r\n\r\nok"))
            #expect(try await ask(port, "POST /async-function/fn").hasPrefix("HTTP/1.1 202 "))
        }
        #expect(try await ask(fixture.port, "GET /system/x").contains("GET /system/x\n"))
        #expect(try await ask(other, "GET /system/x").hasSuffix("\r\n\r\nother: GET /system/x"))
        let others = [
            "GET /function/fn", "POST /async-function/fn", "GET //function/fn", "DELETE /system/x", "GET /shop/x",
        ]
        for line in others {
            let answer = try await ask(closed, line)
            #expect(answer.contains("\r\n\r\nclosed: \(line.replacing("//", with: "/"))"), "\(answer)")
        }
        #expect(try await fixture.metrics()?.started == 4)
    }
}
