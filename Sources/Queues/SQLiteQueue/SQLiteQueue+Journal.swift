// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FaultModel
import Foundation
import GRDB
import Logging
import Synchronization

/// Changes that the journal has and the tables have not.
struct Backlog: Sendable {
    private(set) var changes: [RowChange] = []
    /// What is just getting into the tables.
    private var taken: [RowChange] = []
    private var ids = AcceptedIDs()
    private var takenIDs = AcceptedIDs()
    /// The newest entry of the journal, kept or failed.
    private(set) var last: UInt64 = 0
    /// The newest that was kept.
    private var kept: UInt64 = 0
    /// The newest that whoever reads the tables sees.
    private(set) var visible: UInt64 = 0
    /// The newest that the tables have on disk, so that the journal need not have it any more.
    private(set) var applied: UInt64 = 0
    /// Whether a transaction failed: then nothing more is promised without the tables.
    ///
    /// What failed may be found in SQLite's log by the next start, and be in the way of what was promised behind it, until
    /// another transaction is there instead.
    var isStuck = false
    var isCatchUpPlanned = false

    /// So many changes get into the tables without a wait for more.
    static let many = 4096

    /// Whether the tables show all that was promised.
    var isEmpty: Bool { visible >= kept }

    /// Whether they have all of it on disk.
    var isSynced: Bool { applied >= kept }

    mutating func add(_ more: [RowChange], sequence: UInt64) {
        changes += more
        (kept, last) = (sequence, sequence)
    }

    /// An entry could not be written; it may be on the disk all the same, so the tables have to say that it is not to be
    /// read.
    mutating func skip(sequence: UInt64) { last = max(last, sequence) }

    /// Takes all changes, to make them in the tables.
    ///
    /// Nil where there is nothing to make or to note.
    mutating func take() -> (changes: [RowChange]?, last: UInt64) {
        (taken, takenIDs) = (changes, ids)
        (changes, ids) = ([], AcceptedIDs())
        return (last > visible || isStuck ? taken : nil, last)
    }

    /// Puts back what was taken and could not be made.
    mutating func putBack() {
        changes = taken + changes
        taken = []
        (ids, takenIDs) = (AcceptedIDs(), AcceptedIDs())
    }

    /// Whether a call that the tables may not have yet has an id.
    mutating func holds(_ id: String) -> Bool { ids.holds(id, in: changes) || takenIDs.holds(id, in: taken) }

    /// Calls by their numbers, as the tables will have them.
    func stored(_ numbers: Set<Int64>) -> [Int64: CallRows.Stored] {
        var stored: [Int64: CallRows.Stored] = [:]
        for change in taken + changes {
            switch change {
            case .accepted(let call) where numbers.contains(call.number):
                stored[call.number] = CallRows.Stored(id: call.id, call: call.call, spill: call.file, attempts: 0)
            case .ended(let attempt): stored[attempt.number]?.attempts += 1
            case .accepted: break
            }
        }
        return stored
    }

    /// The tables show everything up to an entry.
    mutating func caughtUp(to sequence: UInt64) {
        taken = []
        takenIDs = AcceptedIDs()
        visible = max(visible, sequence)
        isStuck = false
    }

    /// They have it on disk.
    mutating func synced(to sequence: UInt64) { applied = max(applied, sequence) }

    /// Begins anew for tables that have everything.
    mutating func begin(applied: UInt64) {
        self = Backlog()
        (last, kept, visible, self.applied) = (applied, applied, applied, applied)
    }
}

/// The ids of calls that were accepted, gathered when somebody asks: most ids were made here, and nobody has to.
struct AcceptedIDs: Sendable {
    private var ids: Set<String> = []
    private var seen = 0

    /// Whether an id is among those of changes, to which some may have been added since the last question.
    mutating func holds(_ id: String, in changes: [RowChange]) -> Bool {
        for change in changes[seen...] {
            if case .accepted(let call) = change { ids.insert(call.id) }
        }
        seen = changes.count
        return ids.contains(id)
    }
}

