// SPDX-License-Identifier: Apache-2.0

import Foundation
import NIOCore
import ProcessControl

/// The changes that are on disk and not yet in the tables: two files beside `calls.sqlite`, each written from its beginning
/// to its end and then again.
///
/// An entry is written and synced as a whole, which is much less than a transaction writes. The tables get the changes
/// later, many at once. A file is written over when all that is in it is in the tables. After a crash the entries that the
/// tables do not have are read from it; where an entry is not whole, nothing behind it was ever promised.
///
/// For one thread at a time; all of it blocks.
struct CallJournal {
    enum Problem: Error {
        /// What is in the files has to get into the tables first.
        case full
        /// What the system says.
        case system(Int32)
    }

    private var files: [JournalFile]
    private var current = 0
    private var identity: UInt64 = 0
    /// Whether a write or a sync failed, so that nobody knows what is on the disk behind it.
    private var isDoubtful = false
    /// The newest entry, on disk or not.
    private(set) var sequence: UInt64 = 0
    /// More entries are never on their way to the disk at the same time.
    static let mostUnsynced: UInt64 = 16
    /// Memory for the next entry.
    private var spare = JournalEntry()
    private let pages = JournalPages()
    /// A file gets no longer than this, unless an entry is.
    private static let mostBytes = 8 * 1_048_576

    init(folder: String) {
        files = ["a", "b"].map { JournalFile(path: "\(folder)/calls.journal-\($0)") }
    }

    // MARK: Appending

    /// Begins anew for tables that have everything.
    mutating func begin(identity: UInt64, applied: UInt64) {
        self.identity = identity
        sequence = max(sequence, applied)
        startOver()
    }

    private mutating func startOver() {
        isDoubtful = false
        for index in files.indices { files[index].end = 0 }
    }

    /// Begins an entry.
    mutating func begunEntry() -> JournalEntry {
        var entry = JournalEntry()
        swap(&entry, &spare)
        entry.begin()
        return entry
    }

    /// An entry that was written.
    struct Written {
        let sequence: UInt64
        let descriptor: Int32

        /// Brings the entry to the disk; what the system says, 0 for success.
        func sync() -> Int32 { fdatasync(descriptor) == 0 ? 0 : errno }
    }

    /// Writes an entry behind the last one; `applied` is the newest one that the tables have.
    ///
    /// One behind another that is not synced yet may get to the disk without it: it counts only when both are there. Before
    /// one goes to the other file all have to be; `areAllOnDisk` waits for that, and says whether they are.
    mutating func append(
        _ entry: inout JournalEntry,
        applied: UInt64,
        areAllOnDisk: () -> Bool
    ) throws(Problem) -> Written {
        if applied >= sequence { startOver() }
        // What a failed write or sync has left is not built upon.
        guard !isDoubtful else { throw .full }
        if files[current].end > 0, files[current].end + entry.bytes.readableBytes > Self.mostBytes {
            guard areAllOnDisk() else { throw .full }
            try turn(applied: applied)
        }
        try open()
        sequence &+= 1
        files[current].last = sequence
        entry.seal(sequence: sequence, identity: identity)
        isDoubtful = true
        try files[current].append(entry.bytes, by: pages)
        isDoubtful = false
        swap(&entry, &spare)
        return Written(sequence: sequence, descriptor: files[current].syncDescriptors[Int(sequence % 2)])
    }

    /// A sync has failed: nothing is appended until the tables have everything.
    mutating func doubt() { isDoubtful = true }

    private mutating func turn(applied: UInt64) throws(Problem) {
        let other = 1 - current
        guard files[other].end == 0 || files[other].last <= applied else { throw .full }
        files[other].end = 0
        current = other
    }

    /// Opens the files, whose names have to be on disk before anything in them counts.
    private mutating func open() throws(Problem) {
        guard !files.allSatisfy(\.isOpen) else { return }
        for index in files.indices where !files[index].isOpen { try files[index].open() }
        let folder = (files[0].path as NSString).deletingLastPathComponent
        guard SystemFile.syncFolder(folder) else {
            close()
            throw .system(errno)
        }
    }

    // MARK: Reading

    /// What an earlier life has left.
    struct Left {
        /// The changes that the tables do not have, in their order.
        var changes: [RowChange] = []
        /// The newest entry, in the files or in the tables.
        var last: UInt64 = 0
        /// The number behind which new entries begin.
        ///
        /// Behind one that is not whole, others may stand that nobody can find: their numbers are not given again.
        var lastGiven: UInt64 { isThere ? last &+ CallJournal.mostUnsynced : last }
        /// Whether there are files.
        fileprivate var isThere = false
        /// Entries that should be there, and are not or cannot be parsed.
        var missing = 0
        /// Files with entries of another database.
        var strangers: [Stranger] = []
    }

    /// A file of another database.
    struct Stranger {
        let path: String
        let identity: UInt64
    }

    /// Reads the entries of a database that its tables do not have.
    func left(identity: UInt64, applied: UInt64) throws -> Left {
        var left = Left()
        var heads: [JournalEntry.Head] = []
        for file in files where FileManager.default.fileExists(atPath: file.path) {
            left.isThere = true
            let found = Self.entries(ByteBuffer(bytes: try Data(contentsOf: URL(fileURLWithPath: file.path))))
            if let other = found.first(where: { $0.identity != identity }) {
                left.strangers.append(Stranger(path: file.path, identity: other.identity))
            }
            heads += found.filter { $0.identity == identity && $0.sequence > applied }
        }
        left.last = applied
        for head in heads.sorted(by: { $0.sequence < $1.sequence }) {
            // Two files may have the same one, where somebody has copied them.
            guard head.sequence > left.last else { continue }
            left.missing += Int(clamping: min(head.sequence - left.last - 1, 1 << 53))
            left.last = head.sequence
            if let changes = JournalEntry.changes(in: head.payload) {
                left.changes += changes
            } else {
                left.missing += 1
            }
        }
        return left
    }

    /// The entries of a file: up to the first that is not whole, or that is older than the one before.
    private static func entries(_ bytes: ByteBuffer) -> [JournalEntry.Head] {
        var (bytes, entries) = (bytes, [JournalEntry.Head]())
        while let entry = JournalEntry.read(&bytes) {
            if let last = entries.last, entry.sequence != last.sequence &+ 1 || entry.identity != last.identity {
                break
            }
            entries.append(entry)
        }
        return entries
    }

    // MARK: Ending

    /// Removes the files, when the tables have everything.
    mutating func remove() {
        close()
        for file in files { unlink(file.path) }
    }

    mutating func close() {
        for index in files.indices { files[index].close() }
    }
}
