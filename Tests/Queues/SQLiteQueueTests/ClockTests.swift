// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import Logging
import NIOCore
import QueueContract
import Synchronization
import TestSupport
import Testing

@testable import SQLiteQueue

/// What depends on time, with a clock that jumps when the test says so.
struct ClockTests {
    /// Two clocks that only move when they are told to.
    private final class Clocks: Sendable {
        private let moments = Mutex<(monotonic: Int64, wall: Int64)>((0, 1_800_000_000_000_000_000))

        var clock: QueueClock {
            QueueClock(
                monotonic: { [self] in moments.withLock { $0.monotonic } },
                wall: { [self] in moments.withLock { $0.wall } }
            )
        }

        var wall: Int64 { moments.withLock { $0.wall } }

        /// Time passes.
        func pass(_ seconds: Int64) {
            moments.withLock { moments in
                moments.monotonic += seconds * 1_000_000_000
                moments.wall += seconds * 1_000_000_000
            }
        }

        /// Somebody sets the wall clock.
        func jump(_ seconds: Int64) { moments.withLock { $0.wall += seconds * 1_000_000_000 } }
    }

    private let folder = TemporaryFolder()
    private let clocks = Clocks()
    private let function = FunctionID(name: "fn", namespace: "openfaas-fn")

    private func open(_ settings: QueueSettings = QueueSettings()) throws -> SQLiteQueue {
        try SQLiteQueue(
            folder: folder.path,
            settings: settings,
            clock: clocks.clock,
            logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private func call(_ id: String, _ start: NewCall.Start = .now) -> NewCall {
        NewCall(
            function: function,
            callID: id,
            start: start,
            acceptedAt: Timestamp(nanosecondsSinceEpoch: clocks.wall)
        )
    }

    private func take(_ queue: SQLiteQueue) async throws -> [String] {
        try await queue.take(from: function, atMost: 10, lease: .seconds(60)).calls.map(\.lease.id)
    }

    @Test func `who takes calls is told of one that may begin before those it knows of`() async throws {
        let queue = try open()
        let told = Mutex(0)
        queue.onDue { _ in told.withLock { $0 += 1 } }
        let starts: [(NewCall.Start, isTold: Bool)] = [
            (.after(.seconds(100)), true), (.after(.seconds(200)), false), (.after(.seconds(50)), true), (.now, true),
            (.after(.seconds(60)), false),
        ]
        for (number, (start, isTold)) in starts.enumerated() {
            let before = told.withLock { $0 }
            _ = try await queue.accept(call("\(number)", start))
            // Whoever had it accepted is answered before others are told.
            if isTold { #expect(await eventually { told.withLock { $0 } > before }, "\(start)") }
            #expect(told.withLock { $0 } == before + (isTold ? 1 : 0), "\(start)")
        }
        #expect(try await queue.take(from: function, atMost: 9, lease: .seconds(60)).nextDue == .seconds(50))
        await queue.close()
    }

    @Test func `a call whose body cannot be read for a while waits, and is told of`() async throws {
        let queue = try open()
        let told = Mutex(0)
        let (events, continuation) = AsyncStream.makeStream(of: Void.self)
        queue.onDue { _ in
            told.withLock { $0 += 1 }
            continuation.yield()
        }
        var large = call("large")
        large.body = ByteBuffer(repeating: 1, count: 100_000)
        _ = try await queue.accept(large)
        // Whoever had it accepted is answered before others are told.
        var iterator = events.makeAsyncIterator()
        _ = await iterator.next()
        let files = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/spill")
        let file = "\(folder.path)/spill/\(try #require(files.first))"
        rename(file, "\(folder.path)/kept")
        // There, and no file.
        try FileManager.default.createDirectory(atPath: file, withIntermediateDirectories: false)
        #expect(try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls.isEmpty)
        #expect(told.withLock { $0 } == 2)
        #expect(try await queue.take(from: function, atMost: 1, lease: .seconds(60)).nextDue == .seconds(10))
        rmdir(file)
        rename("\(folder.path)/kept", file)
        clocks.pass(10)
        let taken = try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls
        #expect(taken.map(\.call.body) == [large.body])
        await queue.close()
    }

    @Test func `a wait is not shortened or prolonged by setting the wall clock, a moment follows it`() async throws {
        let queue = try open()
        let (events, continuation) = AsyncStream.makeStream(of: FunctionID.self)
        _ = try await queue.accept(call("wait", .after(.seconds(100))))
        let moment = Timestamp(nanosecondsSinceEpoch: clocks.wall + 3_600_000_000_000)
        _ = try await queue.accept(call("moment", .at(moment)))
        queue.onDue { continuation.yield($0) }
        clocks.jump(3600)
        var iterator = events.makeAsyncIterator()
        _ = await iterator.next()
        #expect(try await take(queue) == ["moment"])
        clocks.jump(-7200)
        clocks.pass(99)
        #expect(try await take(queue) == [])
        clocks.pass(1)
        #expect(try await take(queue) == ["wait"])
        await queue.close()
    }

    @Test func `after a restart a wait is never longer than it was asked to be`() async throws {
        let queue = try open()
        _ = try await queue.accept(call("wait", .after(.seconds(100))))
        await queue.close()
        clocks.jump(-86_400)
        let again = try open()
        let (calls, nextDue) = try await again.take(from: function, atMost: 1, lease: .seconds(60))
        #expect(calls.isEmpty && nextDue == .seconds(100), "\(nextDue as Any)")
        await again.close()
    }

    @Test func `a call that was due stays due when the clock was set back before a restart`() async throws {
        let queue = try open()
        _ = try await queue.accept(call("now"))
        await queue.close()
        clocks.jump(-86_400)
        let again = try open()
        #expect(try await take(again) == ["now"])
        await again.close()
    }

    @Test func `a lease does not end because the wall clock was set`() async throws {
        let queue = try open()
        _ = try await queue.accept(call("a"))
        let lease = try #require(
            try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls.first?.lease
        )
        clocks.jump(86_400)
        #expect(await queue.renew(lease, for: .seconds(60)))
        await queue.close()
    }

    @Test func `an idempotency key is forgotten after its window`() async throws {
        let queue = try open()
        var first = call("a")
        first.idempotencyKey = "k"
        var again = call("b")
        again.idempotencyKey = "k"
        _ = try await queue.accept(first)
        clocks.pass(24 * 3600 - 1)
        #expect(try await queue.accept(again).isDuplicate)
        clocks.pass(2)
        #expect(try await queue.accept(again).id == "b")
        await queue.close()
    }

    @Test func `results go after a day, dead calls stay whole for two weeks, and counts stay for ever`() async throws {
        let queue = try open()
        for (id, end) in [("good", CallEnd.succeeded), ("dead", .dead)] {
            _ = try await queue.accept(call(id))
            let lease = try #require(
                try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls.first?.lease
            )
            let moment = Timestamp(nanosecondsSinceEpoch: clocks.wall)
            _ = try await queue.settle(
                lease,
                attempt: CallAttempt(number: 1, startedAt: moment, finishedAt: moment, status: 200),
                verdict: .end(end, reason: nil, result: CallResult(status: 200, body: ByteBuffer(string: "x")))
            )
        }
        clocks.pass(25 * 3600)
        await queue.sweepOnce()
        let gone = await #expect(throws: PlatformFault.self) { _ = try await queue.result("good") }
        #expect(gone?.code == .gone)
        #expect(try await queue.call("good")?.state == .succeeded)
        let unsendable = await #expect(throws: PlatformFault.self) { try await queue.sendAgain("good") }
        #expect(unsendable?.code == .gone)
        #expect(try await queue.call("dead")?.result != nil)
        clocks.pass(14 * 24 * 3600)
        await queue.sweepOnce()
        #expect(try await queue.call("good") == nil)
        #expect(try await queue.call("dead") == nil)
        let counts = await queue.counts().total
        #expect(counts.accepted == 2 && counts.succeeded == 1 && counts.dead == 1 && counts.drift == 0, "\(counts)")
        await queue.close()
    }

    @Test func `a call that waits beyond its time to live expires, one whose time has not come does not`() async throws
    {
        let queue = try open(QueueSettings(timeToLive: .seconds(60)))
        _ = try await queue.accept(call("old"))
        _ = try await queue.accept(call("later", .after(.seconds(1000))))
        clocks.pass(61)
        _ = try await queue.accept(call("new"))
        await queue.sweepOnce()
        #expect(try await queue.call("old")?.state == .expired)
        #expect(try await queue.call("later")?.state == .waiting)
        #expect(try await take(queue) == ["new"])
        #expect(await queue.counts().total.drift == 0)
        await queue.close()
    }
}
