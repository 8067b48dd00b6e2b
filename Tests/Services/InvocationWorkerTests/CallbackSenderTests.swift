// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Logging
import NIOCore
import QueueConformance
import QueueContract
import Synchronization
import TestSupport
import Testing

@testable import InvocationWorker

/// Callbacks to receivers of all kinds, over a queue in memory.
struct CallbackSenderTests {
    private let queue = MemoryQueue()

    private static let delivered = "HTTP/1.1 204 No Content\r\n\r\n"

    private static func redirect(_ status: Int, to location: String) -> String {
        "HTTP/1.1 \(status) Elsewhere\r\nLocation: \(location)\r\nContent-Length: 0\r\n\r\n"
    }

    /// Keeps what is logged.
    private struct Recorder: LogHandler {
        let note: @Sendable (String) -> Void
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { note("\(event.message) \(event.metadata ?? [:])") }
    }

    private final class Log: Sendable {
        let lines = Mutex<[String]>([])
    }

    /// Has a call end that named a receiver; returns its id.
    private func endCall(naming url: String) async throws -> String {
        let function = FunctionID(name: "fn", namespace: "openfaas-fn")
        let id = try await queue.accept(NewCall(function: function, callID: "a", callbackURL: url)).id
        let call = try #require(try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls.first)
        let fields = ByteBuffer(string: "Content-Type: text/x-thing\r\nCookie: secret\r\n")
        _ = try await queue.settle(
            call.lease,
            attempt: CallAttempt(number: 1, startedAt: .now(), finishedAt: .now(), status: 200),
            verdict: .end(
                .succeeded,
                reason: nil,
                result: CallResult(status: 200, fields: fields, body: ByteBuffer(string: "result"))
            )
        )
        return id
    }

