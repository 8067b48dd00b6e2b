// SPDX-License-Identifier: Apache-2.0

import Dispatch
public import FaultModel
import Foundation
import FunctionModel
import GRDB
public import Logging
import NIOCore
import ProcessControl
public import QueueContract
import SQLiteSchema
import Synchronization

/// The embedded queue: a file of SQLite's with a journal in front of it, a sync per group of changes.
///
/// The walk of a call: `accept` → `GroupCommit` → `CallJournal` → `JournalSyncs` → `CallSchedule` → `take` → `settle` →
/// `GroupCommit`, and from the journal into rows (`CallRows`), a moment later and many at once. The 202 of a call may be sent
/// when `accept` has said so: its entry, and a file that holds a large body, are synced then.
public final class SQLiteQueue: CallQueue {
    struct Listeners {
        var due: @Sendable (FunctionID) -> Void = { _ in }
        var cancel: @Sendable (CallLease) -> Void = { _ in }
        var callback: @Sendable () -> Void = {}
    }

    /// The database, or why there is none at the moment.
    struct Opening {
        var database: QueueDatabase?
        var fault: PlatformFault?
        var isClosed = false
    }

    let settings: QueueSettings
    let spill: SpillFolder
    let clock: QueueClock
    let memory = SharedMemory()
    let listeners = Mutex(Listeners())
    let groupCommit = GroupCommit()
    private let path: String
    /// Held while an entry is written.
    let journal: Mutex<CallJournal>
    let syncs = JournalSyncs()
    let backlog = Mutex(Backlog())
    /// How long changes wait for others that get into the tables with them, unless somebody wants to read them.
    let catchUpDelay: DispatchTimeInterval
    let tableQueue = DispatchQueue(label: "martlet.calls.tables")
    let opening = Mutex(Opening())
    /// When opening was last tried; held while it is.
    private let lastAttempt = Mutex<Int64>(.min / 2)
    /// Bodies that were there before anything could be accepted.
    private let leftovers: Mutex<Set<String>>
    private let lastNumber = Mutex<Int64>(0)
    /// What the wall clock was ahead of the other one.
    private let clockOffset: Mutex<Int64>
    let logger: Logger
    /// Notes what is in flight for the case that the process dies; nil where it has no file.
    let marker: DeathMarker?
    let inFlightNotes: InFlightNotes?
    private let spillQueue = DispatchQueue(label: "martlet.calls.spill", attributes: .concurrent)
    private let upkeepQueue = DispatchQueue(label: "martlet.calls.upkeep", qos: .utility)
    private let upkeep = Mutex<Task<Void, Never>?>(nil)
    private let upkeepRounds = Mutex(0)
    /// Where the last sweep ended, by number.
    let sweptUpTo = Mutex<Int64>(0)

    /// Opens the queue of a data directory, making its file where it is missing.
    ///
    /// A file that cannot be used does not keep the platform from starting: calls get `storageUnavailable`, and the file
    /// is tried again and again. `problem` says what is wrong.
    ///
    /// - Throws: `badSettings` for a file of a newer Martlet.
    public convenience init(
        folder: String,
        settings: QueueSettings = QueueSettings(),
        logger: Logger
    ) throws(PlatformFault) {
        try self.init(folder: folder, settings: settings, clock: .system, logger: logger)
    }

    init(
        folder: String,
        settings: QueueSettings,
        clock: QueueClock,
        catchUpDelay: DispatchTimeInterval = .milliseconds(50),
        logger: Logger
    ) throws(PlatformFault) {
        self.settings = settings
        self.catchUpDelay = catchUpDelay
        self.clock = clock
        self.logger = logger
        path = Self.path(in: folder)
        spill = SpillFolder(path: "\(folder)/spill")
        leftovers = Mutex(spill.names)
        clockOffset = Mutex(clock.wall() - clock.monotonic())
        journal = Mutex(CallJournal(folder: folder))
        marker = DeathMarker(path: "\(folder)/calls.crash")
        inFlightNotes = marker.map { InFlightNotes($0) }
        groupCommit.open(to: self)
        try? FileManager.default.createDirectory(atPath: spill.path, withIntermediateDirectories: true)
        do throws(PlatformFault) { _ = try database() } catch {
            if error.code == .badSettings { throw error }
            logger.error("calls cannot be kept", metadata: ["why": "\(error)"])
        }
        let queue = upkeepQueue
        // Unowned: the end of the queue cancels it.
        let task = Task { [weak self] in
            while (try? await Task.sleep(for: .seconds(1))) != nil, self != nil {
                queue.async { self?.keepUp() }
            }
        }
        upkeep.withLock { $0 = task }
    }

