// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc
import Synchronization

/// What was in flight when this program died by a fault of its own, noted for its next start.
///
/// Such deaths are those by SIGILL, SIGTRAP, SIGSEGV, SIGBUS and SIGABRT. Whoever ends the process otherwise, the system
/// for want of memory or a power cut leaves no note.
public final class DeathMarker: Sendable {
    /// A death that was noted.
    public struct Death: Sendable, Equatable {
        /// The signal.
        public let signal: Int32
        /// How much was in flight.
        public let total: Int
        /// All of it, as far as there was room.
        public let entries: [Int64]

        /// Describes a death.
        public init(signal: Int32, total: Int, entries: [Int64]) {
            self.signal = signal
            self.total = total
            self.entries = entries
        }
    }

    /// How much can be in flight and be noted; more is left out, and counts as not alone.
    private static let places = Int(MARTLET_DEATH_ENTRIES)
    private let descriptor: Int32
    // Written under the lock, read by the handler at any moment.
    nonisolated(unsafe) private let table: UnsafeMutablePointer<Int64>
    private let isWatched = Mutex(false)
    private let changes = Mutex(())

    /// Opens the file of notes, making it where it is missing; nil where it cannot be used.
    public init?(path: String) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        table = .allocate(capacity: Self.places)
        table.initialize(repeating: 0, count: Self.places)
    }

    deinit {
        // The handler would go on to use them.
        guard !isWatched.withLock({ $0 }) else { return }
        table.deallocate()
        close(descriptor)
    }

    // MARK: The last life

    /// The death that the last life of the program has left; nil where it left none.
    public var lastDeath: Death? {
        var about = stat()
        guard fstat(descriptor, &about) == 0, (24...MemoryLayout<martlet_death_note>.size).contains(Int(about.st_size))
        else { return nil }
        var words = [Int64](repeating: 0, count: Int(about.st_size) / 8)
        let length = words.count * 8
        guard pread(descriptor, &words, length, 0) == length, words[0] == MARTLET_DEATH_MAGIC,
            let signal = Int32(exactly: words[1]), let total = Int(exactly: words[2]), total >= 0
        else { return nil }
        let entries = Array(words[3...])
        // Broken off while it was written, on a disk that is full: who was alone is not known.
        guard entries.count >= min(total, Self.places) else { return nil }
        return Death(signal: signal, total: total, entries: entries)
    }

    /// Forgets what the last life has left.
    public func clear() { ftruncate(descriptor, 0) }

    // MARK: This life

    /// From now on a death of this process is noted here, and nowhere else.
    public func watch() {
        isWatched.withLock { $0 = true }
        _ = martlet_watch_death(descriptor, table, Self.places)
    }

    /// Something begins that is not 0 and not in flight yet.
    public func began(_ entry: Int64) { replace(0, by: entry, near: entry) }

    /// It has ended.
    public func ended(_ entry: Int64) { replace(entry, by: 0, near: entry) }

    private func replace(_ old: Int64, by new: Int64, near entry: Int64) {
        changes.withLock { _ in
            guard let place = find(old, from: entry) else { return }
            martlet_place_set(table + place, new)
        }
    }

    /// Nothing is in flight.
    public func endAll() {
        for place in 0..<Self.places { martlet_place_set(table + place, 0) }
    }

    /// The first place with a value, looked for from where an entry should be.
    private func find(_ value: Int64, from entry: Int64) -> Int? {
        let start = Int(truncatingIfNeeded: UInt64(bitPattern: entry) % UInt64(Self.places))
        for step in 0..<Self.places {
            let place = (start + step) % Self.places
            if table[place] == value { return place }
        }
        return nil
    }
}