/// The journal in front of the tables.
extension SQLiteQueue: GroupStore {
    // MARK: Writing

    /// Writes a group of changes to the journal; nil where the tables have to have it instead.
    func write(_ note: (inout JournalGroup) -> Void) -> WrittenGroup? {
        journal.withLock { journal -> WrittenGroup? in
            guard opening.withLock({ $0.database }) != nil, !backlog.withLock({ $0.isStuck }) else { return nil }
            var group = JournalGroup(now: clock.wall(), entry: journal.begunEntry())
            note(&group)
            // Behind the notes, which take their time.
            if syncs.takeFailure() { journal.doubt() }
            guard !group.changes.isEmpty else { return WrittenGroup(group: group, entry: nil) }
            do throws(CallJournal.Problem) {
                let applied = backlog.withLock { $0.applied }
                let entry = try journal.append(&group.entry, applied: applied, areAllOnDisk: syncs.areAllKept)
                return WrittenGroup(group: group, entry: entry)
            } catch {
                backlog.withLock { $0.skip(sequence: journal.sequence) }
                if case .system(let code) = error { warn(ofJournal: code) }
                return nil
            }
        }
    }

    /// Brings a group to the disk and makes it true; on another thread where others may follow it meanwhile.
    func sync(_ written: WrittenGroup, whileOthersFollow: Bool, kept: @escaping @Sendable (Bool) -> Void) {
        let group = written.group
        syncs.sync(written, whileOthersFollow: whileOthersFollow) { [self] code in
            if code == 0 {
                if let entry = written.entry {
                    backlog.withLock { $0.add(group.changes, sequence: entry.sequence) }
                }
                memory.note(group.outcome)
            } else {
                if let entry = written.entry { backlog.withLock { $0.skip(sequence: entry.sequence) } }
                warn(ofJournal: code)
            }
        } ended: { [self] isKept in
            kept(isKept)
            guard isKept else { return }
            tellOfChanges(unneeded: group.outcome.unneededSpills)
            planCatchUp()
        }
    }

    /// Returns when no more than so many groups are on their way to the disk.
    func awaitDisk(leaving count: Int) { syncs.wait(leaving: count) }

    private func warn(ofJournal code: Int32) {
        logger.warning(
            "the journal of calls cannot be written; they go straight into their tables",
            metadata: ["why": "\(String(cString: strerror(code)))"]
        )
    }

    /// Whether a call has an id already: in the group, in the journal or in the tables.
    func hasCall(_ id: String, _ group: inout JournalGroup) throws -> Bool {
        if group.holds(id) || syncs.accepts(id) || backlog.withLock({ $0.holds(id) }) { return true }
        return try opened().hasCall(id)
    }

    // MARK: Catching up

    private func planCatchUp() {
        let delay = backlog.withLock { backlog -> DispatchTimeInterval? in
            let isFull = backlog.changes.count >= Backlog.many
            guard !backlog.isEmpty, !backlog.isCatchUpPlanned || isFull else { return nil }
            backlog.isCatchUpPlanned = true
            return isFull ? .nanoseconds(0) : catchUpDelay
        }
        guard let delay else { return }
        tableQueue.asyncAfter(deadline: .now() + delay) { _ = self.catchUp() }
    }

    /// Brings what the journal has into the tables; returns why it cannot be.
    ///
    /// On the tables' queue.
    func catchUp() -> PlatformFault? {
        let hasCaughtUp = backlog.withLock { backlog in
            backlog.isCatchUpPlanned = false
            return backlog.isEmpty && !backlog.isStuck
        }
        guard !hasCaughtUp else { return nil }
        switch transact(isSynced: false, { _ in }) {
        case .failure(let fault): return fault
        case .success(let committed):
            // Whoever waits to read need not wait for the disk: it has all of this in the journal.
            let (database, last) = (committed.database, committed.last)
            tableQueue.async { self.sync(database, upTo: last) }
            return nil
        }
    }

