// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import PromiseChecks
import QueueContract

extension QueueChecks {
    // MARK: Managing

    static let managing: [QueueCheck] = [
        QueueCheck("a waiting call that is cancelled is never taken") { subject in
            _ = try await subject.queue.accept(NewCall(function: function, callID: "a"))
            _ = try await subject.queue.accept(NewCall(function: function, callID: "b"))
            try await subject.queue.cancel("a")
            try expect(try await subject.queue.call("a")?.state == .cancelled, "it is not cancelled")
            let taken = try await subject.queue.take(from: function, atMost: 5, lease: .seconds(60)).calls
            try expect(taken.map(\.lease.id) == ["b"], "\(taken.map(\.lease.id))")
            try await expectCounts(subject, accepted: 2, [.cancelled: 1, .running: 1])
        },
        QueueCheck("who carries out a call that is cancelled is told, and cannot settle it") { subject in
            let (events, continuation) = AsyncStream.makeStream(of: CallLease.self)
            subject.queue.onCancel { continuation.yield($0) }
            _ = try await subject.queue.accept(NewCall(function: function, callID: "a"))
            let call = try await awaitCall(subject)
            try await subject.queue.cancel("a")
            let told = try await first(of: events)
            try expect(told == call.lease, "\(told)")
            let isKept = try await subject.queue.settle(
                call.lease,
                attempt: attempt(1, 200),
                verdict: .end(.succeeded, reason: nil, result: nil)
            )
            try expect(!isKept, "it was settled all the same")
            try await expectCounts(subject, accepted: 1, [.cancelled: 1])
        },
        QueueCheck("what is over or unknown cannot be cancelled, and what is not over cannot be sent again") {
            subject in
            try await expectFault(.notFound, doing: "cancel") { () throws(PlatformFault) in
                try await subject.queue.cancel("nobody")
            }
            try await expectFault(.notFound, doing: "send again") { () throws(PlatformFault) in
                try await subject.queue.sendAgain("nobody")
            }
            try await expectFault(.notFound, doing: "result") { () throws(PlatformFault) in
                _ = try await subject.queue.result("nobody")
            }
            try expect(try await subject.queue.call("nobody") == nil, "it is known")
            _ = try await subject.queue.accept(NewCall(function: function, callID: "open"))
            try await expectFault(.conflict, doing: "send again") { () throws(PlatformFault) in
                try await subject.queue.sendAgain("open")
            }
            try await expectFault(.conflict, doing: "result") { () throws(PlatformFault) in
                _ = try await subject.queue.result("open")
            }
            try await subject.queue.cancel("open")
            try await expectFault(.conflict, doing: "cancel") { () throws(PlatformFault) in
                try await subject.queue.cancel("open")
            }
            try await expectFault(.gone, doing: "result") { () throws(PlatformFault) in
                _ = try await subject.queue.result("open")
            }
        },
        QueueCheck("a call that is sent again begins anew, with all that it carried") { subject in
            let body = ByteBuffer(repeating: 5, count: 100_000)
            _ = try await subject.queue.accept(NewCall(function: function, path: "/p", body: body, callID: "dead"))
            try await settleTaken(subject, .dead, status: 500)
            try await subject.queue.sendAgain("dead")
            let record = try await subject.queue.call("dead")
            try expect(record?.state == .waiting && record?.attempts == [] && record?.result == nil, "\(record as Any)")
            try await expectCounts(subject, accepted: 1, [.waiting: 1])
            let again = try await awaitCall(subject)
            try expect(again.attempt == 1 && again.call.body == body && again.call.path == "/p", "\(again.attempt)")
        },
        QueueCheck("a call that is cancelled and sent again, over and over, is taken once") { subject in
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "a", start: .after(.seconds(3600)))
            )
            for _ in 0..<3 {
                try await subject.queue.cancel("a")
                try await subject.queue.sendAgain("a")
            }
            try expect(try await take(subject)?.lease.id == "a", "it was not due at once")
            try expect(try await take(subject) == nil, "it was taken twice")
            try await expectCounts(subject, accepted: 1, [.running: 1])
        },
        QueueCheck("the dead of one function are sent again without the others") { subject in
            for number in 0..<3 { _ = try await finish(subject, "a\(number)", .dead, status: 500) }
            _ = try await finish(subject, "b", .dead, status: 500, of: other)
            _ = try await finish(subject, "c", .failed, status: 400)
            let sent = try await subject.queue.sendDeadAgain(function)
            try expect(sent == 3, "\(sent) were sent")
            try await expectCounts(subject, accepted: 5, [.waiting: 3, .dead: 1, .failed: 1])
            let rest = try await subject.queue.sendDeadAgain(nil)
            try expect(rest == 1, "\(rest) were sent")
        },
        QueueCheck("forgotten calls are gone, and still counted") { subject in
            _ = try await finish(subject, "a", .succeeded, status: 200)
            _ = try await finish(subject, "b", .dead, status: 500)
            _ = try await subject.queue.accept(NewCall(function: function, callID: "open"))
            try await expectFault(.invalidValue, doing: "purge of waiting ones") { () throws(PlatformFault) in
                _ = try await subject.queue.purge(function: nil, state: .waiting)
            }
            try expect(try await subject.queue.purge(function: other, state: nil) == 0, "another function's")
            try expect(try await subject.queue.purge(function: function, state: .succeeded) == 1, "not one")
            try expect(try await subject.queue.call("a") == nil, "it is still there")
            try expect(try await subject.queue.purge(function: nil, state: nil) == 1, "not one")
            try expect(try await subject.queue.call("open")?.state == .waiting, "an open one was forgotten")
            try await expectCounts(subject, accepted: 3, [.succeeded: 1, .dead: 1, .waiting: 1])
        },
        QueueCheck("the waiting calls of a deleted function are dead, with the reason") { subject in
            for number in 0..<3 {
                _ = try await subject.queue.accept(NewCall(function: function, callID: "a\(number)"))
            }
            _ = try await subject.queue.accept(NewCall(function: other, callID: "b"))
            let running = try await awaitCall(subject)
            try await subject.queue.functionDeleted(function)
            let record = try await subject.queue.call("a2")
            try expect(record?.state == .dead && record?.deadReason?.contains("deleted") == true, "\(record as Any)")
            try expect(try await subject.queue.call(running.lease.id)?.state == .running, "the running one ended")
            try await expectCounts(subject, accepted: 4, [.dead: 2, .running: 1, .waiting: 1])
            try expect(try await take(subject) == nil, "a dead one was taken")
        },
        QueueCheck("calls are listed newest first, page by page, by function and state") { subject in
            for number in 0..<7 {
                _ = try await subject.queue.accept(
                    NewCall(function: number.isMultiple(of: 2) ? function : other, callID: "call-\(number)")
                )
            }
            _ = try await awaitCall(subject)
            var ids: [String] = []
            var cursor: String?
            repeat {
                let page = try await subject.queue.calls(CallQuery(limit: 3, cursor: cursor))
                try expect(page.calls.count <= 3, "\(page.calls.count) on a page")
                ids += page.calls.map(\.id)
                cursor = page.next
            } while cursor != nil
            try expect(ids == (0..<7).reversed().map { "call-\($0)" }, "\(ids)")
            let waiting = try await subject.queue.calls(CallQuery(function: function, state: .waiting)).calls
            try expect(waiting.map(\.id) == ["call-6", "call-4", "call-2"], "\(waiting.map(\.id))")
            let running = try await subject.queue.calls(CallQuery(state: .running)).calls
            try expect(running.map(\.id) == ["call-0"], "\(running.map(\.id))")
            let others = try await subject.queue.calls(CallQuery(function: other, limit: 2))
            try expect(
                others.calls.map(\.id) == ["call-5", "call-3"] && others.next != nil,
                "\(others.calls.map(\.id))"
            )
            try await expectFault(.invalidValue, doing: "a cursor that is none") { () throws(PlatformFault) in
                _ = try await subject.queue.calls(CallQuery(cursor: "nonsense!"))
            }
        },
        QueueCheck("calls are listed from a moment on, and the oldest waiting one's age is known") { subject in
            let now = Timestamp.now().nanosecondsSinceEpoch
            let (old, new) = (now - 3_600_000_000_000, now - 1_000_000_000)
            for (id, moment) in [("old", old), ("new", new)] {
                _ = try await subject.queue.accept(
                    NewCall(function: function, callID: id, acceptedAt: Timestamp(nanosecondsSinceEpoch: moment))
                )
            }
            let since = Timestamp(nanosecondsSinceEpoch: now - 60_000_000_000)
            let listed = try await subject.queue.calls(CallQuery(since: since)).calls
            try expect(listed.map(\.id) == ["new"], "\(listed.map(\.id))")
            let oldest = try required(await subject.queue.counts().oldest, "no age")
            try expect(oldest >= .seconds(3600) && oldest < .seconds(3700), "\(oldest)")
        },
        QueueCheck("the backlog counts calls that are due or in flight, and none that waits for its time") { subject in
            let other = FunctionID(name: "other", namespace: function.namespace)
            for id in ["a", "b", "c"] {
                _ = try await subject.queue.accept(NewCall(function: function, callID: id))
            }
            for id in ["d", "e"] {
                _ = try await subject.queue.accept(
                    NewCall(function: function, callID: id, start: .after(.seconds(3600)))
                )
            }
            _ = try await subject.queue.accept(NewCall(function: other, callID: "f", start: .after(.seconds(3600))))
            try await expectBacklog([function: 3], subject)
            try await subject.queue.cancel("d")
            try await subject.queue.cancel("a")
            try await expectBacklog([function: 2], subject)
            try await settleTaken(subject, .succeeded, status: 200)
            try await expectBacklog([function: 1], subject)
            let (taken, _) = try await subject.queue.take(from: function, atMost: 5, lease: .seconds(60))
            try expect(taken.map(\.lease.id) == ["c"], "\(taken)")
            try await expectBacklog([function: 1], subject)
        },
        QueueCheck("whatever happens in whatever order, every call is somewhere") { subject in
            try await RandomLife(seed: UInt64.random(in: 0...UInt64.max)).run(subject, steps: 400)
        },
    ]

    private static func expectBacklog(_ wanted: [FunctionID: Int], _ subject: any QueueUnderTest) async throws {
        let backlog = await subject.queue.backlog()
        try expect(backlog == wanted, "\(backlog)")
    }

    // MARK: Callbacks

    static let callbacks: [QueueCheck] = [
        QueueCheck("an ended call has its callback taken once, with the answer") { subject in
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "a", callbackURL: "http://example.com/done")
            )
            try expect(try await subject.queue.takeCallbacks(atMost: 5).callbacks.isEmpty, "it was too early")
            try expect(try await subject.queue.call("a")?.callback?.state == "pending", "it is not pending")
            try await settleTaken(subject, .succeeded, status: 200)
            let taken = try await subject.queue.takeCallbacks(atMost: 5).callbacks
            try expect(taken.map(\.id) == ["a"], "\(taken.map(\.id))")
            try expect(taken.first?.url == "http://example.com/done", "\(taken)")
            try expect(taken.first?.result.body == ByteBuffer(string: "answer"), "\(taken)")
            try expect(try await subject.queue.takeCallbacks(atMost: 5).callbacks.isEmpty, "it was taken twice")
            try await subject.queue.settleCallback(
                try required(taken.first, "nothing"),
                verdict: .delivered(status: 204)
            )
            let callback = try await subject.queue.call("a")?.callback
            try expect(callback?.state == "delivered" && callback?.status == 204, "\(callback as Any)")
            try expect(try await subject.queue.takeCallbacks(atMost: 5).callbacks.isEmpty, "it came back")
        },
        QueueCheck("a callback that is not admitted stays due, and holds back nobody behind it") { subject in
            for (id, host) in [("a", "hangs"), ("b", "hangs"), ("c", "answers")] {
                _ = try await subject.queue.accept(
                    NewCall(function: function, callID: id, callbackURL: "http://\(host)/done")
                )
                try await settleTaken(subject, .succeeded, status: 200)
            }
            let taken = try await subject.queue.takeCallbacks(atMost: 1) { $0.contains("answers") }.callbacks
            try expect(taken.map(\.id) == ["c"], "\(taken.map(\.id))")
            let rest = try await subject.queue.takeCallbacks(atMost: 5).callbacks
            try expect(rest.map(\.id) == ["a", "b"], "\(rest.map(\.id))")
        },
        QueueCheck("a callback that failed waits and comes again with its count, until it is given up") { subject in
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "a", callbackURL: "http://example.com/done")
            )
            try await settleTaken(subject, .dead, status: 500)
            let first = try required(try await subject.queue.takeCallbacks(atMost: 1).callbacks.first, "nothing")
            let settled = ContinuousClock.now
            try await subject.queue.settleCallback(first, verdict: .retry(after: .milliseconds(150), status: 503))
            var (again, nextDue) = try await subject.queue.takeCallbacks(atMost: 1)
            while again.isEmpty {
                try await Task.sleep(for: try required(nextDue, "it is not known when it is due"))
                (again, nextDue) = try await subject.queue.takeCallbacks(atMost: 1)
            }
            try expect(ContinuousClock.now - settled >= .milliseconds(150), "it did not wait")
            try expect(again.first?.attempts == 1, "\(again)")
            try await subject.queue.settleCallback(again[0], verdict: .failed(status: 410))
            let callback = try await subject.queue.call("a")?.callback
            try expect(callback?.state == "failed" && callback?.attempts == 2, "\(callback as Any)")
        },
        QueueCheck("a call that is sent again while its callback is in flight calls back once more") { subject in
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "a", callbackURL: "http://example.com/done")
            )
            try await settleTaken(subject, .failed, status: 404)
            let first = try required(try await subject.queue.takeCallbacks(atMost: 1).callbacks.first, "nothing")
            try await subject.queue.sendAgain("a")
            try await settleTaken(subject, .succeeded, status: 200)
            let second = try required(try await subject.queue.takeCallbacks(atMost: 1).callbacks.first, "nothing")
            try expect(second.result.status == 200 && second.end != first.end, "\(second)")
            try await subject.queue.settleCallback(first, verdict: .delivered(status: 200))
            try expect(try await subject.queue.call("a")?.callback?.state == "waiting", "the old one settled the new")
            try await subject.queue.settleCallback(second, verdict: .delivered(status: 200))
            try expect(try await subject.queue.call("a")?.callback?.state == "delivered", "it is not delivered")
        },
        QueueCheck("a call without a callback, and a cancelled one, call nobody back") { subject in
            _ = try await finish(subject, "plain", .succeeded, status: 200)
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "a", callbackURL: "http://example.com/done")
            )
            try await subject.queue.cancel("a")
            try expect(try await subject.queue.takeCallbacks(atMost: 5).callbacks.isEmpty, "somebody was called back")
        },
    ]

    // MARK: Outliving the process

    static let lasting: [QueueCheck] = [
        QueueCheck("what was accepted outlives the process, and what was in flight is carried out again") { subject in
            let body = ByteBuffer(repeating: 3, count: 150_000)
            for id in ["waiting", "running", "retried"] {
                _ = try await subject.queue.accept(NewCall(function: function, body: body, callID: id))
            }
            for _ in 0..<2 { _ = try await awaitCall(subject) }
            let retried = try await awaitCall(subject)
            _ = try await subject.queue.settle(
                retried.lease,
                attempt: attempt(1, 503),
                verdict: .retry(after: .milliseconds(1))
            )
            guard let next = try await subject.reopened() else { return }
            try await expectCounts(next, accepted: 3, [.waiting: 3])
            var attempts: [String: Int] = [:]
            for _ in 0..<3 {
                let call = try await awaitCall(next)
                try expect(call.call.body == body, "its body changed")
                attempts[call.lease.id] = call.attempt
            }
            try expect(attempts == ["waiting": 1, "running": 1, "retried": 2], "\(attempts)")
        },
        QueueCheck("what is over stays over, with its result, its counts and its keys") { subject in
            _ = try await finish(subject, "done", .succeeded, status: 200)
            _ = try await subject.queue.accept(NewCall(function: function, callID: "key", idempotencyKey: "k"))
            try await subject.queue.cancel("key")
            guard let next = try await subject.reopened() else { return }
            try await expectCounts(next, accepted: 2, [.succeeded: 1, .cancelled: 1])
            try expect(try await next.queue.result("done").body == ByteBuffer(string: "answer"), "the result is gone")
            try expect(try await take(next) == nil, "one that was over was taken")
            let again = try await next.queue.accept(NewCall(function: function, callID: "new", idempotencyKey: "k"))
            try expect(again.isDuplicate && again.id == "key", "\(again)")
        },
        QueueCheck("a delay goes on, and callbacks that were in flight come again") { subject in
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "cb", callbackURL: "http://example.com/done")
            )
            try await settleTaken(subject, .succeeded, status: 200)
            _ = try await subject.queue.accept(
                NewCall(function: function, callID: "later", start: .after(.seconds(3600)))
            )
            _ = try await subject.queue.takeCallbacks(atMost: 1)
            guard let next = try await subject.reopened() else { return }
            let (calls, due) = try await next.queue.take(from: function, atMost: 1, lease: .seconds(60))
            try expect(calls.isEmpty && due.map { $0 > .seconds(3500) } == true, "due in \(due as Any)")
            let callbacks = try await next.queue.takeCallbacks(atMost: 1).callbacks
            try expect(callbacks.map(\.id) == ["cb"], "\(callbacks.map(\.id))")
        },
    ]
}
