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
    private(set) var deltas = CountDeltas()
    /// What is true in memory as soon as the transaction is on disk, in the order of the changes.
    var effects: [any Effect] = []
    /// Files that nothing refers to any more then.
    var unneededSpills: [String] = []

    mutating func count(_ function: FunctionID, _ change: (inout CallCounts) -> Void) {
        deltas.change(function, change)
    }

    /// Lets something happen in memory as soon as the transaction is on disk.
    mutating func then(_ change: @escaping (inout QueueMemory) -> Void) {
        effects.append(ClosureEffect(change: change))
    }
}

/// What a transaction changes in memory.
protocol Effect {
    func apply(to memory: inout QueueMemory)
}

private struct ClosureEffect: Effect {
    let change: (inout QueueMemory) -> Void

    func apply(to memory: inout QueueMemory) { change(&memory) }
}

/// Changes of counters by function: mostly many of one function, so the last one is not looked up again.
struct CountDeltas {
    private(set) var rows: [(function: FunctionID, counts: CallCounts)] = []
    private var places: [FunctionID: Int] = [:]
    private var last = 0

    mutating func change(_ function: FunctionID, _ change: (inout CallCounts) -> Void) {
        if rows.isEmpty || rows[last].function != function { last = place(of: function) }
        change(&rows[last].counts)
    }

    private mutating func place(of function: FunctionID) -> Int {
        if let place = places[function] { return place }
        places[function] = rows.count
        rows.append((function, CallCounts()))
        return rows.count - 1
    }
}

/// Group commit: gathers all changes that wait into one transaction, so that they share the cost of the sync.
///
/// One thread writes. While it waits for the disk, the next group gathers.
final class CommitLine: Sendable {
    private struct Waiting {
        var changes = Deque<any PendingChange>()
        /// From how many on the writer wants to be woken; nil while it does not wait.
        var wakesAt: Int?
        var isWriting = false
        var isClosed = false
    }

    /// What the writer's thread remembers of the last transactions.
    private struct Pace {
        /// How many changes one gathers, when as many come as came lately.
        var expected = 1
        /// How many nanoseconds the last one took to get to the disk.
        var syncTime = 0
    }

