// SPDX-License-Identifier: Apache-2.0

import NIOCore

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Writes the parts of a head one behind the other into room that was made for all of them at once.
///
/// A head has some thirty parts; asking a `ByteBuffer` for room each time costs more than the copying.
struct HeadWriter {
    private let room: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    fileprivate init(_ room: UnsafeMutableRawBufferPointer) { self.room = room }

    /// Whoever makes the room counts generously; a mistake must end the program rather than write elsewhere.
    @inline(__always)
    private mutating func take(_ length: Int) -> UnsafeMutableRawPointer {
        precondition(length <= room.count &- count, "a head is longer than the room made for it")
        defer { count &+= length }
        return room.baseAddress.unsafelyUnwrapped + count
    }

    @inline(__always)
    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
        memcpy(take(bytes.count), start, bytes.count)
    }

    @inline(__always)
    mutating func write(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        write(UnsafeRawBufferPointer(rebasing: bytes[range]))
    }

    @inline(__always)
    mutating func write(_ text: StaticString) {
        memcpy(take(text.utf8CodeUnitCount), text.utf8Start, text.utf8CodeUnitCount)
    }

    @inline(__always)
    mutating func write(_ text: String) {
        var text = text
        text.withUTF8 { write(UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    mutating func write(byte: UInt8) { take(1).storeBytes(of: byte, as: UInt8.self) }

    mutating func writeField(_ name: StaticString, _ value: String) {
        write(name)
        write(": ")
        write(value)
        write("\r\n")
    }

    /// A number in decimal.
    mutating func writeDecimal(_ number: UInt64) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)  // 24 bytes, enough for 20 digits
        withUnsafeMutableBytes(of: &digits) { room in
            var position = room.count
            var rest = number
            repeat {
                position -= 1
                room[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            write(UnsafeRawBufferPointer(rebasing: room[position...]))
        }
    }

    /// A duration as seconds with six decimals (contract §5.1, `X-Duration-Seconds`).
    mutating func writeSeconds(nanoseconds: UInt64) {
        let microseconds = nanoseconds / 1000
        writeDecimal(microseconds / 1_000_000)
        let place = take(7)
        place.storeBytes(of: UInt8(ascii: "."), as: UInt8.self)
        var rest = microseconds % 1_000_000
        for index in stride(from: 6, to: 0, by: -1) {
            place.storeBytes(of: UInt8(ascii: "0") + UInt8(rest % 10), toByteOffset: index, as: UInt8.self)
            rest /= 10
        }
    }

    /// The lowest bits of a number in hexadecimal.
    @inline(__always)
    mutating func writeHexadecimal(_ value: UInt64, digits: Int = 16) {
        let place = take(digits)
        var rest = value
        for index in stride(from: digits - 1, through: 0, by: -1) {
            let digit = UInt8(truncatingIfNeeded: rest & 0xF)
            let letter = digit < 10 ? UInt8(ascii: "0") &+ digit : UInt8(ascii: "a") &- 10 &+ digit
            place.storeBytes(of: letter, toByteOffset: index, as: UInt8.self)
            rest >>= 4
        }
    }

    /// A random UUID of version 4 (RFC 9562 §5.4).
    mutating func writeUUID(_ high: UInt64, _ low: UInt64) {
        let versioned = high & ~0xF000 | 0x4000
        let variant = low & ~(0xC000 << 48) | 0x8000 << 48
        writeHexadecimal(versioned >> 32, digits: 8)
        write(byte: UInt8(ascii: "-"))
        writeHexadecimal(versioned >> 16, digits: 4)
        write(byte: UInt8(ascii: "-"))
        writeHexadecimal(versioned, digits: 4)
        write(byte: UInt8(ascii: "-"))
        writeHexadecimal(variant >> 48, digits: 4)
        write(byte: UInt8(ascii: "-"))
        writeHexadecimal(variant, digits: 12)
    }

    /// Copies the field lines to be kept, neighbouring ones in one go.
    @inline(__always)
    mutating func copyRuns(
        of fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer,
        keeping keeps: (HeadField) -> Bool
    ) {
        var start = 0
        var end = 0
        for field in fields where keeps(field) {
            if Int(field.nameStart) != end {
                if end > start { write(bytes, start..<end) }
                start = Int(field.nameStart)
            }
            end = Int(field.lineEnd)
        }
        if end > start { write(bytes, start..<end) }
    }
}

extension ByteBuffer {
    /// Writes a head of at most so many bytes.
    @inline(__always)
    mutating func writeHead(atMost count: Int, _ body: (inout HeadWriter) -> Void) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: count) { room in
            var writer = HeadWriter(room)
            body(&writer)
            return writer.count
        }
    }

    /// Writes a chunk's size line (RFC 9112 §7.1).
    mutating func writeChunkSize(_ size: Int) {
        let digits = max(1, (Int.bitWidth - size.leadingZeroBitCount + 3) / 4)
        writeHead(atMost: 20) { out in
            out.writeHexadecimal(UInt64(size), digits: digits)
            out.write("\r\n")
        }
    }
}