    /// Finds out whether the queue of a folder is one that this program knows, beside whoever uses it.
    ///
    /// Blocks. - Throws: as `init`.
    public static func check(folder: String) throws(PlatformFault) {
        try QueueSchema.calls.check(at: path(in: folder))
    }

    private static func path(in folder: String) -> String { "\(folder)/calls.sqlite" }

    deinit {
        upkeep.withLock { $0?.cancel() }
        journal.withLock { $0.close() }
    }

    /// Why calls cannot be kept at the moment; nil when they can.
    public var problem: PlatformFault? { opening.withLock { $0.fault } }

    // MARK: The database

    /// The open database, or why there is none at the moment.
    func opened() throws(PlatformFault) -> QueueDatabase {
        let opening = opening.withLock { $0 }
        if let database = opening.database { return database }
        throw opening.fault ?? PlatformFault(.storageUnavailable, "Calls cannot be kept at the moment.")
    }

    /// The open database; opens it where it is not, but not more often than five times a second.
    ///
    /// Blocks, so it is for the threads of the queue alone.
    func database() throws(PlatformFault) -> QueueDatabase {
        if let database = opening.withLock({ $0.database }) { return database }
        let outcome = lastAttempt.withLock { lastAttempt -> Result<QueueDatabase, PlatformFault> in
            let opening = opening.withLock { $0 }
            if let database = opening.database { return .success(database) }
            if let fault = opening.fault, opening.isClosed || clock.monotonic() < lastAttempt + 200_000_000 {
                return .failure(fault)
            }
            defer { lastAttempt = clock.monotonic() }
            return open()
        }
        let database = try outcome.get()
        tellOfEverything()
        return database
    }

    private func open() -> Result<QueueDatabase, PlatformFault> {
        do {
            let database = try QueueDatabase(path: path)
            // What is being written to the journal is either read back from it or comes behind it.
            try journal.withLock { journal in
                try takeOver(&journal, database)
                try load(database, trying: takeOverDeath(database))
                opening.withLock { opening in
                    opening.database = database
                    opening.fault = nil
                }
            }
            return .success(database)
        } catch {
            let fault = Self.fault(error)
            opening.withLock { $0.fault = fault }
            return .failure(fault)
        }
    }

    /// Whoever was told nothing while there was no database looks again.
    private func tellOfEverything() {
        let functions = memory.withLock { $0.schedule.waitingFunctions }
        let listeners = listeners.withLock { $0 }
        for function in functions { listeners.due(function) }
        listeners.callback()
    }

    static func fault(_ error: any Error) -> PlatformFault {
        switch error {
        case let fault as PlatformFault: fault
        case let error as DatabaseError where error.isOfStorage: error.fault
        case let error as CancellationError: .givenUp(error)
        default: .unexpected(error, doing: "keeping a call")
        }
    }

    /// What has to be told when changes have become true.
    private struct Notice {
        let due: Set<FunctionID>
        let cancelled: [CallLease]
        let areCallbacksDue: Bool
    }

    /// Tells the listeners of what has become true in memory, and removes what nothing refers to any more.
    func tellOfChanges(unneeded spills: [String]) {
        for name in spills { spill.remove(name) }
        let notice = memory.withLock { memory in
            defer {
                memory.cancelled.removeAll()
                memory.areCallbacksDue = false
            }
            return Notice(
                due: memory.takeDue(),
                cancelled: memory.cancelled,
                areCallbacksDue: memory.areCallbacksDue
            )
        }
        let listeners = listeners.withLock { $0 }
        for function in notice.due { listeners.due(function) }
        for lease in notice.cancelled { listeners.cancel(lease) }
        if notice.areCallbacksDue { listeners.callback() }
    }

    func note(_ error: DatabaseError, of database: QueueDatabase) {
        logger.error("calls cannot be kept", metadata: ["why": "\(error)"])
        guard error.needsReopening else { return }
        let isOpen = opening.withLock { opening in
            guard opening.database === database else { return false }
            opening = Opening(fault: error.fault)
            return true
        }
        if isOpen { database.close() }
    }

