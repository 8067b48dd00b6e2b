// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FaultModel
import Foundation
import FunctionModel
import GRDB
import Logging
import NIOCore
import QueueContract
import Synchronization
import TestSupport
import Testing

@testable import SQLiteQueue

/// What was promised and is not in the tables yet.
struct JournalTests {
    private let folder = TemporaryFolder()
    private let function = FunctionID(name: "fn", namespace: "openfaas-fn")

    /// Opens a queue that leaves everything in the journal until somebody reads.
    private func open(
        _ folder: TemporaryFolder,
        catchUpDelay: DispatchTimeInterval = .seconds(3600)
    ) throws -> SQLiteQueue {
        try SQLiteQueue(
            folder: folder.path,
            settings: QueueSettings(),
            clock: .system,
            catchUpDelay: catchUpDelay,
            logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    /// What is left when the process is killed now.
    private func leftovers() throws -> TemporaryFolder {
        let left = TemporaryFolder()
        try folder.copyContents(to: left)
        return left
    }

    private func size(_ name: String) throws -> Int {
        try FileManager.default.attributesOfItem(atPath: "\(folder.path)/\(name)")[.size] as? Int ?? 0
    }

    /// Where the entries of a file end: what is behind them are zeros.
    private func end(of name: String) throws -> Int {
        let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/\(name)"))
        let last = bytes.lastIndex { $0 != 0 } ?? -1
        return (last + JournalPages.pageSize) / JournalPages.pageSize * JournalPages.pageSize
    }

    private func call(_ id: String, _ body: ByteBuffer = ByteBuffer(), callback: String? = nil) -> NewCall {
        NewCall(function: function, body: body, callID: id, callbackURL: callback)
    }

    private func attempt(_ number: Int, _ status: Int) -> CallAttempt {
        CallAttempt(number: number, startedAt: .now(), finishedAt: .now(), status: status)
    }

    // MARK: After a crash

    @Test func `wherever the journal is torn, what was promised before that is there`() async throws {
        let queue = try open(folder)
        var promises: [(id: String, size: Int)] = []
        for number in 0..<6 {
            let body = ByteBuffer(repeating: UInt8(number), count: number * 700)
            let receipt = try await queue.accept(call("call-\(number)", body))
            promises.append((receipt.id, try end(of: "calls.journal-a")))
        }
        let whole = try leftovers()
        await queue.close()
        for size in stride(from: 0, through: promises.last?.size ?? 0, by: 512) {
            let torn = TemporaryFolder()
            try whole.copyContents(to: torn)
            truncate("\(torn.path)/calls.journal-a", off_t(size))
            let again = try open(torn)
            let kept = promises.filter { $0.size <= size }.map(\.id)
            #expect(try await again.calls(CallQuery()).calls.map(\.id).reversed() == kept, "torn at \(size)")
            #expect(await again.counts().total.drift == 0, "torn at \(size)")
            await again.close()
        }
    }

    @Test func `a piece of the journal that was not written takes away what came behind it, and nothing before`()
        async throws
    {
        let queue = try open(folder)
        var ends: [Int] = []
        for number in 0..<4 {
            _ = try await queue.accept(call("call-\(number)", ByteBuffer(repeating: 7, count: 2000)))
            ends.append(try end(of: "calls.journal-a"))
        }
        let whole = try leftovers()
        await queue.close()
        for place in stride(from: 0, to: ends[3] - 512, by: 512) {
            let broken = TemporaryFolder()
            try whole.copyContents(to: broken)
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: "\(broken.path)/calls.journal-a"))
            try file.seek(toOffset: UInt64(place))
            let isFilling = try file.read(upToCount: 512)?.allSatisfy { $0 == 0 } == true
            try file.seek(toOffset: UInt64(place))
            try file.write(contentsOf: Data(repeating: 0, count: 512))
            try file.close()
            let again = try open(broken)
            let kept = isFilling ? 4 : ends.filter { $0 <= place }.count
            #expect(await again.counts().total.waiting == kept, "broken at \(place)")
            await again.close()
        }
    }

