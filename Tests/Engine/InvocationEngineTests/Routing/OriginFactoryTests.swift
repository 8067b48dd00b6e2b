// SPDX-License-Identifier: Apache-2.0

import FaultModel
import InvocationEngine
import NIOCore
import ProviderContract
import TestSupport
import Testing

/// Ways to carry calls out that the engine knows nothing of.
struct OriginFactoryTests {
    /// Nothing but the engine's open doors: a function that is a piece of this program.
    private struct BuiltIn: InvocationTarget {
        let greeting: String
    }

    private struct NobodyKnows: InvocationTarget {}

    /// Carries out all calls of one replica on one event loop.
    private final class BuiltInSource: OriginSource {
        private let target: BuiltIn
        private let made: Counter

        init(_ target: BuiltIn, _ made: Counter) {
            self.target = target
            self.made = made
            made.add()
        }

        func begin(_ call: OriginCall) {
            guard call.request.method == "POST" else {
                return call.refuse(PlatformFault(.methodNotAllowed, "\(call.functionName) is only told things."))
            }
            call.carryOut(by: BuiltInOrigin(call, target.greeting))
        }
    }

    /// Answers with what it was told, behind a greeting, when it has been told all of it.
    private final class BuiltInOrigin: Origin {
        private var call: OriginCall?
        private var told: ByteBuffer

        init(_ call: OriginCall, _ greeting: String) {
            self.call = call
            told = ByteBuffer(string: "\(greeting) \(call.request.target) \(call.request.header("x-from") ?? "") ")
        }

        var isWritable: Bool { true }

        func takeBody(_ piece: ByteBuffer) { told.writeImmutableBuffer(piece) }

        func endBody(trailers: ByteBuffer?) {
            guard let call = call.take() else { return }
            call.answerHead(status: 201, headers: [("X-Kind", "built in")], length: told.readableBytes)
            call.answerBody(told)
            call.answerEnded()
        }

        func flush() {}

        func resumeAnswer() {}

        func abandon() { call = nil }
    }

    @Test func `a kind of target that a program registers is called like any other`() async throws {
        let sources = Counter()
        var settings = EngineSettings(servedBy: "martlet/test")
        settings.origins.register(BuiltIn.self) { BuiltInSource($0, sources) }
        let fixture = try await EngineFixture(settings: settings)
        try await fixture.serve(BuiltIn(greeting: "hello"))
        let perLoop = sources.count
        for number in 0..<20 {
            let answer = try await fixture.exchange(
                EngineFixture.request(
                    "POST /function/fn/a?b HTTP/1.1",
                    "X-From: me\r\nContent-Length: 2\r\n",
                    body: "\(10 + number)"
                )
            )
            #expect(answer.hasPrefix("HTTP/1.1 201 ") && answer.contains("\r\nX-Kind: built in\r\n"), "\(answer)")
            #expect(
                answer.contains("\r\nX-Call-Id: ") && answer.hasSuffix("\r\n\r\nhello /a?b me \(10 + number)"),
                "\(answer)"
            )
        }
        #expect(sources.count == perLoop, "it is looked up when a route arrives, not per call")
        let refused = try await fixture.exchange(EngineFixture.request())
        #expect(refused.hasPrefix("HTTP/1.1 405 ") && refused.contains("only told things"), "\(refused)")
        #expect(try await eventually { try await fixture.metrics()?.inFlight == 0 })
    }

    @Test func `a kind that nobody has registered is told of, and the engine's own go on`() async throws {
        let fixture = try await EngineFixture()
        try await fixture.serve(NobodyKnows())
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 501 ") && answer.contains("cannot call"), "\(answer)")
        try await fixture.serve(Upstream(.tcp(host: "127.0.0.1", port: fixture.origin.port)))
        #expect(try await fixture.exchange(EngineFixture.request()).hasSuffix("ok"))
    }
}