    /// Reads what waits and what was counted.
    ///
    /// Calls in flight are given to a worker again: nobody knows what became of them.
    private func load(_ database: QueueDatabase, trying trial: CrashTrial) throws {
        let (now, wall) = (clock.monotonic(), clock.wall())
        let (rows, counters, last, spills) = try database.pool.read { connection in
            (
                try CallRows.waiting(connection), try CallRows.counters(connection),
                try CallRows.lastNumber(connection), try CallRows.spills(connection)
            )
        }
        lastNumber.withLock { $0 = max($0, last) }
        memory.withLock { memory in
            memory = QueueMemory(after: memory.schedule)
            memory.counters = counters
            memory.trial = trial
            memory.schedule.observer = inFlightNotes
            marker?.endAll()
            for row in rows {
                let (delay, followsWallClock) = row.delay(at: wall)
                memory.wait(row.number, row.function, due: now + delay, now: now, followsWallClock: followsWallClock)
            }
            _ = memory.takeDue()
        }
        // Only what was there at the start: other bodies may have rows that are just being written. Of a new file nobody
        // knows whether the old one was only moved away to be mended.
        let orphans = leftovers.withLock { leftovers in
            defer { leftovers = [] }
            return database.isNew ? [] : leftovers.subtracting(spills)
        }
        for name in orphans { spill.remove(name) }
    }

    /// The newest call's number.
    var newestNumber: Int64 { lastNumber.withLock { $0 } }

    func nextNumber() -> Int64 {
        lastNumber.withLock { number in
            number &+= 1
            return number
        }
    }

    /// Reads on a connection of its own, beside the writer, when the tables have all that was promised until now.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(PlatformFault) -> Value {
        try await caughtUp()
        return try await readTables(body)
    }

    /// The same at once: what was promised a moment ago may be missing.
    func readTables<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(PlatformFault) -> Value {
        let database = try opened()
        do { return try await database.pool.read(body) } catch { throw Self.fault(error) }
    }

    // MARK: Bodies

    /// Puts a body into a file, on a thread that may wait for the disk.
    func spill(
        _ body: ByteBuffer,
        then: @escaping @Sendable (Result<String, PlatformFault>) -> Void
    ) {
        spillQueue.async { [spill] in
            then(Result { () throws(PlatformFault) in try spill.write(body) })
        }
    }

    // MARK: Upkeep

    /// Once a second: what nobody else would notice.
    private func keepUp() {
        followWallClock()
        let now = clock.monotonic()
        let freed = memory.withLock { memory in
            memory.schedule.dropEmptyLanes()
            return memory.schedule.releaseExpired(now: now)
        }
        let listeners = listeners.withLock { $0 }
        for function in freed { listeners.due(function) }
        let round = upkeepRounds.withLock { round in
            round += 1
            return round
        }
        // A database that could not be used is opened as soon as it can be, whether or not calls come.
        _ = try? database()
        if backlog.withLock({ $0.isStuck }) { tableQueue.async { _ = self.catchUp() } }
        if round.isMultiple(of: 10) { checkConservation() }
        // Unowned: begun on a queue of Dispatch; a database that is closed ends it.
        if round.isMultiple(of: 30) { Task { await sweepOnce() } }
    }

    /// Calls for a moment of the wall clock follow it when it is set.
    private func followWallClock() {
        let offset = clock.wall() - clock.monotonic()
        let shift = clockOffset.withLock { old in
            let shift = offset - old
            guard abs(shift) > 500_000_000 else { return Int64(0) }
            old = offset
            return shift
        }
        guard shift != 0 else { return }
        let functions = memory.withLock { memory in
            memory.schedule.wallClockMoved(by: shift)
            return memory.schedule.waitingFunctions
        }
        let listeners = listeners.withLock { $0 }
        for function in functions { listeners.due(function) }
        listeners.callback()
    }

    /// Every call that was accepted is somewhere.
    private func checkConservation() {
        let lost = memory.withLock { $0.counts.filter { $0.value.drift != 0 } }
        for (function, counts) in lost {
            logger.error(
                "the queue has lost count of calls",
                metadata: ["function": "\(function)", "drift": "\(counts.drift)", "counts": "\(counts)"]
            )
        }
    }

    /// Ends the work of the queue; what was accepted stays.
    public func close() async {
        upkeep.withLock { $0?.cancel() }
        await groupCommit.close()
        await closeJournal()
        let database = opening.withLock { opening in
            defer { opening = Opening(fault: PlatformFault(.shuttingDown, "Martlet is stopping."), isClosed: true) }
            return opening.database
        }
        database?.close()
    }
}