    @Test func `what happened to calls is known after a crash, whichever part was in the tables`() async throws {
        let queue = try open(folder)
        for id in ["ends", "fails", "waits", "is cancelled"] {
            _ = try await queue.accept(call(id, ByteBuffer(string: id), callback: "http://example.com/\(id.count)"))
        }
        let answer = CallResult(status: 201, fields: ByteBuffer(string: "X-A: b\r\n"), body: ByteBuffer(string: "done"))
        for lease in try await queue.take(from: function, atMost: 2, lease: .seconds(60)).calls.map(\.lease) {
            let verdict: CallVerdict =
                lease.id == "ends"
                ? .end(.succeeded, reason: nil, result: answer) : .retry(after: .seconds(600))
            let status = lease.id == "ends" ? 201 : 503
            #expect(try await queue.settle(lease, attempt: attempt(1, status), verdict: verdict))
        }
        let journalled = try leftovers()
        // Brings the rest into the tables, and what follows is in the journal again.
        try await queue.cancel("is cancelled")
        let seen = try await queue.calls(CallQuery()).calls
        _ = try await queue.accept(call("later"))
        let halfway = try leftovers()
        await queue.close()

        let first = try open(journalled)
        #expect(try await first.call("is cancelled")?.state == .waiting)
        try await first.cancel("is cancelled")
        for (again, known) in [(first, seen), (try open(halfway), seen)] {
            for record in known where record.id != "is cancelled" {
                #expect(try await again.call(record.id) == record)
            }
            #expect(try await again.call("is cancelled")?.state == .cancelled)
            #expect(try await again.result("ends") == answer)
            #expect(try await again.takeCallbacks(atMost: 10).callbacks.map(\.id) == ["ends"])
            #expect(await again.counts().total.drift == 0)
            await again.close()
        }
        #expect(seen.first { $0.id == "ends" }?.attempts.map(\.status) == [201])
        #expect(seen.first { $0.id == "fails" }?.attempts.map(\.status) == [503])
    }

    @Test func `a large answer and a cut one are what they were`() async throws {
        let queue = try open(folder)
        let results = [
            CallResult(status: 200, body: ByteBuffer(repeating: 1, count: 200_000)),
            CallResult(status: 200, body: ByteBuffer(repeating: 2, count: 100_000), size: 5_000_000),
            CallResult(status: 204),
        ]
        for (number, result) in results.enumerated() {
            _ = try await queue.accept(call("call-\(number)"))
            let taken = try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls
            let lease = try #require(taken.first).lease
            let verdict = CallVerdict.end(.succeeded, reason: nil, result: result)
            #expect(try await queue.settle(lease, attempt: attempt(1, 200), verdict: verdict))
        }
        let left = try leftovers()
        await queue.close()
        let again = try open(left)
        for (number, result) in results.enumerated() {
            #expect(try await again.result("call-\(number)") == result)
            #expect(try await again.call("call-\(number)")?.result?.isTruncated == result.isTruncated)
        }
        await again.close()
    }

    // MARK: Before the tables have it

    @Test func `whoever reads sees what was promised a moment ago`() async throws {
        let queue = try open(folder)
        _ = try await queue.accept(call("a"))
        #expect(try await queue.call("a")?.state == .waiting)
        _ = try await queue.accept(call("b"))
        #expect(try await queue.calls(CallQuery()).calls.map(\.id) == ["b", "a"])
        let taken = try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls
        let lease = try #require(taken.first).lease
        _ = try await queue.settle(lease, attempt: attempt(1, 500), verdict: .end(.failed, reason: nil, result: nil))
        #expect(try await queue.call("a")?.state == .failed)
        await queue.close()
    }

    @Test func `whoever is told of a change finds it made, at that very moment`() async throws {
        let queue = try open(folder)
        let waiting = await withCheckedContinuation { continuation in
            queue.accept(call("a")) { _ in continuation.resume(returning: queue.memory.withLock { $0.counts }) }
        }
        #expect(waiting[function]?.accepted == 1 && waiting[function]?.waiting == 1)
        let lease = try #require(try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls.first).lease
        let over = await withCheckedContinuation { continuation in
            let verdict = CallVerdict.end(.succeeded, reason: nil, result: nil)
            queue.settle(lease, attempt: attempt(1, 200), verdict: verdict) { _ in
                continuation.resume(returning: queue.memory.withLock { $0.counts })
            }
        }
        #expect(over[function]?.succeeded == 1 && over[function]?.running == 0)
        await queue.close()
    }

