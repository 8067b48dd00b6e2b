// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import NIOCore
import TestSupport
import Testing

/// Calls that the platform makes itself, past any socket.
struct DirectCallTests {
    private func call(
        _ name: String = "fn",
        method: String = "POST",
        target: String = "/a?b=c",
        fields: String = "X-Thing: 7\r\n",
        limit: Int = 1000,
        answer: @escaping @Sendable (String) -> [ScriptedOrigin.Step]
    ) async throws -> DirectAnswer {
        let fixture = try await EngineFixture(answer: answer)
        let request = DirectRequest(
            function: FunctionID(name: name, namespace: "openfaas-fn"),
            method: method,
            target: target,
            fields: ByteBuffer(string: "Host: gw\r\n\(fields)"),
            body: ByteBuffer(string: "Hi"),
            clientAddress: "10.0.0.9",
            callID: "the-call",
            answerLimit: limit
        )
        return await withCheckedContinuation { continuation in
            _ = fixture.call(request) { continuation.resume(returning: $0) }
        }
    }

    @Test(arguments: [
        "Content-Length: 6\r\n\r\nanswer",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nans\r\n3\r\nwer\r\n0\r\nX-Late: 1\r\n\r\n",
        "Connection: close\r\n\r\nanswer",
    ])
    func `an answer comes whole, however its end is marked, without what is not the function's`(
        end: String
    ) async throws {
        let answer = try await call { request in
            #expect(request.hasPrefix("POST /a?b=c HTTP/1.1\r\n") && request.contains("X-Thing: 7\r\n"))
            return [
                .send("HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n"),
                .send("HTTP/1.1 201 Created\r\nX-Own: yes\r\nX-Call-Id: other\r\nRetry-After: 3\r\n\(end)"), .close,
            ]
        }
        #expect(answer.status == 201 && String(buffer: answer.body) == "answer" && answer.size == 6)
        #expect(String(buffer: answer.fields) == "X-Own: yes\r\nRetry-After: 3\r\n")
        #expect(answer.retryAfter == "3" && answer.fault == nil && !answer.isPlatformAnswer)
    }

    @Test func `of a long answer as much is kept as was asked for, and its size is told`() async throws {
        let answer = try await call(limit: 4) { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer")]
        }
        #expect(String(buffer: answer.body) == "answ" && answer.size == 6)
    }

    @Test(arguments: [0, 1, 100, 5000, 200_000, 1_000_000])
    func `an answer of any length is kept up to the limit, and its fields with it`(length: Int) async throws {
        let body = String(repeating: "0123456789", count: length / 10 + 1).prefix(length)
        let answer = try await call(limit: 150_000) { _ in
            [.send("HTTP/1.1 200 OK\r\nX-Own: yes\r\nContent-Length: \(length)\r\n\r\n"), .send(String(body))]
        }
        #expect(String(buffer: answer.body) == body.prefix(150_000) && answer.size == length)
        #expect(String(buffer: answer.fields) == "X-Own: yes\r\n" && answer.status == 200)
    }

    @Test func `an answer to HEAD has no body`() async throws {
        let answer = try await call(method: "HEAD") { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")]
        }
        #expect(answer.status == 200 && answer.size == 0)
    }

    @Test(arguments: [
        "Content-Length: 9\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n",
    ])
    func `an answer that broke off is a 502 without a body`(start: String) async throws {
        let answer = try await call { _ in [.send("HTTP/1.1 200 OK\r\n" + start), .close] }
        #expect(answer.status == 502 && answer.body.readableBytes == 0 && answer.size == 0)
    }

    @Test func `a function that is not there is the platform's 404, with its fault`() async throws {
        let answer = try await call("nobody") { _ in [] }
        #expect(answer.status == 404 && answer.isPlatformAnswer && answer.fault?.code == .functionNotFound)
        #expect(String(buffer: answer.body).contains("nobody.openfaas-fn"))
    }

    /// Kept calls may be anybody's who writes to a queue.
    @Test(arguments: ["/a HTTP/1.1\r\nX-In: 1\r\nX-Rest: b", "/a b", "/a#b", "/a\n", "/\u{0}"])
    func `a path that is none is refused, and reaches nobody`(target: String) async throws {
        let answer = try await call(target: target) { _ in
            Issue.record("it was called")
            return []
        }
        #expect(answer.status == 400 && answer.isPlatformAnswer && answer.fault?.code == .malformedRequest)
    }

    @Test func `what told of a kept call's connection means nothing any more, and what was named there ends`()
        async throws
    {
        let fields =
            "Content-Length: 9\r\nTransfer-Encoding: chunked\r\nExpect: x\r\nConnection: Upgrade, X-Own\r\n"
            + "Upgrade: websocket\r\nX-Own: 1\r\nX-Thing: 7\r\n"
        let answer = try await call(method: "GET", fields: fields) { request in
            #expect(request.contains("Content-Length: 2\r\n") && request.contains("X-Thing: 7\r\n"), "\(request)")
            for field in ["Transfer-Encoding", "Expect", "Connection", "Upgrade", "X-Own", "Content-Length: 9"] {
                #expect(!request.contains("\r\n\(field)"), "\(request)")
            }
            return [.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")]
        }
        #expect(answer.status == 502 && answer.fault != nil, "nobody asked for another protocol")
    }
}
