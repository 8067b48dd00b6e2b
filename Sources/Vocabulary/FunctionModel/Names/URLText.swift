// SPDX-License-Identifier: Apache-2.0

/// Texts as parts of URLs and forms.
public enum URLText {
    /// Everything but letters, digits and `-._~` as percent and digits (RFC 3986 §2.3), so that it is one part wherever it
    /// is put.
    public static func escaped(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            if isPlain(byte) {
                out.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                append(escaped: byte, to: &out)
            }
        }
        return out
    }

    /// Writes a byte as percent and digits.
    static func append(escaped byte: UInt8, to out: inout String) {
        out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }

    /// The bytes of a text with what is written as percent and digits undone; a percent without digits stays.
    static func unescaped(_ text: Substring) -> [UInt8] {
        var (rest, bytes) = (text.utf8[...], [UInt8]())
        while let byte = rest.popFirst() {
            let next = Array(rest.prefix(2))
            if byte == UInt8(ascii: "%"), next.count == 2, let high = value(ofDigit: next[0]),
                let low = value(ofDigit: next[1])
            {
                bytes.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    /// What a hexadecimal digit stands for.
    static func value(ofDigit byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