    @Test func `an id is given once, wherever the call that has it is`() async throws {
        let queue = try open(folder)
        _ = try await queue.accept(call("in the tables"))
        _ = try await queue.call("in the tables")
        _ = try await queue.accept(call("in the journal"))
        for id in ["in the tables", "in the journal"] {
            let second = try await queue.accept(call(id))
            #expect(second.id != id && second.callID == id)
        }
        // Many at once share a group.
        let ids = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<50 { group.addTask { try await queue.accept(call("the same")).id } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(ids.count == 50 && ids.contains("the same"))
        await queue.close()
    }

    @Test func `a lease is settled once, also when many try at the same time`() async throws {
        let queue = try open(folder)
        _ = try await queue.accept(call("a"))
        let taken = try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls
        let lease = try #require(taken.first).lease
        let kept = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    let verdict = CallVerdict.end(.succeeded, reason: nil, result: nil)
                    return try await queue.settle(lease, attempt: attempt(1, 200), verdict: verdict)
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(kept == 1)
        #expect(await queue.counts().total.succeeded == 1)
        #expect(try await queue.call("a")?.attempts.count == 1)
        await queue.close()
    }

    @Test func `a group that changes nothing is done with, also behind a sync that failed`() async throws {
        let queue = try open(folder)
        let lost = JournalGroup(now: 0, entry: JournalEntry())
        let written = WrittenGroup(group: lost, entry: CallJournal.Written(sequence: 0, descriptor: -1))
        let failed = await withCheckedContinuation { continuation in
            queue.sync(written, whileOthersFollow: true) { continuation.resume(returning: !$0) }
        }
        #expect(failed)
        let ended = CallLease(id: "ended", token: 4711)
        let verdict = CallVerdict.end(.succeeded, reason: nil, result: nil)
        let begun = ContinuousClock.now
        #expect(try await !queue.settle(ended, attempt: attempt(1, 200), verdict: verdict))
        #expect(ContinuousClock.now - begun < .seconds(25), "it waited for the upkeep's sweep")
        _ = try await queue.accept(call("a"))
        #expect(await queue.counts().total.waiting == 1)
        await queue.close()
    }

    @Test func `when the journal has no room left the tables get what is in it, and nothing is lost`() async throws {
        let queue = try open(folder)
        let body = ByteBuffer(repeating: 3, count: 60_000)
        for number in 0..<800 { _ = try await queue.accept(call("call-\(number)", body)) }
        #expect(try size("calls.journal-a") < 10_000_000 && size("calls.journal-b") < 10_000_000)
        let left = try leftovers()
        await queue.close()
        let again = try open(left)
        #expect(await again.counts().total.waiting == 800)
        let taken = try await again.take(from: function, atMost: 800, lease: .seconds(60)).calls
        #expect(taken.count == 800 && taken.allSatisfy { $0.call.body == body })
        await again.close()
    }

    @Test func `the journal keeps what the tables only show, until a sync has reached the disk`() async throws {
        let queue = try open(folder)
        let ready = DispatchSemaphore(value: 0)
        _ = try await queue.accept(call("a"))
        await withCheckedContinuation { continuation in
            queue.tableQueue.async {
                _ = queue.catchUp()
                continuation.resume()
                // The sync comes behind this.
                ready.wait()
            }
        }
        await #expect(throws: PlatformFault.self) { try await queue.cancel("unknown") }
        // A transaction that wrote nothing has synced nothing.
        let (isShown, isSynced) = queue.backlog.withLock { ($0.isEmpty, $0.isSynced) }
        #expect(isShown && !isSynced)
        try await queue.cancel("a")
        let isSyncedThen = queue.backlog.withLock { $0.isSynced }
        #expect(isSyncedThen)
        ready.signal()
        await queue.close()
    }

    @Test func `a change that the tables will not have keeps no other from them`() async throws {
        let queue = try open(folder)
        _ = try await queue.accept(call("before"))
        // The place of the second call is taken, which no queue would do.
        let other = try DatabaseQueue(path: "\(folder.path)/calls.sqlite")
        try await other.write { database in
            try database.execute(
                sql: """
                    INSERT INTO calls (seq, id, call_id, function, state, method, path, created_at, not_before, delayed_by)
                    VALUES (2, 'intruder', '', 'fn.openfaas-fn', 1, 'POST', '', 0, 0, 0)
                    """
            )
        }
        _ = try await queue.accept(call("misfit"))
        _ = try await queue.accept(call("behind"))
        #expect(await eventually { (try? await queue.call("behind"))??.state == .waiting })
        #expect(try await queue.call("before") != nil)
        await queue.close()
    }

    // MARK: Files

    @Test func `a clean end leaves no journal, and everything in the tables`() async throws {
        let queue = try open(folder)
        _ = try await queue.accept(call("a"))
        await queue.close()
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(!names.contains { $0.contains("journal") }, "\(names)")
        let again = try open(folder)
        #expect(try await again.call("a") != nil)
        await again.close()
    }

    @Test func `the journal of another database is put aside, and is good when that one comes back`() async throws {
        let queue = try open(folder)
        _ = try await queue.accept(call("old"))
        let left = try leftovers()
        await queue.close()
        let files = ["calls.sqlite", "calls.sqlite-wal", "calls.sqlite-shm"]
        for name in files { rename("\(left.path)/\(name)", "\(left.path)/kept-\(name)") }

        let other = try open(left)
        #expect(try await other.call("old") == nil)
        _ = try await other.accept(call("new"))
        await other.close()

        for name in files { rename("\(left.path)/kept-\(name)", "\(left.path)/\(name)") }
        let names = try FileManager.default.contentsOfDirectory(atPath: left.path)
        let aside = try #require(names.first { $0.hasPrefix("calls.journal-a.of-") })
        rename("\(left.path)/\(aside)", "\(left.path)/calls.journal-a")
        let again = try open(left)
        #expect(try await again.call("old")?.state == .waiting)
        await again.close()
    }

    @Test func `a journal that could not be read is still there for the next start`() async throws {
        let queue = try open(folder)
        _ = try await queue.accept(call("promised"))
        let left = try leftovers()
        await queue.close()
        for name in ["calls.sqlite-wal", "calls.sqlite-shm"] {
            rename("\(left.path)/\(name)", "\(left.path)/kept-\(name)")
        }
        rename("\(left.path)/calls.sqlite", "\(left.path)/kept-calls.sqlite")
        left.write("calls.sqlite", String(repeating: "this is no database ", count: 500))
        let helpless = try open(left)
        #expect(helpless.problem != nil)
        await helpless.close()
        for name in ["calls.sqlite", "calls.sqlite-wal", "calls.sqlite-shm"] {
            rename("\(left.path)/kept-\(name)", "\(left.path)/\(name)")
        }
        let again = try open(left)
        #expect(try await again.call("promised")?.state == .waiting)
        await again.close()
    }

    @Test func `what could not get into the tables is put back, and its ids are still known`() {
        func change(_ id: String) -> RowChange { .accepted(AcceptedCall(call(id), file: nil, id: id, number: 1)) }
        var backlog = Backlog()
        backlog.add([change("a"), change("b")], sequence: 1)
        #expect(backlog.holds("b") && !backlog.holds("c"))
        #expect(backlog.take().changes?.count == 2)
        backlog.add([change("c")], sequence: 2)
        #expect(backlog.holds("a") && backlog.holds("c"))
        backlog.putBack()
        #expect(backlog.holds("a") && backlog.holds("c") && !backlog.holds("d"))
        let (changes, last) = backlog.take()
        #expect(changes?.count == 3 && last == 2)
        backlog.caughtUp(to: last)
        #expect(!backlog.holds("a") && backlog.isEmpty && !backlog.isSynced && backlog.take().changes == nil)
    }

    @Test func `an entry that was changed anywhere is not taken for a whole one`() throws {
        var entry = JournalEntry()
        entry.begin()
        entry.add(
            .accepted(AcceptedCall(call("a", ByteBuffer(repeating: 9, count: 300)), file: nil, id: "a", number: 1))
        )
        entry.seal(sequence: 5, identity: 6)
        var whole = entry.bytes
        let read = try #require(JournalEntry.read(&whole))
        #expect(read.sequence == 5 && read.identity == 6 && whole.readableBytes == 0)
        #expect(JournalEntry.changes(in: read.payload)?.count == 1)
        for place in 0..<entry.bytes.readableBytes {
            var bytes = entry.bytes
            let byte: UInt8 = try #require(bytes.getInteger(at: place))
            bytes.setInteger(byte ^ 0x10, at: place)
            #expect(JournalEntry.read(&bytes) == nil, "changed at \(place)")
            var short = entry.bytes.getSlice(at: 0, length: place) ?? ByteBuffer()
            #expect(JournalEntry.read(&short) == nil, "ends at \(place)")
        }
    }

    // MARK: Files

    @Test func `what is written over is what was written, past the cache or through it`() throws {
        var file = JournalFile(path: "\(folder.path)/file")
        let pages = JournalPages()
        try file.open()
        func write(_ byte: UInt8, _ count: Int) throws {
            file.end = 0
            try file.append(ByteBuffer(repeating: byte, count: count), by: pages)
            let written = try Data(contentsOf: URL(fileURLWithPath: file.path)).prefix(count)
            #expect(written == Data(repeating: byte, count: count), "\(count) bytes")
        }
        try write(1, 3 * JournalPages.pageSize)
        #expect(file.way == .throughCache)
        try write(2, 4 * JournalPages.pageSize)
        // Where the file system has no other way, it is not asked again.
        let way = file.way
        #expect(way == .pastCache || way == .onlyThroughCache)
        try write(3, JournalPages.size + JournalPages.pageSize)
        #expect(file.way == (way == .pastCache ? .throughCache : way))
        try write(4, JournalPages.size)
        #expect(file.way == way)
        file.close()
        try file.open()
        // What is no whole page is refused, and written all the same.
        try write(5, 1000)
        #expect(file.way == .onlyThroughCache)
        try write(6, JournalPages.pageSize)
        #expect(file.way == .onlyThroughCache)
        file.close()
    }

    @Test func `an entry behind one that is not whole is never taken for a later one`() throws {
        /// Another life of the journal, which appends entries of one length.
        func live(appending numbers: ClosedRange<Int64>, behind applied: UInt64) throws {
            var journal = CallJournal(folder: folder.path)
            journal.begin(identity: 7, applied: applied)
            for number in numbers {
                var entry = journal.begunEntry()
                entry.add(.accepted(AcceptedCall(call("\(number)"), file: nil, id: "\(number)", number: number)))
                _ = try journal.append(&entry, applied: applied) { true }
            }
            journal.close()
        }
        try live(appending: 1...2, behind: 0)
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: "\(folder.path)/calls.journal-a"))
        try file.write(contentsOf: Data(repeating: 0, count: 512))
        try file.close()
        let left = try CallJournal(folder: folder.path).left(identity: 7, applied: 0)
        #expect(left.changes.isEmpty)
        try live(appending: 3...3, behind: left.lastGiven)
        let leftThen = try CallJournal(folder: folder.path).left(identity: 7, applied: left.lastGiven)
        #expect(leftThen.changes.count == 1 && leftThen.missing == 0)
    }

    @Test func `entries that go round and round are read as they were written`() throws {
        var journal = CallJournal(folder: folder.path)
        journal.begin(identity: 7, applied: 0)
        let body = ByteBuffer(repeating: 1, count: 50_000)
        for number in 1...1500 {
            var entry = journal.begunEntry()
            let accepted = AcceptedCall(call("\(number)", body), file: nil, id: "\(number)", number: Int64(number))
            entry.add(.accepted(accepted))
            // The tables are always a little behind.
            _ = try journal.append(&entry, applied: UInt64(max(0, number - 50))) { true }
        }
        journal.close()
        let left = try CallJournal(folder: folder.path).left(identity: 7, applied: 1450)
        #expect(left.last == 1500 && left.missing == 0 && left.strangers.isEmpty)
        let numbers = left.changes.map { change in
            if case .accepted(let call) = change { call.number } else { Int64(0) }
        }
        #expect(numbers == Array(1451...1500))
        #expect(try size("calls.journal-a") + size("calls.journal-b") < 17_000_000)
    }
}
