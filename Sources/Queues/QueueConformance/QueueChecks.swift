// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
// Whoever runs a check needs what it is.
@_exported public import PromiseChecks
public import QueueContract

/// A queue that is to be checked, empty and its checker's alone.
public protocol QueueUnderTest: Sendable {
    /// The queue.
    var queue: any CallQueue { get }
    /// Most bytes of a body that it takes.
    var bodyLimit: Int { get }
    /// The same queue after its process has ended without a farewell; nil where nothing is meant to outlive that.
    func reopened() async throws -> (any QueueUnderTest)?
}

/// One promise of `CallQueue`.
public typealias QueueCheck = PromiseCheck<any QueueUnderTest>

/// The promises of `CallQueue`, one check each.
///
/// A test target runs all of them on its queue.
public enum QueueChecks {
    /// All promises.
    public static let all: [QueueCheck] =
        accepting + working + leases + managing + moving + callbacks + lasting

    static let function = FunctionID(name: "fn", namespace: "openfaas-fn")
    static let other = FunctionID(name: "other", namespace: "openfaas-fn")

    // MARK: Accepting

    private static let accepting: [QueueCheck] = [
        QueueCheck("a call keeps its X-Call-Id as its own id while nobody else has it") { subject in
            let first = try await subject.queue.accept(NewCall(function: function, callID: "one"))
            let second = try await subject.queue.accept(NewCall(function: function, callID: "one"))
            try expect(first == CallReceipt(id: "one", callID: "one"), "\(first)")
            try expect(second.callID == "one" && second.id != "one" && !second.isDuplicate, "\(second)")
        },
        QueueCheck("an idempotency key keeps a call from being accepted twice, per function") { subject in
            let first = try await subject.queue.accept(
                NewCall(function: function, callID: "a", idempotencyKey: "order-7")
            )
            let again = try await subject.queue.accept(
                NewCall(function: function, callID: "b", idempotencyKey: "order-7")
            )
            let elsewhere = try await subject.queue.accept(
                NewCall(function: other, callID: "c", idempotencyKey: "order-7")
            )
            try expect(again.isDuplicate && again.id == first.id && again.callID == "a", "\(again)")
            try expect(!elsewhere.isDuplicate, "another function's key was taken for this one's")
            try await expectCounts(subject, accepted: 2, [.waiting: 2])
        },
        QueueCheck("of many equal calls at once one is accepted") { subject in
            let queue = subject.queue
            let receipts = try await withThrowingTaskGroup(of: CallReceipt.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        try await queue.accept(
                            NewCall(function: function, callID: "call-\(number)", idempotencyKey: "once")
                        )
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            try expect(Set(receipts.map(\.id)).count == 1, "\(Set(receipts.map(\.id)).count) ids")
            try expect(receipts.count { !$0.isDuplicate } == 1, "more than one first")
            try await expectCounts(subject, accepted: 1, [.waiting: 1])
        },
        QueueCheck("a body beyond the limit is refused, one at the limit is kept") { subject in
            let whole = ByteBuffer(repeating: 7, count: subject.bodyLimit)
            _ = try await subject.queue.accept(NewCall(function: function, body: whole, callID: "fits"))
            try await expectFault(.bodyTooLarge, doing: "one byte more") { () throws(PlatformFault) in
                let more = ByteBuffer(repeating: 7, count: subject.bodyLimit + 1)
                _ = try await subject.queue.accept(NewCall(function: function, body: more, callID: "more"))
            }
            let taken = try await take(subject)
            try expect(taken?.call.body == whole, "the body changed")
        },
        QueueCheck("a call comes out as it went in") { subject in
            let call = NewCall(
                function: function,
                path: "/a%2Fb//c",
                query: "x=1&&y=%20",
                fields: ByteBuffer(string: "Host: a\r\nx-Odd:  two  words\r\nX-Odd: again\r\n"),
                body: ByteBuffer(bytes: (0...255).map { UInt8($0) }),
                clientAddress: "192.0.2.7",
                callID: "exact",
                callbackURL: "http://example.com/done"
            )
            _ = try await subject.queue.accept(call)
            let taken = try await take(subject)
            try expect(taken?.call == call, "\(taken.map { "\($0.call)" } ?? "nothing")")
        },
    ]

    // MARK: Working

    private static let working: [QueueCheck] = [
        QueueCheck("calls are taken in the order in which they came, each once, no more than asked for") { subject in
            for number in 0..<10 {
                _ = try await subject.queue.accept(NewCall(function: function, callID: "call-\(number)"))
            }
            let first = try await subject.queue.take(from: function, atMost: 4, lease: .seconds(60)).calls
            let rest = try await subject.queue.take(from: function, atMost: 100, lease: .seconds(60)).calls
            try expect(first.count == 4, "\(first.count) were taken")
            try expect(
                (first + rest).map(\.lease.id) == (0..<10).map { "call-\($0)" },
                "\((first + rest).map(\.lease.id))"
            )
            try expect(rest.allSatisfy { $0.attempt == 1 }, "an attempt is not the first")
            try await expectCounts(subject, accepted: 10, [.running: 10])
        },
        QueueCheck("many takers at once never get the same call") { subject in
            let queue = subject.queue
            for number in 0..<200 {
                _ = try await queue.accept(NewCall(function: function, callID: "call-\(number)"))
            }
            let taken = try await withThrowingTaskGroup(of: [String].self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        var ids: [String] = []
                        while true {
                            let calls = try await queue.take(from: function, atMost: 7, lease: .seconds(60)).calls
                            guard !calls.isEmpty else { return ids }
                            ids += calls.map(\.lease.id)
                        }
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            try expect(
                taken.count == 200 && Set(taken).count == 200,
                "\(taken.count) taken, \(Set(taken).count) different"
            )
        },
        QueueCheck("functions do not see each other's calls, and all that have some are known") { subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "a"))
            _ = try await subject.queue.accept(NewCall(function: other, callID: "b"))
            let waiting = await subject.queue.waitingFunctions()
            try expect(Set(waiting) == [function, other], "\(waiting)")
            let taken = try await subject.queue.take(from: other, atMost: 5, lease: .seconds(60)).calls
            try expect(taken.map(\.lease.id) == ["b"], "\(taken.map(\.lease.id))")
        },
        QueueCheck("a listener is told of calls that can be taken") { subject in
            let (events, continuation) = AsyncStream.makeStream(of: FunctionID.self)
            subject.queue.onDue { continuation.yield($0) }
            _ = try await subject.queue.accept(NewCall(function: other, callID: "a"))
            let told = try await first(of: events)
            try expect(told == other, "\(told)")
        },
        QueueCheck("a delayed call is not taken before its time, and the queue says when that is") { subject in
            let begun = ContinuousClock.now
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "later", start: .after(.milliseconds(300)))
            )
            let early = try await subject.queue.take(from: function, atMost: 1, lease: .seconds(60))
            if early.calls.isEmpty {
                let wait = try required(early.nextDue, "the queue does not know when it is due")
                // The clock is read more than once.
                try expect(wait <= .milliseconds(301), "it is due in \(wait)")
                try expect(try await awaitCall(subject).lease.id == "later", "another call was taken")
            }
            try expect(ContinuousClock.now - begun >= .milliseconds(300), "it was taken too early")
        },
        QueueCheck("a call for a moment is taken then, and at once when that is past") { subject in
            let now = Timestamp.now().nanosecondsSinceEpoch
            let soon = Timestamp(nanosecondsSinceEpoch: now + 300_000_000)
            let past = Timestamp(nanosecondsSinceEpoch: now - 5_000_000_000)
            _ = try await subject.queue.accept(NewCall(function: function, callID: "soon", start: .at(soon)))
            _ = try await subject.queue.accept(NewCall(function: function, callID: "past", start: .at(past)))
            for id in try await [awaitCall(subject), awaitCall(subject)].map(\.lease.id) where id == "soon" {
                try expect(Timestamp.now() >= soon, "it was taken too early")
            }
        },
        QueueCheck("a failed attempt is noted, and the next one has its number and waits") { subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "again"))
            let first = try await awaitCall(subject)
            let attempt = CallAttempt(
                number: 1,
                startedAt: Timestamp(nanosecondsSinceEpoch: 1_000_000_000),
                finishedAt: Timestamp(nanosecondsSinceEpoch: 2_000_000_000),
                status: 503,
                fault: "platform"
            )
            let settled = ContinuousClock.now
            let isKept = try await subject.queue.settle(
                first.lease,
                attempt: attempt,
                verdict: .retry(after: .milliseconds(100))
            )
            try expect(isKept, "the attempt was not kept")
            let second = try await awaitCall(subject)
            try expect(ContinuousClock.now - settled >= .milliseconds(100), "it did not wait")
            try expect(second.attempt == 2 && second.lease.id == "again", "attempt \(second.attempt)")
            try expect(second.lease != first.lease, "the lease is the old one")
            let record = try required(try await subject.queue.call("again"), "it is unknown")
            try expect(record.attempts == [attempt] && record.state == .running, "\(record)")
        },
        QueueCheck("each end is told from the others, with its result") { subject in
            for (end, status) in [(CallEnd.succeeded, 200), (.failed, 404), (.dead, 500)] {
                let state = try await finish(subject, "\(end)", end, status: status)
                let record = try required(try await subject.queue.call("\(end)"), "it is unknown")
                try expect(record.state == state && record.finishedAt != nil, "\(record)")
                try expect(record.result?.status == status, "\(record)")
                try expect(record.result?.headers.first?.name == "X-Answer", "\(record)")
                try expect((record.deadReason != nil) == (end == .dead), "\(record)")
                let result = try await subject.queue.result("\(end)")
                try expect(result.body == ByteBuffer(string: "answer"), "\(result)")
            }
            try await expectCounts(subject, accepted: 3, [.succeeded: 1, .failed: 1, .dead: 1])
            try expect(try await take(subject) == nil, "one that was over was taken again")
        },
        QueueCheck("a large answer is kept whole, and a longer one says that it was cut") { subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "large"))
            let call = try await awaitCall(subject)
            let body = ByteBuffer(repeating: 9, count: 200_000)
            let result = CallResult(status: 200, body: body, size: 300_000)
            _ = try await subject.queue.settle(
                call.lease,
                attempt: attempt(1, 200),
                verdict: .end(.succeeded, reason: nil, result: result)
            )
            let kept = try await subject.queue.result("large")
            try expect(
                kept.body == body && kept.size == 300_000 && kept.isTruncated,
                "\(kept.body.readableBytes) bytes"
            )
            let record = try await subject.queue.call("large")
            try expect(record?.result?.isTruncated == true, "the record does not say so")
        },
    ]

    // MARK: Leases

    private static let leases: [QueueCheck] = [
        QueueCheck("a call whose lease was not renewed is given to another, and the first cannot settle it") {
            subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "held"))
            let first = try required(
                try await subject.queue.take(from: function, atMost: 1, lease: .milliseconds(100)).calls.first,
                "nothing was taken"
            )
            let second = try await awaitCall(subject)
            try expect(second.lease.id == "held" && second.lease != first.lease, "\(second.lease)")
            let isKept = try await subject.queue.settle(
                first.lease,
                attempt: attempt(1, 200),
                verdict: .end(.succeeded, reason: nil, result: nil)
            )
            try expect(!isKept, "a lost lease settled a call")
            try expect(try await subject.queue.call("held")?.state == .running, "its state changed")
            let isKeptNow = try await subject.queue.settle(
                second.lease,
                attempt: attempt(1, 200),
                verdict: .end(.succeeded, reason: nil, result: nil)
            )
            try expect(isKeptNow, "the lease that holds could not settle")
            try await expectCounts(subject, accepted: 1, [.succeeded: 1])
        },
        QueueCheck("a renewed lease holds") { subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "held"))
            let call = try required(
                try await subject.queue.take(from: function, atMost: 1, lease: .milliseconds(200)).calls.first,
                "nothing was taken"
            )
            try expect(await subject.queue.renew(call.lease, for: .seconds(60)), "it could not be renewed")
            try await Task.sleep(for: .milliseconds(1500))
            try expect(try await take(subject) == nil, "it was given away")
        },
        QueueCheck("a call that is given back is as if it had not been taken") { subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "back"))
            _ = try await subject.queue.accept(NewCall(function: function, callID: "behind"))
            let first = try required(try await take(subject), "nothing was taken")
            await subject.queue.release(first.lease)
            let again = try required(try await take(subject), "it is gone")
            try expect(again.lease.id == "back" && again.attempt == 1, "\(again.lease.id), attempt \(again.attempt)")
            try expect(try await subject.queue.call("back")?.attempts == [], "an attempt was noted")
        },
        QueueCheck("nobody settles twice") { subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "once"))
            let call = try await awaitCall(subject)
            let verdict = CallVerdict.end(.succeeded, reason: nil, result: nil)
            let first = try await subject.queue.settle(call.lease, attempt: attempt(1, 200), verdict: verdict)
            let second = try await subject.queue.settle(call.lease, attempt: attempt(1, 200), verdict: verdict)
            try expect(first && !second, "\(first), then \(second)")
            try await expectCounts(subject, accepted: 1, [.succeeded: 1])
        },
    ]
}
