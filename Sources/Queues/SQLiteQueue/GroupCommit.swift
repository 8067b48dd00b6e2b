// SPDX-License-Identifier: Apache-2.0

import DequeModule
import Dispatch
import FaultModel
import Foundation
import FunctionModel
import GRDB
import QueueContract
import Synchronization

/// One transaction that is being made.
struct Batch {
    let database: Database
    /// What runs for every call.
    let statements: HotStatements
    /// Nanoseconds of the wall clock.
    let now: Int64
    var outcome = Outcome()

    mutating func count(_ function: FunctionID, _ change: (inout CallCounts) -> Void) {
        outcome.deltas.change(function, change)
    }

    /// Lets something happen in memory as soon as the transaction is on disk.
    mutating func then(_ change: @escaping (inout QueueMemory) -> Void) {
        outcome.effects.append(ClosureEffect(change: change))
    }
}

/// Changes that go to the journal together.
struct JournalGroup {
    /// Nanoseconds of the wall clock.
    let now: Int64
    var outcome = Outcome()
    private(set) var changes: [RowChange] = []
    private var ids = AcceptedIDs()
    /// Leases that are settled in it.
    var settled: Set<UInt64> = []
    /// The changes as the journal has them.
    var entry: JournalEntry
    private static let usualChanges = 64

    init(now: Int64, entry: JournalEntry) {
        self.now = now
        self.entry = entry
        changes.reserveCapacity(Self.usualChanges)
        outcome.effects.reserveCapacity(Self.usualChanges)
    }

    mutating func add(_ change: RowChange) {
        entry.add(change)
        changes.append(change)
    }

    /// Whether a call that is accepted in it has an id.
    mutating func holds(_ id: String) -> Bool { ids.holds(id, in: changes) }
}

/// What becomes true as soon as changes are on disk.
struct Outcome: @unchecked Sendable {  // handed from the writer's thread to the first that looks, who makes it
    /// Changes of the counters of functions.
    var deltas = CountDeltas()
    /// What changes in memory, in the order of the changes.
    var effects: [any Effect] = []
    /// Files that nothing refers to any more then.
    var unneededSpills: [String] = []
}

/// What a change changes in memory.
protocol Effect: AnyObject {
    func apply(to memory: inout QueueMemory)
}

private final class ClosureEffect: Effect {
    private let change: (inout QueueMemory) -> Void

    init(change: @escaping (inout QueueMemory) -> Void) { self.change = change }

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

/// Where a group of changes is kept.
protocol GroupStore: AnyObject, Sendable {
    /// Writes the changes that are noted in the group to the journal; nil where they have to be made in the tables instead.
    func write(_ note: (inout JournalGroup) -> Void) -> WrittenGroup?

    /// Brings a group to the disk, on another thread where others may follow it meanwhile.
    ///
    /// As soon as it is there, or cannot be, `kept` is called.
    func sync(_ written: WrittenGroup, whileOthersFollow: Bool, kept: @escaping @Sendable (Bool) -> Void)

    /// Returns when no more than so many groups are on their way to the disk.
    func awaitDisk(leaving count: Int)

    /// Makes one transaction of the changes, when no group is on its way; returns why it could not.
    func commit(_ changes: (inout Batch) throws -> Void) -> PlatformFault?
}

/// Group commit: gathers all changes that wait, so that they share the cost of one sync.
///
/// One thread writes. While the disk is busy, the next group gathers; where syncs last long, it also sets out before the
/// one in front of it is there.
final class GroupCommit: Sendable {
    private struct Waiting {
        var changes = Deque<any PendingChange>()
        /// Those of groups that could not be synced.
        var returned: [any PendingChange] = []
        /// From how many on the writer wants to be woken; nil while it does not wait.
        var wakesAt: Int?
        var isWriting = false
        var isClosed = false

        enum Arrival {
            case waits
            case wakesWriter
            case startsWriter
            case comesTooLate
        }

        mutating func add(_ change: any PendingChange) -> Arrival {
            guard !isClosed else { return .comesTooLate }
            changes.append(change)
            if let wanted = wakesAt, changes.count >= wanted {
                wakesAt = nil
                return .wakesWriter
            }
            return begins() ? .startsWriter : .waits
        }

        /// Whether the writer has to be started.
        mutating func begins() -> Bool {
            defer { isWriting = true }
            return !isWriting
        }

        mutating func takeReturned() -> [any PendingChange] {
            defer { returned = [] }
            return returned
        }

        mutating func take(atMost count: Int) -> [any PendingChange] {
            let taken = Array(changes.prefix(count))
            changes.removeFirst(taken.count)
            return taken
        }
    }

