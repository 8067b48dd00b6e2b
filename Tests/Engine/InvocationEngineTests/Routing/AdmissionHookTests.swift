// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import NIOCore
import ProviderContract
import Synchronization
import TestSupport
import Testing

/// What a function may ask of its calls before they are let in.
struct AdmissionHookTests {
    /// Refuses as it is told to, and keeps what it was asked about.
    private final class Hook: AdmissionHook {
        struct Call: Equatable {
            var method: String
            var authorization: String?
            var isAsynchronous: Bool
            var clientAddress: String
        }

        let calls = Mutex<[Call]>([])
        let answer: AdmissionRefusal?

        init(_ answer: AdmissionRefusal?) { self.answer = answer }

        func refusal(of call: AdmissionQuestion) -> AdmissionRefusal? {
            let seen = Call(
                method: call.method,
                authorization: call.field("authorization"),
                isAsynchronous: call.isAsynchronous,
                clientAddress: call.clientAddress
            )
            calls.withLock { $0.append(seen) }
            return answer
        }

        var all: [Call] { calls.withLock { $0 } }
    }

    private func fixture(_ hook: Hook, intake: AcceptingIntake? = nil) async throws -> EngineFixture {
        let settings = EngineSettings(servedBy: "martlet/test", intake: intake, admission: { _ in hook })
        return try await EngineFixture(settings: settings)
    }

    @Test(arguments: [
        (AdmissionRefusal(PlatformFault(.forbidden, "No.")), 403, ""),
        (
            AdmissionRefusal(PlatformFault(.unauthorized, "Who?"), fields: [("WWW-Authenticate", "Bearer")]), 401,
            "WWW-Authenticate: Bearer\r\n"
        ),
        (
            AdmissionRefusal(PlatformFault(.methodNotAllowed, "Not so."), fields: [("Allow", "GET, HEAD")]), 405,
            "Allow: GET, HEAD\r\n"
        ),
        (AdmissionRefusal(PlatformFault(.tooManyCalls, "Later.", retryAfterSeconds: 7)), 429, "Retry-After: 7\r\n"),
    ])
    func `a call that is refused reaches nobody and counts for nothing`(
        refusal: AdmissionRefusal,
        status: Int,
        line: String
    ) async throws {
        let hook = Hook(refusal)
        let kept = AcceptingIntake()
        let fixture = try await fixture(hook, intake: kept)
        for target in ["/function/fn", "/async-function/fn"] {
            let request = EngineFixture.request("POST \(target) HTTP/1.1", "Content-Length: 2\r\n", body: "Hi")
            let answer = try await fixture.exchange(request)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
            #expect(answer.contains("X-OpenFaaS-Internal: ") && answer.contains("X-Call-Id: "), "\(answer)")
            #expect(line.isEmpty || answer.contains(line), "\(answer)")
        }
        #expect(kept.count.count == 0)
        #expect(try await fixture.metrics()?.started == 0)
        #expect(hook.all.map(\.isAsynchronous) == [false, true])
    }

    @Test func `a refused call leaves its connection as it was`() async throws {
        let fixture = try await fixture(Hook(AdmissionRefusal(PlatformFault(.forbidden, "No."))))
        let head = "GET /function/fn HTTP/1.1\r\nHost: a\r\n"
        let answers = try await fixture.exchange("\(head)\r\n\(head)Connection: close\r\n\r\n")
        #expect(answers.split(separator: "HTTP/1.1 403 ").count == 2, "\(answers)")
    }