    private func sync(_ database: QueueDatabase, upTo last: UInt64) {
        do {
            // With the writer's connection in hand: what a failed sync leaves behind must not be another commit's.
            try database.pool.writeWithoutTransaction { _ in
                do {
                    // A sync that succeeds behind one that failed says nothing.
                    try database.trustLog()
                    try database.syncLog()
                } catch {
                    database.distrustLog()
                    throw error
                }
            }
            backlog.withLock { $0.synced(to: last) }
        } catch {
            if let error = error as? DatabaseError { note(error, of: database) }
        }
    }

    /// Returns when the tables show all that was promised until now.
    func caughtUp() async throws(PlatformFault) {
        guard !backlog.withLock({ $0.isEmpty }) else { return }
        let fault = await withCheckedContinuation { continuation in
            tableQueue.async { continuation.resume(returning: self.catchUp()) }
        }
        if let fault { throw fault }
    }

    /// Makes one transaction of what the journal has and of changes behind it, and syncs it; returns why it could not.
    ///
    /// Blocks.
    func commit(_ changes: (inout Batch) throws -> Void) -> PlatformFault? {
        switch transact(isSynced: true, changes) {
        case .failure(let fault): return fault
        case .success(let committed):
            tellOfChanges(unneeded: committed.unneeded)
            return nil
        }
    }

    /// A transaction that was made.
    private struct Committed {
        let database: QueueDatabase
        /// The newest entry of the journal that is in it, or before it.
        let last: UInt64
        /// Files that nothing refers to any more.
        let unneeded: [String]
    }

    private func transact(
        isSynced: Bool,
        _ changes: (inout Batch) throws -> Void
    ) -> Result<Committed, PlatformFault> {
        var used: QueueDatabase?
        do {
            let database = try database()
            used = database
            let committed = try database.pool.writeWithoutTransaction { connection in
                Unchecked(try commit(isSynced: isSynced, database, connection, changes))
            }
            return .success(committed.value)
        } catch {
            let isOfDisk = (error as? DatabaseError)?.isOfDisk == true
            backlog.withLock { $0.isStuck = $0.isStuck || isOfDisk || !$0.isEmpty }
            if let used, let error = error as? DatabaseError { note(error, of: used) }
            return .failure(Self.fault(error))
        }
    }

    /// With the writer's connection in hand.
    private func commit(
        isSynced: Bool,
        _ database: QueueDatabase,
        _ connection: Database,
        _ changes: (inout Batch) throws -> Void
    ) throws -> Committed {
        // Another one may have been opened meanwhile; what the journal has is in that one.
        guard try opened() === database else { throw DatabaseError(resultCode: .SQLITE_BUSY) }
        let behind = backlog.withLock { $0.take() }
        do {
            try database.trustLog()
            let written = database.commits
            let outcome = try transaction(database, connection, isSynced: isSynced) { batch in
                if let missing = behind.changes { try makeUp(missing, behind.last, batch) }
                try changes(&batch)
            }
            // One that wrote nothing has synced nothing either.
            let isOnDisk = isSynced && database.commits != written
            backlog.withLock { backlog in
                backlog.caughtUp(to: behind.last)
                if isOnDisk { backlog.synced(to: behind.last) }
            }
            memory.note(outcome)
            return Committed(database: database, last: behind.last, unneeded: outcome.unneededSpills)
        } catch {
            // At once: another thread may be about to build upon it.
            if (error as? DatabaseError)?.isOfDisk == true { database.distrustLog() }
            backlog.withLock { $0.putBack() }
            throw error
        }
    }

