// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import QueueConformance
import QueueContract
import TestSupport
import Testing

@testable import SystemAPI

/// Calls as they are written for another queue, and read from one.
struct CallRoutesMovingTests {
    private let moved = MovedCall(
        id: "own",
        call: NewCall(
            function: FunctionID(name: "fn", namespace: "ns"),
            method: "PUT",
            path: "/a%20b",
            query: "c=d",
            fields: ByteBuffer(string: "Host: a\r\nX-Odd:  two  words\r\n"),
            body: ByteBuffer(bytes: [0, 1, 2, 255]),
            clientAddress: "192.0.2.7",
            callID: "theirs",
            idempotencyKey: "k",
            callbackURL: "http://user:pw@h:81/cb?x",
            start: .at(Timestamp(nanosecondsSinceEpoch: 1_700_000_000_001_000_000)),
            acceptedAt: Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000)
        ),
        attempts: [
            CallAttempt(
                number: 1,
                startedAt: Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000),
                finishedAt: Timestamp(nanosecondsSinceEpoch: 1_700_000_001_000_000_000),
                status: 503,
                fault: "function"
            )
        ],
        deadReason: "too often"
    )

    private func read(_ exported: ExportedCall) -> MovedCall? { MovedCall(exported, defaultNamespace: "openfaas-fn") }

    @Test func `what is written is read as it was, the password of its callback included`() throws {
        let bytes = try JSONEncoder().encode(ExportedCall(moved))
        #expect(read(try JSONDecoder().decode(ExportedCall.self, from: bytes)) == moved)
    }

    @Test func `a call that could not have been accepted is none`() throws {
        let good = ExportedCall(moved)
        var bad: [ExportedCall] = []
        func change(_ change: (inout ExportedCall) -> Void) {
            var call = good
            change(&call)
            bad.append(call)
        }
        for text in ["", "a\r\nb", String(repeating: "x", count: 256)] {
            change { $0.id = text }
            change { $0.callId = text }
        }
        for text in ["", "GET /x", "GET\r\n"] { change { $0.method = text } }
        for text in ["x", "/a b", "/a\r\nX: y"] { change { $0.path = text } }
        change { $0.query = "a b" }
        change { $0.function = "a>.b" }
        change { $0.fields = "?" }
        change { $0.body = "?" }
        for url in ["http://h:65536/", "ftp://h", ""] { change { $0.callbackUrl = url } }
        for call in bad { #expect(read(call) == nil, "\(call)") }
        #expect(read(good) != nil)
    }

    @Test func `whatever somebody writes is a call or none`() throws {
        var random = SeededGenerator()
        let bytes = Array(try JSONEncoder().encode(ExportedCall(moved)))
        for _ in 0..<3000 {
            let data = Data(random.mutated(bytes))
            guard let call = (try? JSONDecoder().decode(ExportedCall.self, from: data)).flatMap(read) else { continue }
            #expect(ExportedCall(call).id == call.id, "\(random)")
        }
    }

    @Test(arguments: [0, 1, 1_048_576, 16 * 1_048_576, Int(Int32.max)])
    func `there is room for the longest body that is accepted, and for all that goes with it`(limit: Int) {
        let routes = CallRoutes(queue: MemoryQueue(), bodyLimit: limit, defaultNamespace: "ns")
        #expect(routes.importLimit >= (limit + 2) / 3 * 4 + 1_048_576)
    }

    @Test func `user and password of a callback are told nobody`() {
        let record = CallRecord(
            id: "a",
            callID: "a",
            function: moved.call.function,
            state: .succeeded,
            method: "POST",
            path: "",
            query: nil,
            createdAt: .now(),
            notBefore: .now(),
            finishedAt: nil,
            attempts: [],
            deadReason: nil,
            callback: CallRecord.Callback(url: "http://user:pw@h:81/cb?x", state: "waiting", attempts: 0, status: nil),
            result: nil
        )
        #expect(CallDescription(record).callback?.url == "http://***@h:81/cb?x")
    }
}
