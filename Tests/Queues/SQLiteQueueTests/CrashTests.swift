// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import GRDB
import Logging
import NIOCore
import ProcessControl
import QueueContract
import Synchronization
import TestSupport
import Testing

@testable import SQLiteQueue

/// What the queue does after deaths of the platform that calls may have caused.
struct CrashTests {
    private let folder = TemporaryFolder()
    private let function = FunctionID(name: "fn", namespace: "openfaas-fn")
    private let other = FunctionID(name: "other", namespace: "openfaas-fn")
    private let time = Time()

    /// A clock that moves when it is told to.
    private final class Time: Sendable {
        private let passed = Atomic<Int64>(0)
        var clock: QueueClock {
            QueueClock(
                monotonic: { [self] in passed.load(ordering: .relaxed) },
                wall: { [self] in 1_800_000_000_000_000_000 + passed.load(ordering: .relaxed) }
            )
        }
        func pass(_ nanoseconds: Int64) { passed.add(nanoseconds, ordering: .relaxed) }
    }

    private func open() throws -> SQLiteQueue {
        try SQLiteQueue(
            folder: folder.path,
            settings: QueueSettings(),
            clock: time.clock,
            logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    private func accept(_ ids: String..., of function: FunctionID? = nil, by queue: SQLiteQueue) async throws {
        for id in ids {
            let call = NewCall(function: function ?? self.function, callID: id, callbackURL: "http://receiver.test/")
            _ = try await queue.accept(call)
        }
    }

    private func take(_ queue: SQLiteQueue, of function: FunctionID? = nil) async throws -> [LeasedCall] {
        try await queue.take(from: function ?? self.function, atMost: 10, lease: .seconds(1000)).calls
    }

    private func settle(_ call: LeasedCall, _ verdict: CallVerdict, _ queue: SQLiteQueue) async throws {
        let now = Timestamp.now()
        let attempt = CallAttempt(number: call.attempt, startedAt: now, finishedAt: now, status: 200)
        #expect(try await queue.settle(call.lease, attempt: attempt, verdict: verdict))
    }

    private let success = CallVerdict.end(.succeeded, reason: nil, result: CallResult(status: 200))

    /// What the handler of such a death writes.
    private func die(_ inFlight: [InFlight]) {
        let words = [0x3154_454C_5452_414D, Int64(SIGILL), Int64(inFlight.count)] + inFlight.map(\.entry)
        let bytes = words.withUnsafeBytes { Data($0) }
        _ = FileManager.default.createFile(atPath: "\(folder.path)/calls.crash", contents: bytes)
    }

    private func call(_ number: Int64) -> InFlight { InFlight(number, isCallback: false) }

    @Test func `what was in flight at such a death is tried one at a time, and then all goes on`() async throws {
        let first = try open()
        try await accept("a", "b", by: first)
        try await accept("c", of: other, by: first)
        try await accept("d", by: first)
        await first.close()
        die([call(1), call(3)])
        let queue = try open()
        #expect(try await take(queue, of: other).isEmpty)
        let a = try await take(queue)
        #expect(a.map(\.lease.id) == ["a"])
        #expect(try await take(queue).isEmpty)
        #expect(try await take(queue, of: other).isEmpty)
        let (none, wait) = try await queue.take(from: function, atMost: 1, lease: .seconds(1))
        #expect(none.isEmpty && wait == CrashTrial.pause)
        try await settle(a[0], success, queue)
        #expect(try await take(queue).isEmpty)
        #expect(try await queue.takeCallbacks(atMost: 10).callbacks.isEmpty)
        let c = try await take(queue, of: other)
        #expect(c.map(\.lease.id) == ["c"])
        try await settle(c[0], .retry(after: .seconds(1)), queue)
        #expect(try await take(queue).map(\.lease.id) == ["b", "d"])
        #expect(try await queue.takeCallbacks(atMost: 10).callbacks.map(\.id) == ["a"])
        #expect(await queue.counts().total.drift == 0)
        await queue.close()
    }

    @Test func `who was alone at two such deaths is dead, and can be sent again`() async throws {
        let first = try open()
        try await accept("a", "b", by: first)
        await first.close()
        die([call(1), call(2)])
        await (try open()).close()
        die([call(1)])
        let second = try open()
        #expect(try await take(second).map(\.lease.id) == ["a"])
        await second.close()
        #expect(try await state("a") == .waiting)
        die([call(1)])
        let queue = try open()
        let record = try #require(try await queue.call("a"))
        #expect(record.state == .dead && record.deadReason == "crashed-platform")
        #expect(try await take(queue).map(\.lease.id) == ["b"])
        #expect(await queue.counts().total.dead == 1)
        #expect(await queue.counts().total.drift == 0)
        try await queue.sendAgain("a")
        #expect(try await queue.call("a")?.state == .waiting)
        await queue.close()
    }

    private func state(_ id: String) async throws -> CallState? {
        let queue = try open()
        let state = try await queue.call(id)?.state
        await queue.close()
        return state
    }

    @Test func `ends without a note, deaths with nothing in flight and notes that are none blame nobody`() async throws
    {
        let first = try open()
        try await accept("a", by: first)
        await first.close()
        for note in ["", "x", String(repeating: "MARTLET1", count: 3), String(repeating: "MARTLET1", count: 9000)] {
            for _ in 0..<3 {
                folder.write("calls.crash", note)
                #expect(try await state("a") == .waiting)
            }
        }
        for _ in 0..<3 {
            die([])
            #expect(try await state("a") == .waiting)
        }
        // An entry of a call that is over, or never was.
        die([call(77)])
        let queue = try open()
        #expect(try await take(queue).map(\.lease.id) == ["a"])
        await queue.close()
    }

    @Test func `a note is read once, and who was tried without harm is not tried again`() async throws {
        let first = try open()
        try await accept("a", "b", by: first)
        await first.close()
        die([call(1), call(2)])
        let second = try open()
        let a = try await take(second)
        try await settle(a[0], .retry(after: .zero), second)
        let b = try await take(second)
        #expect(b.map(\.lease.id) == ["b"])
        try await settle(b[0], .retry(after: .zero), second)
        await second.close()
        let third = try open()
        #expect(try await take(third).count == 2)
        await third.close()
    }

    @Test func `a callback that was alone at two such deaths is given up`() async throws {
        let first = try open()
        try await accept("a", by: first)
        let a = try await take(first)
        try await settle(a[0], success, first)
        await first.close()
        for _ in 0..<2 { #expect(try await state("a") == .succeeded) }
        die([InFlight(1, isCallback: true)])
        let second = try open()
        try await accept("b", by: second)
        #expect(try await take(second).isEmpty)
        #expect(try await second.takeCallbacks(atMost: 10).callbacks.map(\.id) == ["a"])
        await second.close()
        die([InFlight(1, isCallback: true)])
        let third = try open()
        #expect(try await third.call("a")?.state == .succeeded)
        #expect(try await third.call("a")?.callback?.state == "failed")
        #expect(try await third.takeCallbacks(atMost: 10).callbacks.isEmpty)
        #expect(try await take(third).map(\.lease.id) == ["b"])
        await third.close()
    }

    @Test func `who cannot be tried, or takes long, holds back the others for a turn at most`() async throws {
        let first = try open()
        try await accept("a", "b", "c", by: first)
        await first.close()
        die([call(1), call(2)])
        let queue = try open()
        #expect(try await take(queue).map(\.lease.id) == ["a"])
        time.pass(CrashTrial.turn + 1)
        #expect(try await take(queue).map(\.lease.id) == ["b"])
        try await queue.cancel("b")
        #expect(try await take(queue).map(\.lease.id) == ["c"])
        await queue.close()
    }

    @Test func `all trials together end in time`() {
        let suspects = (1...100).map { CrashTrial.Suspect(what: InFlight($0, isCallback: false), function: function) }
        var (trial, turns, now) = (CrashTrial(suspects), 0, Int64(0))
        while trial.suspect(now: now) != nil {
            now += CrashTrial.turn + 1
            turns += 1
        }
        #expect(turns > 5 && now <= CrashTrial.limit + CrashTrial.turn * 2)
    }

    // MARK: Stored rows

    @Test func `whatever numbers and texts rows have, the queue opens and works`() async throws {
        let first = try open()
        try await accept("waits", "ended", "failed", by: first)
        let taken = try await take(first)
        try await settle(taken[1], success, first)
        try await settle(taken[2], .end(.dead, reason: "x", result: nil), first)
        await first.close()
        let texts = [
            "", ";;;", "1,\(Int64.max),\(Int64.min),0,;1,\(Int64.min),\(Int64.max),\(Int64.max),x;", ".",
            "http://h:65536/",
        ]
        let numbers = [Int64.min, .max].map(String.init)
        let columns: [(table: String, names: [String], values: [String])] = [
            (
                "calls",
                [
                    "created_at", "not_before", "delayed_by", "finished_at", "callback_state", "callback_due",
                    "callback_attempts", "callback_status", "state",
                ], numbers
            ),
            ("calls", ["method", "path", "query", "attempts", "dead_reason", "callback_url", "function"], texts),
            ("results", ["status", "size", "is_truncated", "expires_at"], numbers),
            ("counters", ["accepted", "succeeded", "dead"], numbers), ("journal", ["applied", "commits"], numbers),
            ("requests", ["client", "spill"], texts), ("results", ["spill"], texts),
        ]
        for (table, names, values) in columns {
            for column in names {
                for value in values {
                    try await spoil(table, column, value)
                    try await useAll("\(table).\(column) = \(value)")
                }
            }
        }
    }

    private func spoil(_ table: String, _ column: String, _ value: String) async throws {
        let database = try DatabaseQueue(path: "\(folder.path)/calls.sqlite")
        try await database.write { database in
            // Refused where the column holds something of another kind.
            try? database.execute(sql: "UPDATE \(table) SET \(column) = ?", arguments: [value])
        }
        try database.close()
    }

    private func useAll(_ what: String) async throws {
        let queue = try open()
        let functions = await queue.waitingFunctions()
        for function in functions + [function] {
            for call in try await queue.take(from: function, atMost: 10, lease: .seconds(1)).calls {
                await queue.release(call.lease)
            }
        }
        for callback in (try? await queue.takeCallbacks(atMost: 10).callbacks) ?? [] {
            try await queue.settleCallback(callback, verdict: .retry(after: .zero, status: 500))
        }
        _ = try await queue.calls(CallQuery())
        for id in ["waits", "ended", "failed"] {
            #expect(try await queue.call(id) != nil, "\(what)")
            _ = try? await queue.result(id)
        }
        _ = await queue.counts()
        _ = await queue.backlog()
        await queue.sweepOnce()
        await queue.close()
    }

    @Test(arguments: [
        "1677-09-21T00:12:44Z", "1700-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2262-04-11T23:47:16.854775807Z",
    ]) func `a call for any moment there is waits for it, or begins at once`(text: String) async throws {
        let queue = try open()
        let moment = try #require(Timestamp(text))
        _ = try await queue.accept(NewCall(function: function, callID: "a", start: .at(moment)))
        let isPast = moment.nanosecondsSinceEpoch < 1_800_000_000_000_000_000
        #expect(try await queue.call("a")?.notBefore == moment)
        #expect(try await take(queue).count == (isPast ? 1 : 0))
        await queue.close()
        let again = try open()
        #expect(try await take(again).count == (isPast ? 1 : 0))
        await again.close()
    }
}
