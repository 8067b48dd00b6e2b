// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport

/// What a program did to a folder, as `PowerLossRecorder` wrote it down.
struct DiskLog {
    struct Record {
        let kind: Character
        let handle: UInt64
        let offset: UInt64
        let bytes: [UInt8]

        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    let records: [Record]

    init(path: String) throws {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        var records: [Record] = []
        var place = 0
        while place + 21 <= bytes.count {
            let length = Int(Self.number(bytes, place + 17, 4))
            guard place + 21 + length <= bytes.count else { break }
            records.append(
                Record(
                    kind: Character(UnicodeScalar(bytes[place])),
                    handle: Self.number(bytes, place + 1, 8),
                    offset: Self.number(bytes, place + 9, 8),
                    bytes: Array(bytes[place + 21..<place + 21 + length])
                )
            )
            place += 21 + length
        }
        self.records = records
    }

    private static func number(_ bytes: [UInt8], _ start: Int, _ count: Int) -> UInt64 {
        bytes[start..<start + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Whether a sync of a file began before another one of the same had ended.
    var hasOverlappingSyncs: Bool {
        var names: [UInt64: String] = [:]
        var inFlight: [String: Int] = [:]
        return records.contains { record in
            if record.kind == "O" { names[record.handle] = record.text }
            guard let name = names[record.handle] else { return false }
            if record.kind == "B" { inFlight[name, default: 0] += 1 }
            if record.kind == "E" || record.kind == "F" { inFlight[name, default: 0] -= 1 }
            return inFlight[name, default: 0] > 1
        }
    }

    /// Appends a record of the test's own; others write to the same file, so it is one write.
    static func append(_ kind: Character, _ text: String, to path: String) {
        var record = [kind.asciiValue ?? 0] + [UInt8](repeating: 0, count: 16)
        let length = UInt32(text.utf8.count)
        record += (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * UInt32($0))) } + Array(text.utf8)
        let descriptor = open(path, O_WRONLY | O_APPEND)
        _ = write(descriptor, record, record.count)
        close(descriptor)
    }
}

/// A disk with a cache that forgets: what was not synced may be lost at a power cut, in any order, by 512-byte pieces,
/// names as well as bytes.
struct SimulatedDisk {
    private final class File {
        var durable: [UInt8] = []
        /// Changes that no sync has covered, with their places in the log.
        var pending: [(place: Int, change: Change)] = []
    }

    private enum Change {
        case bytes([UInt8], at: Int)
        case size(Int)
    }

    private enum NameChange {
        case made(String, File)
        case removed(String)

        var name: String {
            switch self {
            case .made(let name, _), .removed(let name): name
            }
        }
    }

    private enum Opened {
        case file(File)
        case folder(String)
    }

    private var names: [String: File] = [:]
    private var durableNames: [String: File] = [:]
    private var pendingNames: [(place: Int, change: NameChange)] = []
    private var handles: [UInt64: Opened] = [:]
    private var syncs: [UInt64: Int] = [:]
    private var place = 0
    private var random = SeededGenerator()

    // MARK: Following the log

    mutating func apply(_ record: DiskLog.Record) {
        place += 1
        switch record.kind {
        case "O": open(record)
        case "W": change(record.handle, .bytes(record.bytes, at: Int(record.offset)))
        case "T": change(record.handle, .size(Int(record.offset)))
        case "B": syncs[record.offset] = place
        case "E": syncEnded(record)
        case "F": syncFailed(record)
        case "U": changeName(.removed(record.text))
        case "R": rename(record)
        default: break
        }
    }

    private mutating func open(_ record: DiskLog.Record) {
        let name = record.text
        if let file = names[name] {
            handles[record.handle] = .file(file)
        } else if record.offset == 1 {
            let file = File()
            handles[record.handle] = .file(file)
            changeName(.made(name, file))
        } else {
            handles[record.handle] = .folder(name)
        }
    }

