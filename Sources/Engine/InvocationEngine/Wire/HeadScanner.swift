// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Glibc

/// One header field of a head; offsets count from the head's first byte.
struct HeadField {
    var nameStart: Int32
    var nameEnd: Int32
    var valueStart: Int32
    var valueEnd: Int32
    /// Just behind the CR LF.
    var lineEnd: Int32
    var name: FieldName

    @inline(__always)
    func nameBytes(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: head[Int(nameStart)..<Int(nameEnd)])
    }

    @inline(__always)
    func valueBytes(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: head[Int(valueStart)..<Int(valueEnd)])
    }
}

/// Finds the lines of a message head in place, once, and strictly (RFC 9112 §2.2, §5).
///
/// It can stop anywhere and goes on where it stopped when more bytes have come. Empty lines before the first one mean
/// nothing; they are how some clients end a body (RFC 9112 §2.2). Refused are bare LF and CR, white space
/// before the colon, folded lines, empty names and control characters.
struct HeadScanner {
    /// Fields in their order.
    private(set) var fields: ContiguousArray<HeadField> = []
    /// The first line without its CR LF.
    private(set) var startLine = 0..<0
    private var lineStart = 0
    private var searched = 0
    private var hasStartLine = false
    /// What a field counts beside its bytes, as in HTTP/2 (RFC 9113 §6.5.2): whoever stores it needs that much.
    static let fieldCost = 32
    private static let usualFields = 24
    /// Room that a large head needed is not kept for the next.
    private static let mostToKeep = 256

    init() { fields.reserveCapacity(Self.usualFields) }

    /// Forgets a head and keeps the room.
    mutating func reset() {
        fields.removeAll(keepingCapacity: fields.capacity <= Self.mostToKeep)
        startLine = 0..<0
        lineStart = 0
        searched = 0
        hasStartLine = false
    }

    /// Forgets a head and its room.
    mutating func forget() {
        reset()
        fields = []
    }

    /// Begins with the fields: what stands before them is known.
    mutating func begin(behind start: Int) {
        reset()
        hasStartLine = true
        lineStart = start
        searched = start
    }

    /// Marks the fields that `Connection` names (RFC 9110 §7.6.1); called when the head was parsed.
    mutating func markNamedFields(in head: UnsafeRawBufferPointer) {
        for list in fields where list.name == .connection {
            for name in ListMembers(Int(list.valueStart)..<Int(list.valueEnd), in: head) {
                mark(UnsafeRawBufferPointer(rebasing: head[name]), in: head)
            }
        }
    }

    /// Marks credentials that are about this connection alone.
    mutating func markLogins(in head: UnsafeRawBufferPointer, where isOurs: (String) -> Bool) {
        for index in fields.indices where equalsIgnoringCase(fields[index].nameBytes(in: head), "authorization") {
            let value = String(decoding: fields[index].valueBytes(in: head), as: UTF8.self)
            if isOurs(value) { fields[index].name = .named }
        }
    }

    private mutating func mark(_ name: UnsafeRawBufferPointer, in head: UnsafeRawBufferPointer) {
        for index in fields.indices where fields[index].name != .connection {
            if equalsIgnoringCase(name, fields[index].nameBytes(in: head)) { fields[index].name = .named }
        }
    }

    /// Scans what has come so far; returns the head's length, its blank line included, or nil when more is needed.
    mutating func scan(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(WireError) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        while let found = memchr(base + searched, 0x0A, bytes.count - searched) {
            let newline = base.distance(to: UnsafeRawPointer(found))
            guard newline < limit else { throw tooLarge }
            guard newline > lineStart, bytes[newline - 1] == 0x0D else {
                throw WireError("a line does not end with CR LF.")
            }
            let line = lineStart..<newline - 1
            lineStart = newline + 1
            searched = lineStart
            if !line.isEmpty {
                try take(line, in: bytes)
                guard lineStart &+ fields.count &* Self.fieldCost <= limit else { throw tooLarge }
            } else if hasStartLine {
                return lineStart
            }
        }
        searched = bytes.count
        guard bytes.count < limit else { throw tooLarge }
        return nil
    }

    /// Whether nothing but empty lines is among so many bytes.
    func foundNothing(in count: Int) -> Bool { !hasStartLine && lineStart == count }

    private var tooLarge: WireError {
        hasStartLine
            ? WireError("its head is too large.", code: .headTooLarge)
            : WireError("its first line is too long.", code: .targetTooLong)
    }

    @inline(__always)
    private mutating func take(_ line: Range<Int>, in bytes: UnsafeRawBufferPointer) throws(WireError) {
        if hasStartLine {
            fields.append(try Self.field(line, in: bytes))
        } else {
            hasStartLine = true
            startLine = line
        }
    }

    @inline(__always)
    static func field(_ line: Range<Int>, in bytes: UnsafeRawBufferPointer) throws(WireError) -> HeadField {
        var colon = ByteClass.endOfWord(in: bytes, from: line.lowerBound)
        while colon < line.upperBound, ByteClass.isToken(bytes[colon]) { colon += 1 }
        guard colon < line.upperBound, bytes[colon] == UInt8(ascii: ":"), colon > line.lowerBound else {
            throw WireError("a header field's name is not a token followed by a colon.")
        }
        var start = colon + 1
        var end = line.upperBound
        guard ByteClass.areFieldValue(UnsafeRawBufferPointer(rebasing: bytes[start..<end])) else {
            throw WireError("a header field's value has a control character.")
        }
        while start < end, isBlank(bytes[start]) { start += 1 }
        while end > start, isBlank(bytes[end - 1]) { end -= 1 }
        let name = UnsafeRawBufferPointer(rebasing: bytes[line.lowerBound..<colon])
        return HeadField(
            nameStart: Int32(truncatingIfNeeded: line.lowerBound),
            nameEnd: Int32(truncatingIfNeeded: colon),
            valueStart: Int32(truncatingIfNeeded: start),
            valueEnd: Int32(truncatingIfNeeded: end),
            lineEnd: Int32(truncatingIfNeeded: line.upperBound + 2),
            name: FieldName.recognise(name)
        )
    }

    @inline(__always)
    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
