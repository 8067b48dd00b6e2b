// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel

/// The file of one replica's log: `TIME<TAB>TEXT` per line, moved aside when it is large.
///
/// Places in a log count from the first line that was ever in it, so that who reads knows what it has missed.
struct LogFile {
    private let name: String
    private var unwritten: [UInt8] = []
    /// Bytes that found no room on the disk.
    private var lost = 0
    /// The place where the file begins; nil as long as nobody has looked at it.
    private var start: Int64?
    private var length: Int64 = 0
    /// Which file it is, since another one may have taken its name.
    private var inode: UInt64 = 0
    private static let sizeLimit: Int64 = 5 * 1_048_576
    private static let aside = ".1"

    /// Places begin here.
    private let origin: Int64

    init(name: String, origin: Int64) {
        self.name = name
        self.origin = origin
    }

    /// The place behind the last line.
    var end: Int64 { (start ?? origin) + length }

    /// The replica that a file is of; a replica's name has no dot.
    static func replica(of file: String) -> String { String(file.prefix { $0 != "." }) }

    /// Names of the files in a folder, without those of replicas that live and so many of the youngest others.
    static func oldest(in folder: String, besides count: Int, and living: Set<String>) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return files.filter { !living.contains(replica(of: $0)) }
            .sorted { modified("\(folder)/\($0)") < modified("\(folder)/\($1)") }.dropLast(count)
    }

    private static func modified(_ path: String) -> Int64 {
        var status = stat()
        guard stat(path, &status) == 0 else { return 0 }
        return Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }

    // MARK: Writing

    /// Takes a line; returns how many bytes wait.
    mutating func add(_ line: String) -> Int {
        unwritten += line.utf8
        return unwritten.count
    }

    /// Writes what waits; whether there was something.
    ///
    /// A full disk costs log lines, not the function; how much is said when there is room again.
    mutating func write(in folder: String) -> Bool {
        guard !unwritten.isEmpty else { return false }
        defer { unwritten.removeAll(keepingCapacity: unwritten.capacity <= 65_536) }
        guard let descriptor = openToWrite(in: folder) else {
            lost += unwritten.count
            return false
        }
        defer { close(descriptor) }
        if lost > 0, append(Array(Self.gap(lost, "could not be written").utf8), to: descriptor) { lost = 0 }
        guard lost == 0, append(unwritten, to: descriptor) else {
            lost += unwritten.count
            return false
        }
        if length > Self.sizeLimit { moveAside(in: folder) }
        return true
    }

    private mutating func openToWrite(in folder: String) -> Int32? {
        let path = path(in: folder)
        var descriptor = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor < 0 {
            try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            descriptor = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        }
        guard descriptor >= 0 else { return nil }
        look(at: descriptor, in: folder)
        return descriptor
    }

    /// All or nothing: half a line would be glued to the next one.
    private mutating func append(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress.map { $0 + offset }, $0.count - offset)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                ftruncate(descriptor, off_t(length))
                return false
            }
            offset += count
        }
        length += Int64(bytes.count)
        return true
    }

    private mutating func moveAside(in folder: String) {
        let path = path(in: folder)
        guard rename(path, path + Self.aside) == 0 else { return }
        start = end
        length = 0
    }

    /// Finds out where the file begins, at first; and again when somebody else has changed it.
    private mutating func look(at descriptor: Int32, in folder: String) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return }
        if start == nil {
            start = origin + Self.size(of: path(in: folder) + Self.aside)
        } else if status.st_ino == inode, status.st_size == length {
            return
        }
        note(status)
        let size = length
        // The last line of a run that was killed has no end.
        var last: UInt8 = 0
        if size > 0, pread(descriptor, &last, 1, off_t(size - 1)) == 1, last != UInt8(ascii: "\n") {
            _ = append([UInt8(ascii: "\n")], to: descriptor)
        }
    }

    /// Takes note of what the file is now: one that has grown is what it was, and was written to by another run.
    private mutating func note(_ status: stat) {
        let (size, now) = (Int64(status.st_size), UInt64(status.st_ino))
        if let start, inode != 0, inode != now || size < length { self.start = start + length }
        (length, inode) = (size, now)
    }

    private func path(in folder: String) -> String { "\(folder)/\(name).log" }

    private static func size(of path: String) -> Int64 {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : 0
    }

    private static func size(of descriptor: Int32) -> Int64 {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int64(status.st_size) : 0
    }

    /// What stands in a log instead of lines.
    static func gap(_ bytes: Int, _ why: String) -> String {
        "\(Timestamp.now().formatted(fractionDigits: 9))\t\(gapText(bytes, why))\n"
    }

    static func gapText(_ bytes: Int, _ why: String) -> String { "martlet: \(bytes) bytes of the log \(why)" }

    // MARK: Reading

    /// An open piece of the log.
    final class Piece: Sendable {
        let descriptor: Int32
        /// The place where it begins.
        let start: Int64

        init(_ descriptor: Int32, start: Int64) {
            self.descriptor = descriptor
            self.start = start
        }

        /// The place behind its last line, when it has been moved aside.
        var end: Int64 { start + LogFile.size(of: descriptor) }

        deinit { close(descriptor) }
    }

    /// What there is to be read now.
    struct View {
        /// Pieces that were not known, oldest first.
        var pieces: [Piece]
        /// The place behind the last line.
        var end: Int64
    }

    /// Opens what begins behind the place `known`.
    ///
    /// - Throws: `storageUnavailable` when it is there and cannot be opened.
    mutating func view(in folder: String, known: Int64?) throws(PlatformFault) -> View {
        let path = path(in: folder)
        if start == nil { lookFirst(path, in: folder) } else { lookAgain(path) }
        let start = start ?? origin
        var pieces: [Piece] = []
        if known.map({ $0 < start }) ?? true {
            if let piece = try Self.piece(path + Self.aside, start: { start - Self.size(of: $0) }),
                known.map({ $0 < piece.start }) ?? true
            {
                pieces.append(piece)
            }
            if let piece = try Self.piece(path, start: { _ in start }) { pieces.append(piece) }
        }
        return View(pieces: pieces, end: start + length)
    }

    private mutating func lookFirst(_ path: String, in folder: String) {
        let descriptor = open(path, O_RDWR | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { return start = origin + Self.size(of: path + Self.aside) }
        defer { close(descriptor) }
        look(at: descriptor, in: folder)
    }

    private mutating func lookAgain(_ path: String) {
        var status = stat()
        if stat(path, &status) == 0 { note(status) }
    }

    private static func piece(_ path: String, start: (Int32) -> Int64) throws(PlatformFault) -> Piece? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor < 0 else { return Piece(descriptor, start: start(descriptor)) }
        guard errno != ENOENT, errno != ENOTDIR else { return nil }
        throw PlatformFault(.storageUnavailable, "The log cannot be read: \(String(cString: strerror(errno))).")
    }
}
