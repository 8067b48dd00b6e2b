// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization
import Testing

@testable import InvocationEngine
@testable import SystemAPI

/// What routes answer to methods, theirs and others (RFC 9110 §9.1, §15.5.6).
struct ResourceTests {
    /// Keeps one answer.
    private final class Answer: LocalResponseWriter {
        let kept = Mutex<(status: Int, headers: [String: String], body: String)>((0, [:], ""))

        func writeHead(status: Int, headers: [(name: String, value: String)]) async throws {
            let fields = headers.map { ($0.name.lowercased(), $0.value) }
            kept.withLock { $0 = (status, Dictionary(fields, uniquingKeysWith: { first, _ in first }), "") }
        }

        func write(_ bytes: ByteBuffer) async throws { kept.withLock { $0.body += String(buffer: bytes) } }
    }

    private let responder: HummingbirdResponder

    init() {
        var routes = RouteList()
        let text: Handler = { _, _ in Response(status: .ok, body: ResponseBody(byteBuffer: ByteBuffer(string: "read")))
        }
        let none: Handler = { _, _ in Response(status: .accepted) }
        routes.add(.leadToPage, text)
        routes.add(.showNamespace, text)
        routes.add(.deleteNamespace, none)
        routes.add(.alert, none)
        responder = HummingbirdResponder(
            routes,
            through: [FaultMiddleware()],
            behind: AccessGate(nil),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private func ask(
        _ method: String,
        _ path: String
    ) async -> (status: Int, headers: [String: String], body: String) {
        let answer = Answer()
        let request = LocalRequest(
            method: method,
            target: path,
            headers: [("Host", "a")],
            contentLength: 0,
            clientAddress: nil
        )
        await responder.respond(to: request, body: LocalRequestBody(stream: nil), writer: answer)
        return answer.kept.withLock { $0 }
    }

    @Test(arguments: ["POST", "TRACE", "CONNECT", "MAKEUP", "get", "G!T", "PATCH", "PUT", "OPTIONS"])
    func `a method that a path does not have is a 405 that names those it has, whatever it is called`(
        method: String
    ) async {
        for (path, allowed) in [("/", "GET, HEAD"), ("/system/namespace/a", "DELETE, GET, HEAD")] {
            let answer = await ask(method, path)
            #expect(answer.status == 405 && answer.headers["allow"] == allowed, "\(method) \(path) \(answer)")
        }
        let answer = await ask(method == "POST" ? "GET" : method, "/system/alert")
        #expect(answer.status == 405 && answer.headers["allow"] == "POST", "\(answer)")
    }

    @Test func `HEAD answers what GET does, without the body`() async {
        let (get, head) = (await ask("GET", "/system/namespace/a"), await ask("HEAD", "/system/namespace/a"))
        #expect(get.status == 200 && get.body == "read")
        #expect(head.status == 200 && head.body.isEmpty && head.headers["content-length"] == "4", "\(head)")
        #expect(await ask("HEAD", "/system/alert").status == 405)
    }

    @Test(arguments: ["GET", "TRACE", "MAKEUP"])
    func `a path that is not there is 404 for every method`(method: String) async {
        #expect(await ask(method, "/nothing").status == 404)
    }
}
