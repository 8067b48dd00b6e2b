// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The header fields that the engine has an opinion on.
enum FieldName: UInt8 {
    case other
    /// Named in `Connection`: about this connection alone, whatever it is.
    case named
    // Framing and connection: these end at each hop (RFC 9110 §7.6.1).
    case connection
    case contentLength
    case transferEncoding
    case keepAlive
    case proxyConnection
    case proxyAuthenticate
    case proxyAuthorization
    case te
    case trailer
    case upgrade
    case http2Settings
    // Routing and expectations.
    case host
    case expect
    case accept
    case contentType
    case date
    case userAgent
    case xForwardedFor
    case xForwardedHost
    // Tracing (W3C Trace Context).
    case traceParent
    case traceState
    // OpenFaaS (contract §5.1).
    case xCallID
    case xStartTime
    case xServedBy
    case xDurationSeconds
    case xTimeout

    /// Whether the field is about one connection and never forwarded as it came.
    @inline(__always)
    var endsAtHop: Bool {
        switch self {
        case .connection, .transferEncoding, .keepAlive, .proxyConnection, .proxyAuthenticate, .proxyAuthorization,
            .te, .trailer, .upgrade, .http2Settings, .named:
            true
        default: false
        }
    }

    /// The field of a name, compared without case.
    ///
    /// Length and first letter leave at most two candidates.
    @inline(__always)
    static func recognise(_ name: UnsafeRawBufferPointer) -> FieldName {
        guard let first = name.first else { return .other }
        switch (name.count, first | 0x20) {
        case (2, UInt8(ascii: "t")): return match(name, "te", .te)
        case (4, UInt8(ascii: "h")): return match(name, "host", .host)
        case (4, UInt8(ascii: "d")): return match(name, "date", .date)
        case (6, UInt8(ascii: "e")): return match(name, "expect", .expect)
        case (6, UInt8(ascii: "a")): return match(name, "accept", .accept)
        case (7, UInt8(ascii: "t")): return match(name, "trailer", .trailer)
        case (7, UInt8(ascii: "u")): return match(name, "upgrade", .upgrade)
        case (9, UInt8(ascii: "x")):
            let found = match(name, "x-call-id", .xCallID)
            return found != .other ? found : match(name, "x-timeout", .xTimeout)
        case (10, UInt8(ascii: "c")): return match(name, "connection", .connection)
        case (10, UInt8(ascii: "t")): return match(name, "tracestate", .traceState)
        case (11, UInt8(ascii: "t")): return match(name, "traceparent", .traceParent)
        case (10, UInt8(ascii: "k")): return match(name, "keep-alive", .keepAlive)
        case (10, UInt8(ascii: "u")): return match(name, "user-agent", .userAgent)
        case (11, UInt8(ascii: "x")): return match(name, "x-served-by", .xServedBy)
        case (12, UInt8(ascii: "c")): return match(name, "content-type", .contentType)
        case (12, UInt8(ascii: "x")): return match(name, "x-start-time", .xStartTime)
        case (14, UInt8(ascii: "c")): return match(name, "content-length", .contentLength)
        case (14, UInt8(ascii: "h")): return match(name, "http2-settings", .http2Settings)
        case (15, UInt8(ascii: "x")): return match(name, "x-forwarded-for", .xForwardedFor)
        case (16, UInt8(ascii: "x")): return match(name, "x-forwarded-host", .xForwardedHost)
        case (16, UInt8(ascii: "p")): return match(name, "proxy-connection", .proxyConnection)
        case (17, UInt8(ascii: "t")): return match(name, "transfer-encoding", .transferEncoding)
        case (18, UInt8(ascii: "p")): return match(name, "proxy-authenticate", .proxyAuthenticate)
        case (18, UInt8(ascii: "x")): return match(name, "x-duration-seconds", .xDurationSeconds)
        case (19, UInt8(ascii: "p")): return match(name, "proxy-authorization", .proxyAuthorization)
        default: return .other
        }
    }

    @inline(__always)
    private static func match(_ name: UnsafeRawBufferPointer, _ text: StaticString, _ field: FieldName) -> FieldName {
        isToken(name, text) ? field : .other
    }
}

extension FieldName {
    /// A part of a list without the white space around it.
    static func trimmed(_ range: Range<Int>, in head: UnsafeRawBufferPointer) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, head[start] == 0x20 || head[start] == 0x09 { start += 1 }
        while end > start, head[end - 1] == 0x20 || head[end - 1] == 0x09 { end -= 1 }
        return start..<end
    }
}

/// Whether bytes are a text.
@inline(__always)
func equals(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    guard bytes.count == text.utf8CodeUnitCount, let start = bytes.baseAddress else { return false }
    return memcmp(start, text.utf8Start, bytes.count) == 0
}

/// Whether bytes are the same.
@inline(__always)
func equals(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    guard let start = left.baseAddress, let other = right.baseAddress else { return true }
    return memcmp(start, other, left.count) == 0
}

/// Whether bytes begin with a text.
@inline(__always)
func begins(_ bytes: UnsafeRawBufferPointer, with text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard bytes.count >= count, let start = bytes.baseAddress else { return false }
    return memcmp(start, text.utf8Start, count) == 0
}

/// Whether bytes equal a lower-case ASCII text, without regard to the case of letters.
@inline(__always)
func equalsIgnoringCase(_ bytes: UnsafeRawBufferPointer, _ lowerCase: StaticString) -> Bool {
    guard bytes.count == lowerCase.utf8CodeUnitCount else { return false }
    let other = lowerCase.utf8Start
    for index in 0..<bytes.count where lowercased(bytes[index]) != other[index] { return false }
    return true
}

/// Whether a token is a text of lower-case letters, digits and hyphens, without regard to the case of letters.
///
/// Setting the bit that tells the cases apart makes no other byte of a token (RFC 9110 §5.6.2) one of these.
@inline(__always)
private func isToken(_ token: UnsafeRawBufferPointer, _ lowerCase: StaticString) -> Bool {
    let count = lowerCase.utf8CodeUnitCount
    guard token.count == count else { return false }
    let text = UnsafeRawBufferPointer(start: lowerCase.utf8Start, count: count)
    guard count >= 8 else { return token.indices.allSatisfy { token[$0] | 0x20 == text[$0] } }
    var index = 0
    while true {
        let word = token.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        let other = text.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        guard word | 0x2020_2020_2020_2020 == other else { return false }
        if index == count &- 8 { return true }
        // The last eight overlap with those before.
        index = min(index &+ 8, count &- 8)
    }
}

/// Whether two runs of bytes are equal without regard to the case of ASCII letters.
func equalsIgnoringCase(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    for index in 0..<left.count where lowercased(left[index]) != lowercased(right[index]) { return false }
    return true
}

@inline(__always)
func lowercased(_ byte: UInt8) -> UInt8 {
    byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
}