    /// What the writer's thread remembers of the last groups.
    private struct Pace {
        /// How many changes one gathers, when as many come as came lately.
        var expected = 1
        /// How many nanoseconds the last one took to get to the disk.
        var syncTime = 0
        /// When the last one set out.
        var begun = DispatchTime(uptimeNanoseconds: 0)
        /// How many changes are on their way.
        var inFlight = 0

        /// Whether a sync lasts so much longer than what callers need to come again that two should overlap.
        var isSlow: Bool { syncTime > 2_000_000 }

        /// How many changes one gathers: of two that overlap, each gets half of those who come.
        var wanted: Int { min(isSlow ? (expected + 1) / 2 : expected, GroupCommit.mostChanges) }

        /// When the next one may set out: two that overlap keep apart, else their callers would come at the same time.
        var earliest: DispatchTime { begun + .nanoseconds(isSlow ? min(syncTime * 2 / 5, 5_000_000) : 0) }
    }

    private let queue = DispatchQueue(label: "martlet.calls.writer")
    private let waiting = Mutex(Sendability(Waiting()))
    private let store = Store()
    private let pace = Mutex(Pace())
    private let arrivals = DispatchSemaphore(value: 0)
    /// Most changes of one group: what bounds the wait of the first behind the last.
    private static let mostChanges = 256
    /// So many are worth waking the writer for.
    private static let fewChanges = 32

    /// What the thread that holds the lock owns; closures are handed from the caller's thread to the writer's.
    private struct Sendability<Value>: @unchecked Sendable {  // only ever touched under the lock, or by the writer
        var value: Value
        init(_ value: Value) { self.value = value }
    }

    /// Where the groups go; it owns the group commit.
    private final class Store: @unchecked Sendable {  // set once, before there is anything to write
        weak var store: (any GroupStore)?
    }

    /// Says where groups go; before the first change.
    func open(to store: any GroupStore) { self.store.store = store }

    private static var stopping: PlatformFault {
        PlatformFault(.shuttingDown, "Martlet is stopping; calls are kept by the next one.")
    }

    // MARK: Coming in

    /// Lets a change into the next group; `done` is called on the writer's thread when it is on disk, or with why it is not.
    ///
    /// A change that throws a `PlatformFault` must not have changed anything: it alone is refused.
    func submit<Value>(
        _ change: @escaping @Sendable (inout Batch) throws -> Value,
        done: @escaping @Sendable (Result<Value, PlatformFault>) -> Void
    ) {
        submit(ClosureChange(make: change, done: done))
    }

    /// Lets a change into the next group.
    func submit(_ change: any PendingChange) {
        let change = Sendability(change)
        let arrival = waiting.withLock { waiting in
            let arrival = waiting.value.add(change.value)
            // Under the lock, so that whoever closes it comes behind it.
            if arrival == .startsWriter { queue.async { self.write() } }
            return arrival
        }
        // Behind the lock: the writer would run at once, and wait for it.
        if arrival == .wakesWriter { arrivals.signal() }
        if arrival == .comesTooLate { change.value.fail(Self.stopping) }
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
            queue.async { [self] in
                store.store?.awaitDisk(leaving: 0)
                // Behind what was returned on its way.
                queue.async { continuation.resume() }
            }
        }
    }

    /// Lets changes that could not be synced in again, in front of the others.
    private func putBack(_ changes: [any PendingChange]) {
        let changes = Sendability(changes)
        waiting.withLock { waiting in
            waiting.value.returned += changes.value
            if waiting.value.begins() { queue.async { self.write() } }
        }
    }

    // MARK: Writing

    private func write() {
        while let changes = takeOrEnd() {
            guard let store = store.store else {
                for change in changes { change.fail(Self.stopping) }
                continue
            }
            write(changes, to: store)
        }
    }

    /// Takes what waits; nil, and the writer's thread is done, when nothing does.
    private func takeOrEnd() -> [any PendingChange]? {
        waiting.withLock { waiting -> Sendability<[any PendingChange]?> in
            let taken = waiting.value.takeReturned() + waiting.value.take(atMost: Self.mostChanges)
            if taken.isEmpty { waiting.value.isWriting = false }
            return Sendability(taken.isEmpty ? nil : taken)
        }.value
    }

    /// Writes changes, and those that come meanwhile: to the journal as far as it can have them, the others to the tables.
    private func write(_ first: [any PendingChange], to store: any GroupStore) {
        let isSlow = keepPace(store)
        var group = Noting(changes: first)
        let written = store.write { entry in
            group.note(in: &entry)
            guard group.isWhole else { return }
            gather(after: first.count) { come in
                group.changes += come
                group.note(in: &entry)
            }
        }
        let count = written == nil ? 0 : group.noted
        if let written { sync(written, Array(group.changes[..<count]), to: store, whileOthersFollow: isSlow) }
        guard count < group.changes.count else { return }
        store.awaitDisk(leaving: 0)
        let returned = waiting.withLock { Sendability($0.value.takeReturned()) }.value
        commit(returned + group.changes[count...], to: store)
    }

