// SPDX-License-Identifier: Apache-2.0

import DequeModule
import Dispatch
import FaultModel
import Foundation
import FunctionModel
import GRDB
import QueueContract
import Synchronization

/// One transaction that is being made: what its parts change in the database, and in memory once it is on disk.
struct Batch {
    let database: Database
    /// What runs for every call.
    let statements: HotStatements
    /// Nanoseconds of the wall clock.
    let now: Int64
    /// Changes of the counters of functions.
    var deltas: [FunctionID: CallCounts] = [:]
    /// What is true in memory as soon as the transaction is on disk.
    var effects: [(inout QueueMemory) -> Void] = []
    /// Files that nothing refers to any more then.
    var unneededSpills: [String] = []

    mutating func count(_ function: FunctionID, _ change: (inout CallCounts) -> Void) {
        change(&deltas[function, default: CallCounts()])
    }
}

/// Group commit: gathers all changes that wait into one transaction, so that they share the cost of the sync.
///
/// One thread writes. While it waits for the disk, the next group gathers.
final class CommitLine: Sendable {
    /// A change, and who hears of it.
    private struct Entry {
        /// Makes the change; gives back what to tell when it is on disk.
        let apply: (inout Batch) throws -> (() -> Void)
        let fail: (PlatformFault) -> Void
    }

    private struct Waiting {
        var entries = Deque<Entry>()
        var isWriting = false
        var isClosed = false
    }

    /// What the writer's thread remembers of the last transactions.
    private struct Pace {
        /// How many changes one gathers, when as many come as came lately.
        var expected = 1
        /// How long the last one took to get to the disk.
        var syncTime = Duration.zero
    }

    private let queue = DispatchQueue(label: "martlet.calls.writer")
    private let waiting = Mutex(Sendability(Waiting()))
    private let commit: @Sendable (_ changes: ((inout Batch) throws -> Void)) -> PlatformFault?
    private let pace = Mutex(Pace())
    /// Most changes of one transaction: what bounds the wait of the first behind the last.
    private static let mostEntries = 256

    /// What the thread that holds the lock owns; closures are handed from the caller's thread to the writer's.
    private struct Sendability<Value>: @unchecked Sendable {  // only ever touched under the lock, or by the writer
        var value: Value
        init(_ value: Value) { self.value = value }
    }

    /// `commit` makes one transaction of the changes it is given; it returns why it could not.
    init(commit: @escaping @Sendable ((inout Batch) throws -> Void) -> PlatformFault?) {
        self.commit = commit
    }

    /// Lets a change into the next transaction; `done` is called on the writer's thread when it is on disk, or with why it
    /// is not.
    ///
    /// A change that throws a `PlatformFault` must not have changed anything: it alone is refused.
    func submit<Value>(
        _ change: @escaping @Sendable (inout Batch) throws -> Value,
        done: @escaping @Sendable (Result<Value, PlatformFault>) -> Void
    ) {
        let entry = Entry(
            apply: { batch in
                do {
                    let value = try change(&batch)
                    return { done(.success(value)) }
                } catch let fault as PlatformFault {
                    return { done(.failure(fault)) }
                }
            },
            fail: { done(.failure($0)) }
        )
        let isClosed = waiting.withLock { waiting in
            guard !waiting.value.isClosed else { return true }
            waiting.value.entries.append(entry)
            guard !waiting.value.isWriting else { return false }
            waiting.value.isWriting = true
            queue.async { self.write() }
            return false
        }
        if isClosed { entry.fail(PlatformFault(.shuttingDown, "Martlet is stopping; calls are kept by the next one.")) }
    }

    /// The same, for tasks.
    func submit<Value: Sendable>(
        _ change: @escaping @Sendable (inout Batch) throws -> Value
    ) async throws(PlatformFault) -> Value {
        let outcome = await withCheckedContinuation { continuation in
            submit(change) { continuation.resume(returning: $0) }
        }
        return try outcome.get()
    }

    /// Takes no more changes; returns when all that wait are made.
    func close() async {
        waiting.withLock { $0.value.isClosed = true }
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume() }
        }
    }

    private func write() {
        while let entries = takeOrEnd() { write(entries) }
    }

    /// Takes what waits; nil, and the writer's thread is done, when nothing does.
    private func takeOrEnd() -> [Entry]? {
        waiting.withLock { waiting -> Sendability<[Entry]?> in
            let taken = Self.take(&waiting.value, atMost: Self.mostEntries)
            if taken.isEmpty { waiting.value.isWriting = false }
            return Sendability(taken.isEmpty ? nil : taken)
        }.value
    }

    private static func take(_ waiting: inout Waiting, atMost count: Int) -> [Entry] {
        var taken: [Entry] = []
        while taken.count < count, let entry = waiting.entries.popFirst() { taken.append(entry) }
        return taken
    }

    /// Makes one transaction of changes, and of those that come while it is being made.
    private func write(_ first: [Entry], alone: Bool = false) {
        var entries = first
        var tellings: [() -> Void] = []
        var syncBegun = ContinuousClock.now
        let fault = commit { batch in
            for entry in first { tellings.append(try entry.apply(&batch)) }
            if !alone {
                try gather(after: first.count) { entry in
                    entries.append(entry)
                    tellings.append(try entry.apply(&batch))
                }
            }
            syncBegun = .now
        }
        pace.withLock { pace in
            pace.syncTime = .now - syncBegun
            // Forgotten soon when fewer come.
            pace.expected = max(entries.count, pace.expected * 3 / 4)
        }
        guard let fault else {
            for tell in tellings { tell() }
            return
        }
        // One change that the database will not have must not take the others with it.
        if fault.code == .internalError, entries.count > 1 {
            for entry in entries { write([entry], alone: true) }
        } else {
            for entry in entries { entry.fail(fault) }
        }
    }

    /// Lets those in who come within a moment, until there are as many as came lately.
    ///
    /// Who was just answered comes again. A transaction that ended with the first of them would make all the others wait
    /// for its sync; on a slow disk every second one would carry next to nothing.
    private func gather(after first: Int, _ add: (Entry) throws -> Void) rethrows {
        let pace = pace.withLock { $0 }
        let limit = ContinuousClock.now + min(pace.syncTime / 2, .milliseconds(5))
        var count = first
        while count < min(pace.expected, Self.mostEntries), ContinuousClock.now < limit {
            let come = waiting.withLock { Sendability(Self.take(&$0.value, atMost: Self.mostEntries)) }.value
            for entry in come { try add(entry) }
            count += come.count
            if come.isEmpty { usleep(50) }
        }
    }
}
