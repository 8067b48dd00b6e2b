// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FaultModel
import Foundation
import GRDB
import GRDBSQLite
import ProcessControl
import SQLiteSchema
import Synchronization

/// The file `calls.sqlite`: a commit is on disk when it returns, unless the journal has what is in it; opened again after
/// an error of the disk.
///
/// Two threads write, one after the other on one connection: the group commit's, and the one that brings in what the journal has.
final class QueueDatabase: Sendable {
    let pool: DatabasePool
    /// Whether there was no file before.
    let isNew: Bool
    /// A connection of its own, so that moving pages from the log into the file does not hold commits up.
    private let checkpointer: DatabaseQueue
    /// A connection of the writer's own to look something up, since a transaction may last.
    private let lookups: DatabaseQueue
    private let path: String
    private let hot = Mutex(Hot())
    private struct WriteBack {
        enum Step {
            case idle
            case running
            /// What is left is the writer's.
            case nearlyDone
        }

        var step = Step.idle
    }

    private let writeBack = Mutex(WriteBack())
    private let logPages = Atomic<Int>(0)
    private let writtenCommits = Atomic<Int>(0)
    private let isLogDoubtful = Atomic<Bool>(false)
    private let queue = DispatchQueue(label: "martlet.calls.write-back", qos: .utility)
    /// From this length of the log on it is written back: 16 MiB.
    private static let pagesToWriteBack = 2048
    /// What the writer finishes at most.
    private static let pagesToFinish = 256
    private static let mostRounds = 16

    /// Opens the database, making it where it is missing.
    init(path: String) throws {
        self.path = path
        isNew = !FileManager.default.fileExists(atPath: path)
        pool = try QueueSchema.calls.open(path) { try Self.connections(to: path) }
        var plain = Configuration()
        plain.busyMode = .timeout(10)
        checkpointer = try DatabaseQueue(path: path, configuration: plain)
        lookups = try DatabaseQueue(path: path, configuration: plain)
        pool.writeWithoutTransaction { followLog($0) }
        let folder = (path as NSString).deletingLastPathComponent
        if isNew, !SystemFile.syncFolder(folder) {
            throw DatabaseError(resultCode: .SQLITE_IOERR, message: "the data directory cannot be synced")
        }
    }

