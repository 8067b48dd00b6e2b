// SPDX-License-Identifier: Apache-2.0

import FaultModel

/// How the end of a message's body is known (RFC 9112 §6.3).
enum BodyFraming: Equatable {
    case none
    case length(Int)
    case chunked
    /// Only answers: the body ends with the connection.
    case untilClose
}

/// Collects what the fields of one head say about length and connection, and refuses what contradicts itself.
struct FramingFields {
    private(set) var contentLength: Int?
    /// Whether zeros stand before it, which some would take for the mark of an octal number.
    private(set) var isLengthPadded = false
    private(set) var isChunked = false
    private(set) var hasClose = false
    private(set) var hasKeepAlive = false
    private(set) var hasUpgrade = false
    /// Whether `Connection` names fields, which end here too.
    private(set) var namesFields = false
    private var named: UInt8 = 0
    /// Each is looked for among all fields.
    private static let mostNamed: UInt8 = 100

    /// Takes a `Content-Length`: once, digits only.
    ///
    /// A repeated length is refused even where it agrees.
    mutating func takeContentLength(_ value: UnsafeRawBufferPointer) throws(WireError) {
        guard contentLength == nil else { throw WireError("it has more than one Content-Length.") }
        guard !value.isEmpty else { throw WireError("its Content-Length is not a number.") }
        isLengthPadded = value.count > 1 && value[0] == UInt8(ascii: "0")
        var length = 0
        for byte in value {
            guard length < Self.farTooLong else { throw WireError("its Content-Length is too large.") }
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else {
                throw WireError("its Content-Length is not a number.")
            }
            length = length * 10 + Int(byte - UInt8(ascii: "0"))
        }
        contentLength = length
    }

    /// Takes a length that no field tells.
    mutating func takeLength(_ length: Int) { contentLength = length }

    /// Ten times this, and a digit, is still a number.
    private static let farTooLong = 100_000_000_000_000_000

    /// Takes a `Transfer-Encoding`: once, and exactly `chunked` (RFC 9112 §6.1).
    mutating func takeTransferEncoding(_ value: UnsafeRawBufferPointer) throws(WireError) {
        guard !isChunked else { throw WireError("it has more than one Transfer-Encoding.") }
        guard equalsIgnoringCase(value, "chunked") else {
            throw WireError("its Transfer-Encoding is not \"chunked\".", code: .notSupported)
        }
        isChunked = true
    }

    /// Takes a `Connection` field, a list of tokens.
    mutating func takeConnection(_ field: HeadField, in head: UnsafeRawBufferPointer) throws(WireError) {
        var members = ListMembers(Int(field.valueStart)..<Int(field.valueEnd), in: head)
        while let option = members.next() { try takeOption(option, in: head) }
    }

    private mutating func takeOption(_ range: Range<Int>, in head: UnsafeRawBufferPointer) throws(WireError) {
        let option = UnsafeRawBufferPointer(rebasing: head[range])
        guard !option.isEmpty else { return }
        if equalsIgnoringCase(option, "close") {
            hasClose = true
        } else if equalsIgnoringCase(option, "keep-alive") {
            hasKeepAlive = true
        } else if equalsIgnoringCase(option, "upgrade") {
            hasUpgrade = true
        } else {
            guard option.allSatisfy(ByteClass.isToken) else { throw WireError("its Connection lists no tokens.") }
            try refuseNaming(option)
            namesFields = true
            guard named < Self.mostNamed else {
                throw WireError("its Connection names too many fields.", code: .headTooLarge)
            }
            named += 1
        }
    }

    /// A field that all have to understand is nobody's private matter; without its length a body would be taken for the
    /// next message (RFC 9110 §7.6.1).
    private func refuseNaming(_ option: UnsafeRawBufferPointer) throws(WireError) {
        switch FieldName.recognise(option) {
        case .contentLength, .transferEncoding, .host: throw WireError("its Connection names what frames the message.")
        default: return
        }
    }

    /// Both a length and chunks: the classic request smuggling (RFC 9112 §6.1).
    func refuseBothFramings() throws(WireError) {
        if isChunked, contentLength != nil {
            throw WireError("it has both Content-Length and Transfer-Encoding.")
        }
    }
}
