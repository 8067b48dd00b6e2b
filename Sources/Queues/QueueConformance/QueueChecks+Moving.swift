// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import PromiseChecks
import QueueContract

extension QueueChecks {
    // MARK: Moving

    static let moving: [QueueCheck] = [
        QueueCheck("a waiting call is handed over with all that it carries, as often as it is asked for") { subject in
            let call = NewCall(
                function: function,
                path: "/p",
                query: "a=b",
                fields: ByteBuffer(string: "X-Odd:  two  words\r\n"),
                body: ByteBuffer(repeating: 5, count: 150_000),
                clientAddress: "192.0.2.7",
                callID: "leaves",
                idempotencyKey: "k",
                callbackURL: "http://example.com/done",
                acceptedAt: Timestamp(nanosecondsSinceEpoch: Timestamp.now().nanosecondsSinceEpoch - 1_000_000_000)
            )
            _ = try await subject.queue.accept(call)
            let first = try await subject.queue.handOver("leaves")
            var expected = call
            expected.start = first.call.start
            try expect(first.call == expected && first.id == "leaves", "\(first)")
            try expect(first.attempts.isEmpty && first.deadReason == nil, "\(first)")
            guard case .at(let moment) = first.call.start else {
                throw BrokenPromise(description: "\(first.call.start)")
            }
            try expect(moment <= .now(), "it is due at \(moment)")
            try expect(try await take(subject) == nil, "it is taken all the same")
            let record = try await subject.queue.call("leaves")
            try expect(record?.state == .cancelled && record?.deadReason == MovedCall.reason, "\(record as Any)")
            try expect(try await subject.queue.handOver("leaves") == first, "it has changed")
            try await expectCounts(subject, accepted: 1, [.cancelled: 1])
        },
        QueueCheck("a call that was handed over can be taken back, and goes on where it was") { subject in
            let call = NewCall(function: function, body: ByteBuffer(string: "x"), callID: "a")
            let moved = MovedCall(id: "back", call: call, attempts: [attempt(1, 503)])
            _ = try await subject.queue.adopt(moved)
            _ = try await subject.queue.handOver("back")
            try await subject.queue.takeBack("back")
            try expect(try await subject.queue.call("back")?.state == .waiting, "it does not wait")
            try await expectCounts(subject, accepted: 1, [.waiting: 1])
            try await expectFault(.conflict, doing: "twice") { () throws(PlatformFault) in
                try await subject.queue.takeBack("back")
            }
            let taken = try await awaitCall(subject)
            try expect(taken.lease.id == "back" && taken.attempt == 2, "\(taken.lease.id), \(taken.attempt)")
            try expect(taken.call.body == call.body && taken.call.callID == "a", "it has changed")
            try expect(try await subject.queue.call("back")?.attempts.map(\.status) == [503], "an attempt is gone")
            _ = try await subject.queue.accept(NewCall(function: function, callID: "cancelled"))
            try await subject.queue.cancel("cancelled")
            for (id, code) in [("cancelled", FaultCode.conflict), ("nobody", .notFound)] {
                try await expectFault(code, doing: id) { () throws(PlatformFault) in
                    try await subject.queue.takeBack(id)
                }
            }
        },
        QueueCheck("a call that was handed over and comes back from the other queue goes on here") { subject in
            _ = try await subject.queue.accept(
                NewCall(function: function, body: ByteBuffer(repeating: 6, count: 150_000), callID: "round")
            )
            var moved = try await subject.queue.handOver("round")
            moved.attempts = [attempt(1, 503), attempt(2, 503)]
            try expect(try await subject.queue.adopt(moved), "it was known")
            try expect(try await !subject.queue.adopt(moved), "it was new twice")
            try await expectCounts(subject, accepted: 1, [.waiting: 1])
            let taken = try await awaitCall(subject)
            try expect(taken.attempt == 3 && taken.call.body.readableBytes == 150_000, "\(taken.attempt)")
            try expect(try await take(subject) == nil, "it was taken twice")
        },
        QueueCheck("a dead call is handed over and stays; what runs or is over otherwise is not handed over") {
            subject in
            _ = try await finish(subject, "dead", .dead, status: 500)
            let moved = try await subject.queue.handOver("dead")
            try expect(moved.deadReason == "no more attempts" && moved.attempts.map(\.status) == [500], "\(moved)")
            try expect(try await subject.queue.call("dead")?.state == .dead, "it is not dead any more")
            _ = try await finish(subject, "done", .succeeded, status: 200)
            _ = try await subject.queue.accept(NewCall(function: function, callID: "runs"))
            _ = try await awaitCall(subject)
            _ = try await subject.queue.accept(NewCall(function: function, callID: "cancelled"))
            try await subject.queue.cancel("cancelled")
            for id in ["done", "runs", "cancelled"] {
                try await expectFault(.conflict, doing: id) { () throws(PlatformFault) in
                    _ = try await subject.queue.handOver(id)
                }
            }
            try await expectFault(.notFound, doing: "nobody") { () throws(PlatformFault) in
                _ = try await subject.queue.handOver("nobody")
            }
        },
        QueueCheck("a call of another queue is kept once, under its id, and goes on where it was") { subject in
            let call = NewCall(
                function: function,
                body: ByteBuffer(repeating: 6, count: 150_000),
                callID: "theirs",
                idempotencyKey: "k",
                start: .at(Timestamp(nanosecondsSinceEpoch: 1_000_000_000)),
                acceptedAt: Timestamp(nanosecondsSinceEpoch: 1_000_000_000)
            )
            let moved = MovedCall(id: "comes", call: call, attempts: [attempt(1, 503)])
            try expect(try await subject.queue.adopt(moved), "it was not new")
            try expect(try await !subject.queue.adopt(moved), "it was new twice")
            try await expectCounts(subject, accepted: 1, [.waiting: 1])
            let again = try await subject.queue.accept(NewCall(function: function, callID: "x", idempotencyKey: "k"))
            try expect(again.isDuplicate && again.id == "comes", "\(again)")
            let taken = try await awaitCall(subject)
            try expect(taken.lease.id == "comes" && taken.attempt == 2, "\(taken.lease.id), \(taken.attempt)")
            try expect(taken.call.body == call.body && taken.call.callID == "theirs", "it has changed")
            try expect(try await take(subject) == nil, "it was taken twice")
        },
        QueueCheck("a dead call of another queue is dead here, and can be sent again") { subject in
            let call = NewCall(function: function, body: ByteBuffer(string: "x"), callID: "d")
            let moved = MovedCall(id: "d", call: call, attempts: [attempt(1, 500)], deadReason: "too often")
            try expect(try await subject.queue.adopt(moved), "it was not new")
            let record = try await subject.queue.call("d")
            try expect(record?.state == .dead && record?.deadReason == "too often", "\(record as Any)")
            try expect(record?.attempts.map(\.status) == [500] && record?.finishedAt != nil, "\(record as Any)")
            try await expectCounts(subject, accepted: 1, [.dead: 1])
            try expect(try await take(subject) == nil, "it was taken")
            try await subject.queue.sendAgain("d")
            let taken = try await awaitCall(subject)
            try expect(taken.attempt == 1 && taken.call.body == call.body, "\(taken)")
        },
    ]
}