    @Test func `a hook hears of the method, the fields and the client, and a call that it lets in goes its way`()
        async throws
    {
        let hook = Hook(nil)
        let fixture = try await fixture(hook)
        let request = EngineFixture.request("PUT /function/fn/a HTTP/1.1", "AUTHORIZATION:  Bearer x \r\n")
        #expect(try await fixture.exchange(request).hasPrefix("HTTP/1.1 200 "))
        #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 200 "))
        let here = "127.0.0.1"
        #expect(
            hook.all == [
                .init(method: "PUT", authorization: "Bearer x", isAsynchronous: false, clientAddress: here),
                .init(method: "GET", authorization: nil, isAsynchronous: false, clientAddress: here),
            ]
        )
        #expect(try await fixture.metrics()?.started == 2)
    }

    @Test func `a call that was asked about when it was accepted is not asked about again, any other is`() async throws
    {
        let hook = Hook(AdmissionRefusal(PlatformFault(.forbidden, "No.")))
        let fixture = try await fixture(hook)
        func answer(isAdmitted: Bool) async -> DirectAnswer {
            let request = DirectRequest(
                function: FunctionID(name: "fn", namespace: "openfaas-fn"),
                method: "POST",
                target: "",
                fields: ByteBuffer(string: "Host: gw\r\nAuthorization: x\r\n"),
                body: ByteBuffer(),
                clientAddress: "",
                callID: "a",
                answerLimit: 10,
                isAdmitted: isAdmitted
            )
            return await withCheckedContinuation { continuation in
                _ = fixture.call(request) { continuation.resume(returning: $0) }
            }
        }
        let accepted = await answer(isAdmitted: true)
        #expect(accepted.status == 200 && hook.all.isEmpty)
        let other = await answer(isAdmitted: false)
        #expect(other.status == 403 && other.fault?.code == .forbidden && other.isPlatformAnswer)
        #expect(hook.all == [.init(method: "POST", authorization: "x", isAsynchronous: false, clientAddress: "")])
    }

    @Test func `a route that changes is looked at anew`() async throws {
        let changes = Counter()
        let closed = Hook(AdmissionRefusal(PlatformFault(.forbidden, "No.")))
        let settings = EngineSettings(
            servedBy: "martlet/test",
            admission: { _ in changes.count == 1 ? closed : nil }
        )
        let fixture = try await EngineFixture(settings: settings)
        #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 200 "))
        for expected in [403, 200] {
            changes.add()
            fixture.table.apply(.changed(try EngineFixture.route(replicas: [fixture.replica])))
            #expect(try await fixture.exchange(EngineFixture.request()).hasPrefix("HTTP/1.1 \(expected) "))
        }
    }

    // MARK: What a deployment asks for

    private func fixture(_ policy: (inout CallPolicy) -> Void) async throws -> (EngineFixture, AcceptingIntake) {
        let kept = AcceptingIntake()
        let fixture = try await EngineFixture(settings: EngineSettings(servedBy: "martlet/test", intake: kept))
        var route = try EngineFixture.route(replicas: [fixture.replica])
        policy(&route.variants[0].policy)
        fixture.table.apply(.changed(route))
        return (fixture, kept)
    }

    @Test func `a function is called by its own methods alone, for later too, and HEAD goes with GET`() async throws {
        let (fixture, kept) = try await fixture { $0.methods = ["PUT", "GET"] }
        for method in ["GET", "HEAD", "PUT"] {
            let answer = try await fixture.exchange(EngineFixture.request("\(method) /function/fn HTTP/1.1"))
            #expect(answer.hasPrefix("HTTP/1.1 200 "), "\(method) \(answer)")
        }
        for line in ["POST /function/fn", "DELETE /function/fn/x", "OPTIONS /function/fn", "POST /async-function/fn"] {
            let answer = try await fixture.exchange(EngineFixture.request("\(line) HTTP/1.1"))
            #expect(answer.hasPrefix("HTTP/1.1 405 "), "\(line) \(answer)")
            #expect(answer.contains("Allow: GET, HEAD, PUT\r\n"), "\(line) \(answer)")
        }
        #expect(kept.count.count == 0)
        #expect(try await fixture.metrics()?.started == 3)
    }

    @Test func `a function without a method is called by none`() async throws {
        let (fixture, _) = try await fixture { $0.methods = [] }
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 405 ") && answer.contains("Allow: \r\n"), "\(answer)")
    }

    @Test func `a function whose callers would have to be told apart is closed`() async throws {
        let (fixture, kept) = try await fixture { $0.access = AccessMode(rawValue: "token") }
        for line in ["GET /function/fn", "POST /async-function/fn"] {
            let answer = try await fixture.exchange(EngineFixture.request("\(line) HTTP/1.1"))
            #expect(answer.hasPrefix("HTTP/1.1 403 ") && answer.contains("token"), "\(answer)")
        }
        #expect(kept.count.count == 0)
    }
}