    private mutating func change(_ handle: UInt64, _ change: Change) {
        guard case .file(let file)? = handles[handle] else { return }
        file.pending.append((place, change))
    }

    private mutating func changeName(_ change: NameChange) {
        Self.apply(change, to: &names)
        pendingNames.append((place, change))
    }

    private mutating func rename(_ record: DiskLog.Record) {
        let parts = record.bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        guard parts.count == 2, let file = names[parts[0]] else { return }
        changeName(.removed(parts[0]))
        changeName(.made(parts[1], file))
    }

    private static func apply(_ change: NameChange, to names: inout [String: File]) {
        switch change {
        case .made(let name, let file): names[name] = file
        case .removed(let name): names[name] = nil
        }
    }

    private mutating func syncEnded(_ record: DiskLog.Record) {
        guard let begun = syncs[record.offset], let opened = handles[record.handle] else { return }
        switch opened {
        case .file(let file):
            for (place, change) in file.pending where place < begun { Self.apply(change, to: &file.durable) }
            file.pending.removeAll { $0.place < begun }
        case .folder(let folder):
            let isCovered = { (entry: (place: Int, change: NameChange)) in
                entry.place < begun && Self.folder(of: entry.change.name) == folder
            }
            for entry in pendingNames where isCovered(entry) { Self.apply(entry.change, to: &durableNames) }
            pendingNames.removeAll(where: isCovered)
        }
    }

    /// The system forgets that such pages were ever to be written: some have reached the disk, the others never will.
    private mutating func syncFailed(_ record: DiskLog.Record) {
        guard let begun = syncs[record.offset], case .file(let file)? = handles[record.handle] else { return }
        for (place, change) in file.pending where place < begun {
            for piece in Self.pieces(of: change) where Bool.random(using: &random) {
                Self.apply(piece, to: &file.durable)
            }
        }
        file.pending.removeAll { $0.place < begun }
    }

    private static func folder(of name: String) -> String { (name as NSString).deletingLastPathComponent }

    private static func apply(_ change: Change, to bytes: inout [UInt8]) {
        switch change {
        case .size(let size):
            if size < bytes.count {
                bytes.removeLast(bytes.count - size)
            } else {
                bytes += [UInt8](repeating: 0, count: size - bytes.count)
            }
        case .bytes(let new, let start):
            if bytes.count < start + new.count {
                bytes += [UInt8](repeating: 0, count: start + new.count - bytes.count)
            }
            bytes.replaceSubrange(start..<start + new.count, with: new)
        }
    }

    // MARK: The power cut

    /// Writes what a power cut now would leave into a folder.
    func cutPower(into folder: TemporaryFolder, _ random: inout SeededGenerator) throws {
        let likelihood = [0, 1, 0.5, Double.random(in: 0...1, using: &random)].randomElement(using: &random) ?? 0
        var left = durableNames
        for (_, change) in pendingNames where Double.random(in: 0..<1, using: &random) < likelihood {
            Self.apply(change, to: &left)
        }
        for (name, file) in left where !name.hasSuffix("-shm") {
            var bytes = file.durable
            var pieces = file.pending.flatMap { Self.pieces(of: $0.change) }
            if Bool.random(using: &random) { pieces.shuffle(using: &random) }
            for piece in pieces where Double.random(in: 0..<1, using: &random) < likelihood {
                Self.apply(piece, to: &bytes)
            }
            let path = "\(folder.path)/\(name)"
            let parent = (path as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }
    }

    /// Disks write sectors, and nothing larger at once.
    private static func pieces(of change: Change) -> [Change] {
        guard case .bytes(let bytes, let start) = change else { return [change] }
        var pieces: [Change] = []
        var place = 0
        while place < bytes.count {
            let end = min(bytes.count, ((start + place) / 512 + 1) * 512 - start)
            pieces.append(.bytes(Array(bytes[place..<end]), at: start + place))
            place = end
        }
        return pieces
    }
}