    /// Waits until another group may set out; returns whether still another may follow it at once.
    private func keepPace(_ store: any GroupStore) -> Bool {
        let pace = pace.withLock { $0 }
        store.awaitDisk(leaving: pace.isSlow ? 1 : 0)
        let now = DispatchTime.now()
        if pace.inFlight > 0, now < pace.earliest {
            usleep(UInt32((pace.earliest.uptimeNanoseconds - now.uptimeNanoseconds) / 1000))
        }
        return pace.isSlow
    }

    /// Brings a group to the disk, and tells those whose changes are in it.
    private func sync(
        _ written: WrittenGroup,
        _ changes: [any PendingChange],
        to store: any GroupStore,
        whileOthersFollow: Bool
    ) {
        let begun = DispatchTime.now()
        pace.withLock { pace in
            pace.begun = begun
            pace.inFlight += changes.count
        }
        let changes = Sendability(changes)
        store.sync(written, whileOthersFollow: whileOthersFollow) { [self] isKept in
            notePace(since: begun, written: changes.value.count)
            guard isKept else { return putBack(changes.value) }
            for change in changes.value { change.tell() }
        }
    }

    /// A group that the journal has as far as the first change that depends on rows.
    private struct Noting {
        var changes: [any PendingChange]
        var noted = 0

        var isWhole: Bool { noted == changes.count }

        mutating func note(in group: inout JournalGroup) {
            while noted < changes.count, changes[noted].note(in: &group) { noted += 1 }
        }
    }

    /// Makes one transaction of changes, and of those that come while it is being made.
    private func commit(_ first: [any PendingChange], to store: any GroupStore, alone: Bool = false) {
        var changes = first
        var begun = DispatchTime.now()
        let fault = store.commit { batch in
            for change in first { try change.make(&batch) }
            if !alone {
                try gather(after: first.count) { come in
                    changes += come
                    for change in come { try change.make(&batch) }
                }
            }
            begun = .now()
        }
        pace.withLock { $0.inFlight += changes.count }
        notePace(since: begun, written: changes.count)
        guard let fault else {
            for change in changes { change.tell() }
            return
        }
        // One change that the database will not have must not take the others with it.
        if fault.code == .internalError, changes.count > 1 {
            for change in changes { commit([change], to: store, alone: true) }
        } else {
            for change in changes { change.fail(fault) }
        }
    }

    /// Notes how long the sync of a group lasted, and how many shared it.
    private func notePace(since begun: DispatchTime, written: Int) {
        guard written > 0 else { return }
        let ended = DispatchTime.now()
        let waiting = waiting.withLock { $0.value.changes.count }
        pace.withLock { pace in
            // Who waits already will be joined by those who are answered now; else two halves would take turns for ever.
            let count = pace.inFlight + waiting
            pace.inFlight -= written
            pace.syncTime = Int(ended.uptimeNanoseconds - begun.uptimeNanoseconds)
            // Forgotten soon when fewer come.
            pace.expected = max(count, pace.expected * 3 / 4)
        }
    }

    // MARK: Gathering

    /// Lets those in who come within a moment, until there are as many as came lately.
    ///
    /// Who was just answered comes again. A group that ended with the first of them would make all the others wait for its
    /// sync; on a slow disk every second one would carry next to nothing.
    private func gather(after first: Int, _ add: ([any PendingChange]) throws -> Void) rethrows {
        let pace = pace.withLock { $0 }
        let limit = DispatchTime.now() + .nanoseconds(min(pace.syncTime / 2, 5_000_000))
        let expected = pace.wanted
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
            let taken = waiting.value.take(atMost: Self.mostChanges)
            waiting.value.wakesAt = taken.isEmpty ? count : nil
            return Sendability(taken)
        }.value
    }

    /// Takes the few that came in vain for a wake-up.
    private func takeRest() -> [any PendingChange] {
        waiting.withLock { waiting in
            waiting.value.wakesAt = nil
            return Sendability(waiting.value.take(atMost: Self.mostChanges))
        }.value
    }
}

/// A change that waits to be written, and who hears of it.
protocol PendingChange: AnyObject {
    /// Notes the change for the journal; false, and nothing is noted, where it depends on rows that are there.
    func note(in group: inout JournalGroup) -> Bool

    /// Makes the change in the transaction.
    ///
    /// What concerns this change alone is not thrown but told later: the transaction goes on without it.
    func make(_ batch: inout Batch) throws

    /// It is on disk.
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

    func note(in group: inout JournalGroup) -> Bool { false }

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
