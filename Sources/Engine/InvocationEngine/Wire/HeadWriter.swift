// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore

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

    /// Not called `write`: a literal would become a `String`, which costs more than its bytes.
    @inline(__always)
    mutating func writeString(_ text: String) {
        if text.utf8.withContiguousStorageIfAvailable({ write(UnsafeRawBufferPointer($0)) }) != nil { return }
        // Strings made in Swift are always contiguous.
        for byte in text.utf8 { write(byte: byte) }
    }

    /// Stores a value whole, of which only the first bytes count: a copy of a known length is cheaper.
    @inline(__always)
    mutating func store<Value: BitwiseCopyable>(_ value: Value, using length: Int) {
        take(MemoryLayout<Value>.size).storeBytes(of: value, as: Value.self)
        count &-= MemoryLayout<Value>.size &- length
    }

    @inline(__always)
    mutating func write(byte: UInt8) { take(1).storeBytes(of: byte, as: UInt8.self) }

    mutating func writeField(_ name: StaticString, _ value: String) {
        write(name)
        write(": ")
        writeString(value)
        write("\r\n")
    }

    /// A number in decimal; there must be room for eight digits even where it has fewer.
    mutating func writeDecimal(_ number: UInt64) {
        guard number >= 100_000_000 else { return writeShortDecimal(number) }
        let (front, back) = number.quotientAndRemainder(dividingBy: 100_000_000)
        if front < 100_000_000 {
            writeShortDecimal(front)
        } else {
            writeShortDecimal(front / 100_000_000)
            take(8).storeBytes(of: Self.eightDigits(front % 100_000_000).littleEndian, as: UInt64.self)
        }
        take(8).storeBytes(of: Self.eightDigits(back).littleEndian, as: UInt64.self)
    }

    @inline(__always)
    private mutating func writeShortDecimal(_ number: UInt64) {
        let digits = Self.eightDigits(number)
        // The first digits lie lowest.
        let zeros = min(7, (digits ^ 0x3030_3030_3030_3030).trailingZeroBitCount / 8)
        take(8).storeBytes(of: (digits &>> UInt64(8 * zeros)).littleEndian, as: UInt64.self)
        count &-= zeros
    }

    /// The eight digits of a number below 100,000,000, the first one at the lowest address: all at once, first in fours,
    /// then in twos, then one by one.
    @inline(__always)
    private static func eightDigits(_ number: UInt64) -> UInt64 {
        let fours = number / 10_000 | (number % 10_000) << 32
        let hundreds = (fours &* 10_486) >> 20 & 0x0000_007F_0000_007F
        let twos = hundreds | (fours &- hundreds &* 100) << 16
        let tens = (twos &* 103) >> 10 & 0x000F_000F_000F_000F
        return ((tens | (twos &- tens &* 10) << 8) &+ 0x3030_3030_3030_3030)
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

    /// A number in 16 hexadecimal digits.
    @inline(__always)
    mutating func writeHexadecimal(_ value: UInt64) {
        let place = take(16)
        place.storeBytes(of: Self.hexadecimal(value >> 32), as: UInt64.self)
        place.storeBytes(of: Self.hexadecimal(value), toByteOffset: 8, as: UInt64.self)
    }

    /// A number in as few hexadecimal digits as it has.
    mutating func writeShortHexadecimal(_ value: UInt64) {
        let digits = max(1, (UInt64.bitWidth - value.leadingZeroBitCount + 3) / 4)
        let place = take(digits)
        for index in 0..<digits {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(4 * (digits - 1 - index)) & 0xF)
            let letter = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
            place.storeBytes(of: letter, toByteOffset: index, as: UInt8.self)
        }
    }

    /// The eight digits of the low 32 bits, the first one at the lowest address: all at once, a nibble a byte.
    @inline(__always)
    private static func hexadecimal(_ value: UInt64) -> UInt64 {
        var spread = value & 0xFFFF_FFFF
        spread = (spread << 16 | spread) & 0x0000_FFFF_0000_FFFF
        spread = (spread << 8 | spread) & 0x00FF_00FF_00FF_00FF
        spread = (spread << 4 | spread) & 0x0F0F_0F0F_0F0F_0F0F
        let isLetter = (spread &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return (spread &+ 0x3030_3030_3030_3030 &+ isLetter &* 39).bigEndian
    }

    /// A random UUID of version 4 (RFC 9562 §5.4): 8, 4, 4, 4 and 12 digits.
    @inline(__always)
    mutating func writeUUID(_ high: UInt64, _ low: UInt64) {
        let (time, version) = (Self.hexadecimal(high >> 32), Self.hexadecimal(high & ~0xF000 | 0x4000))
        let marked = low & ~(0xC000 << 48) | 0x8000 << 48
        let (variant, node) = (Self.hexadecimal(marked >> 32), Self.hexadecimal(marked))
        let place = take(36)
        place.storeBytes(of: time, as: UInt64.self)
        place.storeBytes(of: UInt32(truncatingIfNeeded: version.littleEndian), toByteOffset: 9, as: UInt32.self)
        place.storeBytes(of: UInt32(truncatingIfNeeded: version.littleEndian >> 32), toByteOffset: 14, as: UInt32.self)
        place.storeBytes(of: UInt32(truncatingIfNeeded: variant.littleEndian), toByteOffset: 19, as: UInt32.self)
        place.storeBytes(of: UInt32(truncatingIfNeeded: variant.littleEndian >> 32), toByteOffset: 24, as: UInt32.self)
        place.storeBytes(of: node, toByteOffset: 28, as: UInt64.self)
        place.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 8, as: UInt8.self)
        place.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 13, as: UInt8.self)
        place.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 18, as: UInt8.self)
        place.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 23, as: UInt8.self)
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
        writeHead(atMost: 20) { out in
            out.writeShortHexadecimal(UInt64(size))
            out.write("\r\n")
        }
    }
}

extension ByteBuffer {
    mutating func writeField(_ name: StaticString, _ value: String) {
        writeHead(atMost: name.utf8CodeUnitCount + value.utf8.count + 4) { $0.writeField(name, value) }
    }
}