    /// The same; returns what became of its callback.
    private func deliver(
        to url: String,
        attempts: Int = 3,
        refusal: FaultCode? = nil,
        log: Log = Log()
    ) async throws -> CallRecord.Callback {
        let id = try await endCall(naming: url)
        let retry = RetryPolicy(attempts: attempts, firstWait: .milliseconds(1), longestWait: .milliseconds(1))
        let sender = CallbackSender(
            queue: queue,
            settings: WorkerSettings(callbackRetry: retry, defaultNamespace: "openfaas-fn", userAgent: "test"),
            refusal: { _ in refusal },
            call: { _, _ in fatalError("no function is called") },
            logger: Logger(label: "sender") { _ in
                Recorder { line in log.lines.withLock { $0.append(line) } }
            }
        )
        let running = Task { await sender.run() }
        #expect(
            try await eventually {
                ["delivered", "failed"].contains(try await queue.call(id)?.callback?.state)
            }
        )
        await sender.stop()
        running.cancel()
        await running.value
        return try #require(try await queue.call(id)?.callback)
    }

    @Test(arguments: [307, 308]) func `a receiver that is elsewhere gets the same request there`(
        status: Int
    ) async throws {
        let there = try await ScriptedOrigin { _ in [.send(Self.delivered)] }
        let here = try await ScriptedOrigin { _ in
            [.send(Self.redirect(status, to: "http://127.0.0.1:\(there.port)/there?x=1"))]
        }
        let callback = try await deliver(to: "http://us:pw@127.0.0.1:\(here.port)/here")
        #expect(callback.state == "delivered" && callback.status == 204 && callback.attempts == 1, "\(callback)")
        let first = await here.nextRequest().lowercased()
        #expect(
            first.hasPrefix("post /here http/1.1\r\n") && first.contains("authorization: basic dxm6chc="),
            "\(first)"
        )
        #expect(first.contains("cookie: secret"), "\(first)")
        let second = await there.nextRequest().lowercased()
        #expect(second.hasPrefix("post /there?x=1 http/1.1\r\n") && second.contains("content-length: 6"), "\(second)")
        #expect(second.contains("content-type: text/x-thing") && second.contains("x-call-id: a"), "\(second)")
        #expect(!second.contains("authorization") && !second.contains("cookie"), "\(second)")
    }

    @Test(arguments: [301, 302, 303, 304, 400, 404, 410, 500, 503])
    func `whatever else it answers, it is asked again, and then the callback has failed`(status: Int) async throws {
        let receiver = try await ScriptedOrigin { _ in [.send(Self.redirect(status, to: "/elsewhere"))] }
        let callback = try await deliver(to: "http://127.0.0.1:\(receiver.port)/")
        #expect(callback.state == "failed" && callback.status == status && callback.attempts == 3, "\(callback)")
    }

    @Test func `a receiver that sends on for ever is followed three times per attempt`() async throws {
        let count = Atomic<Int>(0)
        let receiver = try await ScriptedOrigin { _ in
            count.add(1, ordering: .relaxed)
            return [.send(Self.redirect(307, to: "/again"))]
        }
        let callback = try await deliver(to: "http://127.0.0.1:\(receiver.port)/", attempts: 2)
        #expect(callback.state == "failed" && callback.status == 307 && callback.attempts == 2, "\(callback)")
        #expect(count.load(ordering: .relaxed) == 8)
    }

    @Test func `a receiver that takes it at the second attempt has it`() async throws {
        let count = Atomic<Int>(0)
        let receiver = try await ScriptedOrigin { _ in
            let isFirst = count.add(1, ordering: .relaxed).newValue == 1
            return [.send(isFirst ? Self.redirect(302, to: "/login") : Self.delivered)]
        }
        let callback = try await deliver(to: "http://127.0.0.1:\(receiver.port)/")
        #expect(callback.state == "delivered" && callback.attempts == 2, "\(callback)")
    }

    @Test(arguments: ["http://127.0.0.1:65536/", "http://[::1]:99999/", "https://127.0.0.1:0/", "http://", "x", ""])
    func `a stored callback that nobody can be reached by has failed, and ends nothing`(url: String) async throws {
        let callback = try await deliver(to: url)
        #expect(callback.state == "failed" && callback.attempts == 1, "\(callback)")
    }

    @Test func `a delivery that is under way when the sender stops goes nowhere else, and is made anew`() async throws {
        let asked = Atomic<Int>(0)
        let receiver = try await ScriptedOrigin { _ in
            asked.add(1, ordering: .relaxed)
            return [.send(Self.delivered)]
        }
        let id = try await endCall(naming: "http://gateway/function/fn")
        let there = "http://127.0.0.1:\(receiver.port)/"
        let other = try await CalledFunction { _ in [.send(Self.redirect(307, to: there))] }
        let (answers, continuation) = AsyncStream.makeStream(of: (@Sendable () -> Void).self)
        let sender = CallbackSender(
            queue: queue,
            settings: WorkerSettings(defaultNamespace: "openfaas-fn", userAgent: "test"),
            refusal: { _ in nil },
            call: { request, done in
                other.call(request) { answer in continuation.yield { done(answer) } }
            },
            logger: Logger(label: "sender") { _ in SwiftLogNoOpLogHandler() }
        )
        let running = Task { await sender.run() }
        for await answer in answers {
            await sender.stop()
            answer()
            break
        }
        await running.value
        #expect(asked.load(ordering: .relaxed) == 0)
        #expect(try await queue.call(id)?.callback?.attempts == 0)
    }

    @Test(arguments: [("function", FaultCode.methodNotAllowed, 405), ("async-function", .forbidden, 403)])
    func `a function of this platform that would not let its sender in is not called back`(
        route: String,
        refusal: FaultCode,
        status: Int
    ) async throws {
        let callback = try await deliver(to: "http://gateway/\(route)/closed", attempts: 2, refusal: refusal)
        #expect(callback.state == "failed" && callback.status == status && callback.attempts == 2, "\(callback)")
        let receiver = try await ScriptedOrigin { _ in [.send(Self.redirect(307, to: "http://gateway/\(route)/closed"))]
        }
        let sentOn = try await deliver(to: "http://127.0.0.1:\(receiver.port)/", attempts: 1, refusal: refusal)
        #expect(sentOn.state == "failed" && sentOn.status == status, "\(sentOn)")
        #expect(await queue.counts().total.waiting == 0)
    }

    @Test func `user and password are never logged`() async throws {
        let port = try ReservedPort.claim()
        let log = Log()
        let callback = try await deliver(to: "http://hidden:hidden@127.0.0.1:\(port)/x?hidden=1", log: log)
        #expect(callback.state == "failed" && callback.status == 0, "\(callback)")
        let lines = log.lines.withLock { $0 }
        #expect(
            lines.contains { $0.contains("127.0.0.1:\(port)/x") } && !lines.contains { $0.contains("hidden") },
            "\(lines)"
        )
    }
}
