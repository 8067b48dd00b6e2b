// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Numbers as text, written without making strings.
extension ByteBuffer {
    /// Writes a number in decimal.
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
            _ = writeBytes(UnsafeRawBufferPointer(rebasing: room[position...]))
        }
    }

    /// Writes a duration as seconds with six decimals (contract §5.1, `X-Duration-Seconds`).
    mutating func writeSeconds(nanoseconds: UInt64) {
        let microseconds = nanoseconds / 1000
        writeDecimal(microseconds / 1_000_000)
        writeInteger(UInt8(ascii: "."))
        var scale: UInt64 = 100_000
        while scale > 0 {
            writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: microseconds / scale % 10))
            scale /= 10
        }
    }

    /// Writes a chunk's size line (RFC 9112 §7.1).
    mutating func writeChunkSize(_ size: Int) {
        var shift = (Int.bitWidth - size.leadingZeroBitCount + 3) / 4 * 4 - 4
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: size >> shift & 0xF)
            writeInteger(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            shift -= 4
        }
        writeStaticString("\r\n")
    }

    /// Writes a random UUID of version 4 (RFC 9562 §5.4).
    mutating func writeUUID(_ high: UInt64, _ low: UInt64) {
        let versioned = high & ~0xF000 | 0x4000
        let variant = low & ~(0xC000 << 48) | 0x8000 << 48
        writeHex(versioned >> 32, digits: 8)
        writeInteger(UInt8(ascii: "-"))
        writeHex(versioned >> 16, digits: 4)
        writeInteger(UInt8(ascii: "-"))
        writeHex(versioned, digits: 4)
        writeInteger(UInt8(ascii: "-"))
        writeHex(variant >> 48, digits: 4)
        writeInteger(UInt8(ascii: "-"))
        writeHex(variant, digits: 12)
    }

    /// Writes 16 hexadecimal digits.
    mutating func writeHexadecimal(_ value: UInt64) { writeHex(value, digits: 16) }

    private mutating func writeHex(_ value: UInt64, digits: Int) {
        var shift = UInt64(digits * 4)
        while shift > 0 {
            shift -= 4
            let digit = UInt8(truncatingIfNeeded: value >> shift & 0xF)
            writeInteger(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
