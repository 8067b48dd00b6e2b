// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import QueueContract
import TestSupport
import Testing

@testable import JetStreamQueue

/// Numbers in messages, which anybody may have written who can write to the server.
struct OutsideNumberTests {
    private let facts = CallStanding(
        function: FunctionID(name: "fn", namespace: "ns"),
        acceptedAt: Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000),
        due: Timestamp(nanosecondsSinceEpoch: 1_700_000_000_000_000_000),
        request: 7
    )

    @Test func `whatever a line of the log says, it can be read and carried on`() {
        var random = SeededGenerator()
        let strange = ["\(Int64.max)", "\(Int64.min)", "\(UInt64.max)", "-1", "0", "99999999999999999999", "x", "-"]
        let words = LogEntry(.ended, from: .running, facts).text.split(separator: " ").map(String.init)
        for _ in 0..<5000 {
            var line = words
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                line[Int.random(in: 0..<line.count, using: &random)] = strange.randomElement(using: &random) ?? ""
            }
            for event in ["accepted", "taken", "retried", "ended", "resent", "callbackTaken", "carried"] {
                line[0] = event
                var index = CallIndex(counts: [:], counted: 0, position: 0)
                guard let read = LogEntry(line.joined(separator: " ")) else { continue }
                _ = index.read(read, id: "a", sequence: 1)
                for next in [
                    read.facts.taken(by: "w"), read.facts.retried(after: .seconds(Int64.max)), read.facts.ended(.dead),
                    read.facts.resent(request: 1), read.facts.letGo(),
                    read.facts.calledBack(.retry(after: .zero, status: 0)),
                ] {
                    guard let next else { continue }
                    _ = index.read(next, id: "a", sequence: 2)
                    #expect(LogEntry(next.text) != nil, "\(random)")
                }
                index.advance(to: .now(), of: read.facts.function)
                _ = index.oldest(now: .now())
                _ = index.nextDue(of: read.facts.function)?.distance(from: .now())
            }
        }
    }

    @Test(arguments: ["18446744073709551615", "9223372036854775807", "-1", "x", ""])
    func `a delivery without a place in the stream is none`(number: String) {
        #expect(Delivery("$JS.ACK.OF_x.c.1.\(number).1.0.0") == nil)
        #expect(Delivery("$JS.ACK.OF_x.c.1.1.\(number).0.0") == nil)
        #expect(Delivery("$JS.ACK.OF_x.c.\(number).1.1.0.0") == nil)
        #expect(Delivery("$JS.ACK.OF_x.c.1.2.3.0.4")?.sequence == 2)
    }

    @Test func `a message of somebody else's becomes a call, or none`() {
        var random = SeededGenerator()
        let request = QueueRequest(
            NewCall(function: facts.function, callID: "a", callbackURL: "http://h:1/x", start: .after(.seconds(5))),
            id: "a",
            queue: "q"
        )
        let bytes = Array(request.payload.readableBytesView)
        for _ in 0..<5000 {
            guard let read = QueueRequest(ByteBuffer(bytes: random.mutated(bytes))) else { continue }
            let (_, call, due) = read.call(facts.function, fallback: "q-1")
            _ = due.distance(from: .now())
            _ = QueueRequest(call, id: "a", queue: "q").payload
            _ = call.callbackURL.flatMap { CallbackURL($0) }
        }
    }
}
