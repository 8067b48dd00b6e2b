// SPDX-License-Identifier: Apache-2.0

/// What an answer's head says, as offsets into its bytes; checked against RFC 9110 and RFC 9112.
struct ResponseHead {
    /// 100 to 999, as sent.
    private(set) var status = 0
    /// The reason phrase, without the space before it; may be empty.
    private(set) var reason = 0..<0
    private(set) var isVersion10 = false
    private(set) var framing = BodyFraming.untilClose
    private(set) var options = FramingFields()
    private(set) var upgrade: Range<Int>?
    private(set) var hasDate = false
    /// Event streams and NDJSON: their deadline ends with the head (martlet-api "Deadlines").
    private(set) var isStream = false

    /// Whether the connection may be used again after this answer.
    var keepsAlive: Bool {
        framing != .untilClose && (isVersion10 ? options.hasKeepAlive : true) && !options.hasClose
    }

    /// An answer that another one follows (RFC 9110 §15.2).
    var isInterim: Bool { status < 200 && status != 101 }

    /// Reads the lines that a `HeadScanner` has found.
    init(
        _ startLine: Range<Int>,
        _ fields: ContiguousArray<HeadField>,
        in head: UnsafeRawBufferPointer,
        toHEAD: Bool
    ) throws(WireError) {
        try takeStatusLine(startLine, in: head)
        for field in fields where field.name != .other { try take(field, in: head) }
        try options.refuseBothFramings()
        framing = bodyFraming(toHEAD: toHEAD)
    }

    private mutating func takeStatusLine(_ line: Range<Int>, in head: UnsafeRawBufferPointer) throws(WireError) {
        let text = UnsafeRawBufferPointer(rebasing: head[line])
        guard text.count >= 12, begins(text, with: "HTTP/1."), text[8] == 0x20 else {
            throw WireError("its status line is not of HTTP/1.1.")
        }
        switch text[7] {
        // A later minor version is read as the latest that is known here (RFC 9110 §2.5).
        case UInt8(ascii: "1")...UInt8(ascii: "9"): isVersion10 = false
        case UInt8(ascii: "0"): isVersion10 = true
        default: throw WireError("its status line is not of HTTP/1.1.")
        }
        for byte in text[9..<12] {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else {
                throw WireError("its status is not three digits.")
            }
            status = status * 10 + Int(byte - UInt8(ascii: "0"))
        }
        guard status >= 100, text.count == 12 || text[12] == 0x20 else {
            throw WireError("its status is not three digits.")
        }
        reason = min(line.lowerBound + 13, line.upperBound)..<line.upperBound
        for byte in head[reason] where !ByteClass.isFieldValue(byte) {
            throw WireError("its reason has a control character.")
        }
    }

    @inline(__always)
    private mutating func take(_ field: HeadField, in head: UnsafeRawBufferPointer) throws(WireError) {
        switch field.name {
        case .contentLength: try options.takeContentLength(field.valueBytes(in: head))
        case .transferEncoding: try options.takeTransferEncoding(field.valueBytes(in: head))
        case .connection: try options.takeConnection(field, in: head)
        case .upgrade: upgrade = Int(field.valueStart)..<Int(field.valueEnd)
        case .date: hasDate = true
        case .contentType:
            let value = field.valueBytes(in: head)
            isStream = hasPrefix(value, "text/event-stream") || hasPrefix(value, "application/x-ndjson")
        default: break
        }
    }

    /// RFC 9112 §6.3.
    private func bodyFraming(toHEAD: Bool) -> BodyFraming {
        if toHEAD || status < 200 || status == 204 || status == 304 { return .none }
        if options.isChunked { return .chunked }
        guard let length = options.contentLength else { return .untilClose }
        return length == 0 ? .none : .length(length)
    }
}
