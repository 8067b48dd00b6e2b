// SPDX-License-Identifier: Apache-2.0

/// Classes of bytes in HTTP messages, as bit sets that live in registers.
enum ByteClass {
    /// `tchar` of RFC 9110 §5.6.2: ``!#$%&'*+-.^_`|~``, digits and letters.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        if byte < 64 { return (tokenLow >> UInt64(byte)) & 1 == 1 }
        return byte < 128 && (tokenHigh >> UInt64(byte & 63)) & 1 == 1
    }

    /// The first byte from `start` on that is neither a letter nor "-", eight at a time; it may give up earlier near the
    /// end of the bytes.
    ///
    /// Nearly all names of header fields are made of these alone.
    @inline(__always)
    static func endOfWord(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let marks = ones &* 0x80
        var index = start
        while index &+ 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self).littleEndian
            // Seven bits each, so that no sum carries into the next byte.
            let low = word & ~marks
            let lower = low | ones &* 0x20
            let isLetter = (lower &+ ones &* (0x80 - 0x61)) & ~(lower &+ ones &* (0x7f - 0x7a))
            let isHyphen = ~((low ^ ones &* 0x2d) &+ ones &* 0x7f)
            let others = ~((isLetter | isHyphen) & ~word) & marks
            if others != 0 { return index &+ others.trailingZeroBitCount >> 3 }
            index &+= 8
        }
        return index
    }

    /// A byte of a field value: visible, space, tab or obs-text (RFC 9110 §5.5); never CR, LF or NUL.
    @inline(__always)
    static func isFieldValue(_ byte: UInt8) -> Bool {
        byte >= 0x20 ? byte != 0x7f : byte == 0x09
    }

    /// Whether all bytes may be in a field value; eight at a time while nothing is suspicious.
    @inline(__always)
    static func areFieldValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index &+ 8 <= bytes.count {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let marks: UInt64 = 0x8080_8080_8080_8080
            let ones: UInt64 = 0x0101_0101_0101_0101
            // A byte below 0x20, or 0x7f; a tab is looked at more closely.
            let isLow = (word &- ones &* 0x20) & ~word & marks
            let delete = word ^ ones &* 0x7f
            let isDelete = (delete &- ones) & ~delete & marks
            if isLow | isDelete != 0 { break }
            index &+= 8
        }
        while index < bytes.count {
            guard isFieldValue(bytes[index]) else { return false }
            index &+= 1
        }
        return true
    }

    /// A byte of a request target, which has no fragment (RFC 9112 §3.2); bytes above ASCII pass, since clients send
    /// them and functions expect them.
    @inline(__always)
    static func isTarget(_ byte: UInt8) -> Bool { byte > 0x20 && byte != 0x7f && byte != UInt8(ascii: "#") }

    /// A byte of a function's address in a path: `[-a-zA-Z_0-9.]` (contract §3).
    @inline(__always)
    static func isAddress(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// The value of a hexadecimal digit.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }

    // Literals, so that no lazily made global stands between a byte and its class; a test derives them again.
    @inline(__always)
    private static var tokenLow: UInt64 { 0x03ff_6cfa_0000_0000 }
    @inline(__always)
    private static var tokenHigh: UInt64 { 0x57ff_ffff_c7ff_fffe }
}