    private static func connections(to path: String) throws -> DatabasePool {
        // Whoever wrote the log may have met with a failed sync.
        try QueueLog.writeAgain(of: path)
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        configuration.maximumReaderCount = 4
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA page_size = 8192")
            try database.execute(sql: "PRAGMA wal_autocheckpoint = 0")
            try database.execute(sql: "PRAGMA cache_size = -16384")
        }
        let pool = try DatabasePool(path: path, configuration: configuration)
        try pool.syncEveryCommit()
        try pool.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
        }
        return pool
    }

    /// What the writer has prepared.
    private struct Hot: @unchecked Sendable {  // made, used and let go by the writer's thread alone
        var statements: HotStatements?
    }

    /// The statements that run for every call, on the writer's connection.
    func statements(_ database: Database) throws -> HotStatements {
        if let statements = hot.withLock({ $0 }).statements { return statements }
        let made = try HotStatements(database)
        let kept = Hot(statements: made)
        hot.withLock { $0 = kept }
        return made
    }

    /// Whether the tables have a call with an id.
    func hasCall(_ id: String) throws -> Bool {
        try lookups.inDatabase { database in
            let statement = try database.cachedStatement(sql: "SELECT 1 FROM calls WHERE id = ?")
            return try Row.fetchOne(statement, arguments: [id]) != nil
        }
    }

    // MARK: Errors of the disk

    /// Notes that a commit failed at the disk: before the next one the log is written again.
    func distrustLog() { isLogDoubtful.store(true, ordering: .relaxed) }

    /// Makes sure that the next commit builds on what is on the disk; on the writer's connection.
    func trustLog() throws {
        // First: what fails meanwhile makes it doubtful again.
        guard isLogDoubtful.exchange(false, ordering: .relaxed) else { return }
        do { try QueueLog.writeAgain(of: path) } catch {
            distrustLog()
            throw error
        }
    }

    // MARK: Syncs

    /// Chooses whether the next commit is on disk when it returns.
    ///
    /// What the journal has need not be: it only has to be whole, which it is without a sync (`synchronous=NORMAL`).
    func choose(isSynced: Bool, _ connection: Database) throws {
        try connection.execute(sql: isSynced ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL")
    }

    /// Waits until all commits are on disk.
    func syncLog() throws(DatabaseError) { try QueueLog.sync(of: path) }

    // MARK: Writing the log back

    /// Keeps the log short; called by the writer behind each commit.
    ///
    /// Most of the log is written back by a thread of its own, beside the commits. Only what came meanwhile is written
    /// back here, so that the log can begin anew: a few hundred pages, instead of a wait for all.
    func committed(_ database: Database) {
        let step = writeBack.withLock { writeBack -> WriteBack.Step in
            guard logPages.load(ordering: .relaxed) > Self.pagesToWriteBack, writeBack.step != .running else {
                return .running
            }
            defer { writeBack.step = writeBack.step == .idle ? .running : .idle }
            return writeBack.step
        }
        switch step {
        case .running: break
        case .idle: queue.async { self.writeMostBack() }
        case .nearlyDone: _ = checkpoint(database)
        }
    }

    private func writeMostBack() {
        // Each round is as long as what came during the one before, so they soon get short.
        for _ in 0..<Self.mostRounds {
            guard let state = checkpointer.writeWithoutTransaction({ checkpoint($0) }),
                state.walFrameCount - state.checkpointedFrameCount > Self.pagesToFinish
            else { break }
        }
        writeBack.withLock { $0.step = .nearlyDone }
    }

    private func checkpoint(_ database: Database) -> (walFrameCount: Int, checkpointedFrameCount: Int)? {
        do { return try database.checkpoint(.passive) } catch {
            // It syncs the log, and may have been the only one to hear that this failed.
            if (error as? DatabaseError)?.isOfDisk == true { distrustLog() }
            return nil
        }
    }

    /// How many transactions have written anything.
    var commits: Int { writtenCommits.load(ordering: .relaxed) }

    /// SQLite tells of the length of the log behind each commit.
    private func followLog(_ database: Database) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_wal_hook(
            database.sqliteConnection,
            { context, _, _, pages in
                guard let context else { return SQLITE_OK }
                let database = Unmanaged<QueueDatabase>.fromOpaque(context).takeUnretainedValue()
                database.logPages.store(Int(pages), ordering: .relaxed)
                database.writtenCommits.add(1, ordering: .relaxed)
                return SQLITE_OK
            },
            context
        )
    }

    /// Closes the file, the log written back.
    func close() {
        pool.writeWithoutTransaction { database in
            hot.withLock { $0.statements = nil }
            sqlite3_wal_hook(database.sqliteConnection, nil, nil)
        }
        // Fails where nothing can be synced; the next start does it, then.
        if (try? trustLog()) != nil {
            _ = try? checkpointer.writeWithoutTransaction { try $0.checkpoint(.truncate) }
        }
        try? checkpointer.close()
        try? lookups.close()
        try? pool.close()
    }
}

/// The file of SQLite's log.
enum QueueLog {
    /// Writes the log once more, as it is, and syncs it.
    ///
    /// When a sync has failed the system takes the pages for clean although they never reached the disk, and the next
    /// sync succeeds without writing them. SQLite would believe it, build on them, and lose all that follows in a power
    /// cut.
    static func writeAgain(of database: String) throws {
        guard let descriptor = try opened(of: database) else { return }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1_048_576)
        var place: off_t = 0
        while true {
            let count = pread(descriptor, &bytes, bytes.count, place)
            guard count >= 0 else { throw failure }
            guard count > 0 else { break }
            guard pwrite(descriptor, bytes, count, place) == count else { throw failure }
            place += off_t(count)
        }
        guard fdatasync(descriptor) == 0 else { throw failure }
    }

    /// Syncs the log as it is.
    static func sync(of database: String) throws(DatabaseError) {
        guard let descriptor = try opened(of: database) else { return }
        defer { close(descriptor) }
        guard fdatasync(descriptor) == 0 else { throw failure }
    }

    /// Nil where there is no log, so that nothing can be missing from it.
    private static func opened(of database: String) throws(DatabaseError) -> Int32? {
        let descriptor = open(database + "-wal", O_RDWR | O_CLOEXEC)
        guard descriptor < 0 else { return descriptor }
        guard errno == ENOENT else { throw failure }
        return nil
    }

    private static var failure: DatabaseError {
        DatabaseError(
            resultCode: errno == ENOSPC ? .SQLITE_FULL : .SQLITE_IOERR,
            message: String(cString: strerror(errno))
        )
    }
}

/// The tables, and how they came to be.
enum QueueSchema {
    static let calls = DatabaseSchema(of: "calls", steps: steps)

