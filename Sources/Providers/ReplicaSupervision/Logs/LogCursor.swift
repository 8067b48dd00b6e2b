// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel

/// A place in one replica's log, from where lines are read up to where they ended when somebody last looked.
///
/// A copy reads the same lines again.
struct LogCursor {
    /// A line, or what is told in its place.
    struct Entry {
        let time: Timestamp
        let text: String
    }

    let replica: String
    private let since: Timestamp?
    /// What is still to be read, oldest first; the last piece may grow.
    private var pieces: [LogFile.Piece] = []
    private var place: Int64 = 0
    private var end: Int64 = 0
    /// Bytes up to `place` of which no line was made yet.
    private var bytes: ArraySlice<UInt8> = []
    private var upcoming: Entry?
    private static let readAtOnce: Int64 = 65_536

    init(replica: String, since: Timestamp?) {
        self.replica = replica
        self.since = since
    }

    /// Where the newest piece begins that it has.
    var known: Int64? { pieces.last?.start }

    /// Takes what somebody saw who looked just now.
    mutating func extend(_ view: LogFile.View) {
        if pieces.isEmpty { place = view.pieces.first?.start ?? view.end }
        pieces += view.pieces
        end = view.end
    }

    /// The next line, which stays the next; nil when there is none now.
    mutating func peek() -> Entry? {
        while upcoming == nil {
            if let line = nextLine() {
                upcoming = entry(line)
            } else if let gap = nextPiece() {
                upcoming = gap
            } else if !read() {
                return nil
            }
        }
        return upcoming
    }

    /// Takes the next line.
    mutating func pop() -> Entry? {
        defer { upcoming = nil }
        return peek()
    }

    // MARK: Lines

    private mutating func nextLine() -> ArraySlice<UInt8>? {
        guard let lineEnd = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        defer { bytes = bytes[(lineEnd + 1)...] }
        return bytes[..<lineEnd]
    }

    /// Nil for what is no line of ours, or an older one than was asked for.
    private func entry(_ line: ArraySlice<UInt8>) -> Entry? {
        guard let tab = line.firstIndex(of: UInt8(ascii: "\t")),
            let time = Timestamp(String(decoding: line[..<tab], as: UTF8.self))
        else { return nil }
        if let since, time < since { return nil }
        return Entry(time: time, text: String(decoding: line[(tab + 1)...], as: UTF8.self))
    }

    // MARK: Pieces

    private var pieceEnd: Int64 { pieces.count > 1 ? pieces[0].end : end }

    /// Goes on with the next piece where the first one is at its end; what was missed in between is told.
    private mutating func nextPiece() -> Entry? {
        guard pieces.count > 1, place >= pieceEnd else { return nil }
        pieces.removeFirst()
        let missed = pieces[0].start - place
        (place, bytes) = (pieces[0].start, [])
        guard missed > 0 else { return nil }
        let why = "were left out here: they came faster than they were read"
        return Entry(time: .now(), text: LogFile.gapText(Int(clamping: missed), why))
    }

    /// Whether there may be more lines now.
    private mutating func read() -> Bool {
        guard let piece = pieces.first, place < pieceEnd else { return pieces.count > 1 }
        let wanted = min(Self.readAtOnce, pieceEnd - place)
        let read = piece.bytes(at: place, count: Int(wanted))
        // Somebody has cut the file.
        guard !read.isEmpty else {
            place = pieceEnd
            return true
        }
        bytes = ArraySlice(Array(bytes) + read)
        place += Int64(read.count)
        return true
    }

    // MARK: Tail

    /// Leaves out what stands before the last so many lines, from 1 on; called before anything is read.
    mutating func keepLast(_ count: Int) {
        var left = count
        for index in pieces.indices.reversed() {
            let isNewest = index == pieces.indices.last
            guard let found = pieces[index].place(ofLast: &left, before: isNewest ? end : pieces[index].end) else {
                continue
            }
            pieces.removeFirst(index)
            place = found
            return
        }
    }
}

extension LogFile.Piece {
    /// Bytes of the piece; none where it ends.
    fileprivate func bytes(at place: Int64, count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            filled = max(0, pread(descriptor, room.baseAddress, count, off_t(place - start)))
        }
    }

    /// Where the last so many lines before a line's end begin; nil when there are fewer, and `left` more are wanted then.
    fileprivate func place(ofLast left: inout Int, before end: Int64) -> Int64? {
        guard end > start else { return nil }
        // Each line end but the last stands before a line.
        var place = end - 1
        while place > start {
            let first = max(start, place - 65_536)
            let bytes = bytes(at: first, count: Int(place - first))
            for index in bytes.indices.reversed() where bytes[index] == UInt8(ascii: "\n") {
                left -= 1
                if left == 0 { return first + Int64(index) + 1 }
            }
            place = first
        }
        left -= 1
        return left == 0 ? start : nil
    }
}