    private let queue = DispatchQueue(label: "martlet.calls.writer")
    private let waiting = Mutex(Sendability(Waiting()))
    private let commit: @Sendable (_ changes: ((inout Batch) throws -> Void)) -> PlatformFault?
    private let pace = Mutex(Pace())
    private let arrivals = DispatchSemaphore(value: 0)
    /// Most changes of one transaction: what bounds the wait of the first behind the last.
    private static let mostChanges = 256
    /// So many are worth waking the writer for.
    private static let fewChanges = 8

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
        submit(ClosureChange(make: change, done: done))
    }

    /// Lets a change into the next transaction.
    func submit(_ change: any PendingChange) {
        let change = Sendability(change)
        let isClosed = waiting.withLock { waiting in
            guard !waiting.value.isClosed else { return true }
            waiting.value.changes.append(change.value)
            if let wanted = waiting.value.wakesAt, waiting.value.changes.count >= wanted {
                waiting.value.wakesAt = nil
                arrivals.signal()
            }
            guard !waiting.value.isWriting else { return false }
            waiting.value.isWriting = true
            queue.async { self.write() }
            return false
        }
        if isClosed {
            change.value.fail(PlatformFault(.shuttingDown, "Martlet is stopping; calls are kept by the next one."))
        }
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
        while let changes = takeOrEnd() { write(changes) }
    }

    /// Takes what waits; nil, and the writer's thread is done, when nothing does.
    private func takeOrEnd() -> [any PendingChange]? {
        waiting.withLock { waiting -> Sendability<[any PendingChange]?> in
            let taken = Self.take(&waiting.value, atMost: Self.mostChanges)
            if taken.isEmpty { waiting.value.isWriting = false }
            return Sendability(taken.isEmpty ? nil : taken)
        }.value
    }

    private static func take(_ waiting: inout Waiting, atMost count: Int) -> [any PendingChange] {
        let taken = Array(waiting.changes.prefix(count))
        waiting.changes.removeFirst(taken.count)
        return taken
    }

    /// Makes one transaction of changes, and of those that come while it is being made.
    private func write(_ first: [any PendingChange], alone: Bool = false) {
        var changes = first
        var syncBegun = DispatchTime.now()
        let fault = commit { batch in
            for change in first { try change.make(&batch) }
            if !alone {
                try gather(after: first.count) { come in
                    changes += come
                    for change in come { try change.make(&batch) }
                }
            }
            syncBegun = .now()
        }
        pace.withLock { pace in
            pace.syncTime = Int(DispatchTime.now().uptimeNanoseconds - syncBegun.uptimeNanoseconds)
            // Forgotten soon when fewer come.
            pace.expected = max(changes.count, pace.expected * 3 / 4)
        }
        guard let fault else {
            for change in changes { change.tell() }
            return
        }
        // One change that the database will not have must not take the others with it.
        if fault.code == .internalError, changes.count > 1 {
            for change in changes { write([change], alone: true) }
        } else {
            for change in changes { change.fail(fault) }
        }
    }

    /// Lets those in who come within a moment, until there are as many as came lately.
    ///
    /// Who was just answered comes again. A transaction that ended with the first of them would make all the others wait
    /// for its sync; on a slow disk every second one would carry next to nothing.
    private func gather(after first: Int, _ add: ([any PendingChange]) throws -> Void) rethrows {
        let pace = pace.withLock { $0 }
        let limit = DispatchTime.now() + .nanoseconds(min(pace.syncTime / 2, 5_000_000))
        let expected = min(pace.expected, Self.mostChanges)
        var count = first
        while count < expected {
            let come = takeOrAwait(min(expected - count, Self.fewChanges))
            try add(come)
            count += come.count
            guard come.isEmpty, arrivals.wait(timeout: limit) == .timedOut else { continue }
            return try add(takeRest())
        }
    }

    /// Takes what waits; where there is nothing, the semaphore says when so many have come.
    private func takeOrAwait(_ count: Int) -> [any PendingChange] {
        waiting.withLock { waiting in
            let taken = Self.take(&waiting.value, atMost: Self.mostChanges)
            waiting.value.wakesAt = taken.isEmpty ? count : nil
            return Sendability(taken)
        }.value
    }

    /// Takes the few that came in vain for a wake-up.
    private func takeRest() -> [any PendingChange] {
        waiting.withLock { waiting in
            waiting.value.wakesAt = nil
            return Sendability(Self.take(&waiting.value, atMost: Self.mostChanges))
        }.value
    }
}

/// A change that waits for its transaction, and who hears of it.
protocol PendingChange: AnyObject {
    /// Makes the change in the transaction.
    ///
    /// What concerns this change alone is not thrown but told later: the transaction goes on without it.
    func make(_ batch: inout Batch) throws

    /// The transaction is on disk.
    func tell()

    /// It is not.
    func fail(_ fault: PlatformFault)
}

/// A change made of closures; those that are made for every call are classes of their own, which cost less.
private final class ClosureChange<Value>: PendingChange {
    private let change: (inout Batch) throws -> Value
    private let done: (Result<Value, PlatformFault>) -> Void
    private var outcome: Result<Value, PlatformFault>?

    init(make change: @escaping (inout Batch) throws -> Value, done: @escaping (Result<Value, PlatformFault>) -> Void) {
        self.change = change
        self.done = done
    }

    func make(_ batch: inout Batch) throws {
        do {
            outcome = .success(try change(&batch))
        } catch let fault as PlatformFault {
            outcome = .failure(fault)
        }
    }

    func tell() {
        if let outcome { done(outcome) }
    }

    func fail(_ fault: PlatformFault) { done(.failure(fault)) }
}
