// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What `Host`, or the authority of a target, may be: `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
enum HostGrammar {
    /// Whether bytes are a host; none at all is what a client sends that knows no name of the server's.
    ///
    /// Stricter in two things: a comma could be taken for the end of one value and the beginning of another, and a port
    /// is none beyond 65535.
    @inline(__always)
    static func accepts(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var end = 0
        while end < bytes.count, isName(bytes[end]) { end &+= 1 }
        if end == bytes.count { return true }
        return acceptsMore(bytes, end)
    }

    /// The same where something comes that is in no plain name: a port, an address in brackets, a percent-encoding.
    private static func acceptsMore(_ bytes: UnsafeRawBufferPointer, _ nameEnd: Int) -> Bool {
        var end = nameEnd
        if bytes[0] == UInt8(ascii: "[") {
            guard let bracket = bytes.firstIndex(of: UInt8(ascii: "]")) else { return false }
            guard isAddress(UnsafeRawBufferPointer(rebasing: bytes[1..<bracket])) else { return false }
            end = bracket + 1
        } else {
            while end < bytes.count, let next = endOfNameByte(bytes, at: end) { end = next }
            guard end > 0 else { return false }
        }
        return end == bytes.count || isPort(bytes[end...])
    }

    private static func endOfNameByte(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int? {
        if isName(bytes[index]) { return index + 1 }
        guard bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
            ByteClass.hexValue(bytes[index + 1]) != nil, ByteClass.hexValue(bytes[index + 2]) != nil
        else { return nil }
        return index + 3
    }

    private static func isPort(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard bytes.first == UInt8(ascii: ":") else { return false }
        var port = 0
        for byte in bytes.dropFirst() {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return false }
            port = port * 10 + Int(byte - UInt8(ascii: "0"))
            guard port <= 65_535 else { return false }
        }
        return true
    }

    /// What may stand in brackets: an address of IPv6, without a zone, which means nothing to anybody else; or one of a
    /// version to come.
    private static func isAddress(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if let first = bytes.first, first | 0x20 == UInt8(ascii: "v") { return isFutureAddress(bytes) }
        // Longer ones there are none; the system wants a text that ends with a zero.
        guard bytes.count <= 45, !bytes.contains(0) else { return false }
        var address: (UInt64, UInt64) = (0, 0)
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 46) { text in
            for (index, byte) in bytes.enumerated() { text[index] = CChar(bitPattern: byte) }
            text[bytes.count] = 0
            return inet_pton(AF_INET6, text.baseAddress.unsafelyUnwrapped, &address) == 1
        }
    }

    private static func isFutureAddress(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let parts = bytes.dropFirst().split(
            separator: UInt8(ascii: "."),
            maxSplits: 1,
            omittingEmptySubsequences: false
        )
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return false }
        return parts[0].allSatisfy { ByteClass.hexValue($0) != nil }
            && parts[1].allSatisfy { isName($0) || $0 == UInt8(ascii: ":") }
    }

    /// `unreserved` and `sub-delims` of RFC 3986 §2, but for the comma.
    @inline(__always)
    private static func isName(_ byte: UInt8) -> Bool {
        if byte < 64 { return (nameLow >> UInt64(byte)) & 1 == 1 }
        return byte < 128 && (nameHigh >> UInt64(byte & 63)) & 1 == 1
    }

    // Literals, as in `ByteClass`; a test derives them again.
    @inline(__always)
    private static var nameLow: UInt64 { 0x2bff_6fd2_0000_0000 }
    @inline(__always)
    private static var nameHigh: UInt64 { 0x47ff_fffe_87ff_fffe }
}