    func transaction(
        _ database: QueueDatabase,
        _ connection: Database,
        isSynced: Bool,
        _ changes: (inout Batch) throws -> Void
    ) throws -> Outcome {
        var batch = Batch(
            database: connection,
            statements: try database.statements(connection),
            now: clock.wall()
        )
        try database.choose(isSynced: isSynced, connection)
        try connection.beginTransaction(.immediate)
        do {
            try changes(&batch)
            try CallRows.add(batch.outcome.deltas, connection)
            try connection.commit()
            database.committed(connection)
        } catch {
            if connection.isInsideTransaction { try? connection.rollback() }
            throw error
        }
        return batch.outcome
    }

    /// Makes changes in the tables that are true in memory already; as the first of a transaction.
    private func makeUp(_ changes: [RowChange], _ last: UInt64, _ batch: Batch) throws {
        RowChange.join(changes)
        do { try make(changes, batch) } catch let error as DatabaseError where error.isOfChange {
            try batch.database.rollback()
            try batch.database.beginTransaction(.immediate)
            for change in changes { try makeAlone(change, batch) }
        }
        try CallRows.noteApplied(last, batch.database)
    }

    private func make(_ changes: [RowChange], _ batch: Batch) throws {
        var behind = Batch(database: batch.database, statements: batch.statements, now: batch.now)
        var giveWay = GiveWay()
        for change in changes {
            giveWay.next()
            try change.make(&behind)
        }
        try CallRows.add(behind.outcome.deltas, batch.database)
    }

    /// One that the tables will not have must not keep the others from them for ever.
    private func makeAlone(_ change: RowChange, _ batch: Batch) throws {
        do {
            try batch.database.inSavepoint {
                try make([change], batch)
                return .commit
            }
        } catch let error as DatabaseError where error.isOfChange {
            logger.error("a change of a call is lost", metadata: ["change": "\(change)", "why": "\(error)"])
        }
    }

    /// Handed from the connection's queue to the thread that waits for it.
    private struct Unchecked<Value>: @unchecked Sendable {  // the giver keeps nothing of it
        let value: Value
        init(_ value: Value) { self.value = value }
    }

    // MARK: Beginning and ending

    /// Brings what an earlier life has left in the journal into the tables.
    func takeOver(_ journal: inout CallJournal, _ database: QueueDatabase) throws {
        // What is still on its way is true when it gets there, and must not be read back as well.
        syncs.wait(leaving: 0)
        journal.close()
        let (identity, applied) = try database.pool.read { try CallRows.journal($0) }
        let left = try journal.left(identity: identity, applied: applied)
        for stranger in left.strangers { try setAside(stranger) }
        if left.missing > 0 {
            logger.error("the journal of calls is damaged", metadata: ["missing": "\(left.missing)"])
        }
        journal.begin(identity: identity, applied: left.lastGiven)
        let last = journal.sequence
        if last > applied {
            try database.pool.writeWithoutTransaction { connection in
                _ = try transaction(database, connection, isSynced: true) {
                    try makeUp(left.changes, last, $0)
                }
            }
        }
        backlog.withLock { $0.begin(applied: last) }
    }

    /// Keeps a file of another database for whoever puts that one back.
    private func setAside(_ stranger: CallJournal.Stranger) throws {
        let name = "\(stranger.path).of-\(String(stranger.identity, radix: 16))"
        let names = (0...).lazy.map { $0 == 0 ? name : "\(name)-\($0)" }
        guard let kept = names.first(where: { !FileManager.default.fileExists(atPath: $0) }) else { return }
        try FileManager.default.moveItem(atPath: stranger.path, toPath: kept)
        logger.warning("a journal of calls belongs to another database", metadata: ["kept as": "\(kept)"])
    }

    /// Ends the journal: what it has gets into the tables, so that they are whole without it.
    func closeJournal() async {
        try? await caughtUp()
        // Behind the sync that follows.
        await withCheckedContinuation { continuation in tableQueue.async { continuation.resume() } }
        journal.withLock { journal in
            // Without tables nobody has read what an earlier life has left in it.
            let isOver = (try? opened()) != nil && backlog.withLock { $0.isSynced }
            if isOver { journal.remove() } else { journal.close() }
        }
    }
}