    /// What changes is kept apart from what was sent and answered, so that a change of state writes few pages.
    static let steps = [
        """
        CREATE TABLE calls (
            seq INTEGER PRIMARY KEY, id TEXT NOT NULL, call_id TEXT NOT NULL, function TEXT NOT NULL,
            state INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, query TEXT,
            created_at INTEGER NOT NULL, not_before INTEGER NOT NULL, delayed_by INTEGER NOT NULL,
            finished_at INTEGER, attempts TEXT NOT NULL DEFAULT '', dead_reason TEXT,
            callback_url TEXT, callback_state INTEGER NOT NULL DEFAULT 0, callback_due INTEGER NOT NULL DEFAULT 0,
            callback_attempts INTEGER NOT NULL DEFAULT 0, callback_status INTEGER
        ) STRICT;
        CREATE UNIQUE INDEX calls_by_id ON calls (id);
        CREATE INDEX calls_by_state ON calls (state, function, seq);
        CREATE INDEX callbacks ON calls (callback_due) WHERE callback_state = 1;
        CREATE TABLE requests (
            seq INTEGER PRIMARY KEY, client TEXT NOT NULL, fields BLOB NOT NULL, body BLOB, spill TEXT
        ) STRICT;
        CREATE TABLE results (
            seq INTEGER PRIMARY KEY, status INTEGER NOT NULL, fields BLOB NOT NULL, body BLOB, spill TEXT,
            size INTEGER NOT NULL, is_truncated INTEGER NOT NULL, expires_at INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE idempotency (
            function TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, call_id TEXT NOT NULL,
            expires_at INTEGER NOT NULL, PRIMARY KEY (function, key)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
        CREATE TABLE counters (
            function TEXT PRIMARY KEY, accepted INTEGER NOT NULL, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL,
            dead INTEGER NOT NULL, cancelled INTEGER NOT NULL, expired INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        """,
        // What of the journal is in the tables, and which journal is theirs.
        """
        CREATE TABLE journal (
            identity INTEGER NOT NULL, applied INTEGER NOT NULL, commits INTEGER NOT NULL
        ) STRICT;
        INSERT INTO journal VALUES (random(), 0, 0);
        """,
        // What was in flight when the platform died by a fault of its own, and at how many such deaths alone.
        """
        CREATE TABLE suspects (
            seq INTEGER NOT NULL, is_callback INTEGER NOT NULL, deaths INTEGER NOT NULL, is_tried INTEGER NOT NULL,
            PRIMARY KEY (seq, is_callback)
        ) STRICT, WITHOUT ROWID;
        """,
    ]
}

extension PlatformFault {
    /// Whether what failed may turn out to be on the disk all the same.
    var leavesDoubt: Bool { (cause as? DatabaseError)?.isOfDisk ?? false }
}

extension DatabaseError {
    /// What people can do something about, in words.
    var words: String {
        switch resultCode {
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: "the file calls.sqlite is damaged"
        case .SQLITE_FULL: "the disk is full"
        case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM: "the data directory cannot be written"
        case .SQLITE_IOERR: "the disk reports an error"
        default: message ?? "\(resultCode)"
        }
    }

    /// Whether it says that nothing can be stored at the moment, not that something was wrong with the statement.
    var isOfStorage: Bool {
        needsReopening || isOfDisk || resultCode == .SQLITE_FULL || resultCode == .SQLITE_BUSY
    }

    /// Whether the tables will never have a change, however often it is tried.
    var isOfChange: Bool {
        [.SQLITE_CONSTRAINT, .SQLITE_MISMATCH, .SQLITE_TOOBIG].contains(resultCode)
    }

    /// Whether the disk failed, so that nobody knows what is on it.
    var isOfDisk: Bool { resultCode == .SQLITE_IOERR }

    /// Whether the file has to be opened again, as somebody may mend it or put another in its place.
    var needsReopening: Bool {
        switch resultCode {
        case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_CANTOPEN, .SQLITE_READONLY: true
        default: false
        }
    }

    var fault: PlatformFault {
        let isDamaged = resultCode == .SQLITE_CORRUPT || resultCode == .SQLITE_NOTADB
        return PlatformFault(
            .storageUnavailable,
            "Calls cannot be kept at the moment: \(words).",
            hint: isDamaged
                ? "See what is wrong: martlet doctor" : "Calls are taken again as soon as that is over.",
            retryAfterSeconds: 5,
            cause: self
        )
    }
}
