// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// Takes the chunks of a message apart, strictly (RFC 9112 §7.1).
package struct ChunkedDecoder {
    /// What was found next.
    package enum Event: Equatable {
        /// A piece of the content, never empty.
        case data(ByteBuffer)
        /// The end, with the trailer section's checked lines, each with its CR LF; nil when there are none.
        case end(trailers: ByteBuffer?)
    }

    private enum State {
        case size
        case data(Int)
        case dataEnd
        case trailers
        case done
    }

    private var state = State.size
    private var trailers: ByteBuffer?
    private var extensionBytes = 0
    /// Extensions are allowed and ignored, but not as a way to send megabytes past every limit.
    private static let maxExtensionBytes = 4096
    private static let maxTrailerBytes = 16_384

    package init() {}

    /// Consumes what it can; nil when more bytes are needed.
    package mutating func next(_ buffer: inout ByteBuffer) throws(WireError) -> Event? {
        while true {
            switch state {
            case .size:
                guard let line = try takeLine(&buffer, limit: 4096) else { return nil }
                let size = try chunkSize(line)
                state = size == 0 ? .trailers : .data(size)
            case .data(let left):
                guard let piece = buffer.readSlice(length: min(left, buffer.readableBytes)), piece.readableBytes > 0
                else { return nil }
                state = piece.readableBytes == left ? .dataEnd : .data(left - piece.readableBytes)
                return .data(piece)
            case .dataEnd:
                guard try takeChunkEnd(&buffer) else { return nil }
                state = .size
            case .trailers:
                guard let line = try takeLine(&buffer, limit: Self.maxTrailerBytes) else { return nil }
                guard line.readableBytes == 0 else {
                    try takeTrailer(line)
                    continue
                }
                state = .done
                return .end(trailers: trailers)
            case .done:
                return nil
            }
        }
    }

    /// A line without its CR LF; nil when it is not complete.
    private func takeLine(_ buffer: inout ByteBuffer, limit: Int) throws(WireError) -> ByteBuffer? {
        let view = buffer.readableBytesView.prefix(limit + 2)
        guard let newline = view.firstIndex(of: 0x0A) else {
            guard buffer.readableBytes <= limit else { throw WireError("a line of its chunks is too long.") }
            return nil
        }
        let length = newline - view.startIndex
        guard length > 0, view[newline - 1] == 0x0D, let line = buffer.readSlice(length: length - 1) else {
            throw WireError("a line of its chunks does not end with CR LF.")
        }
        buffer.moveReaderIndex(forwardBy: 2)
        return line
    }

    private mutating func chunkSize(_ line: ByteBuffer) throws(WireError) -> Int {
        var size = 0
        var digits = 0
        for byte in line.readableBytesView {
            guard let value = ByteClass.hexValue(byte) else { break }
            guard size < 1 << 56 else { throw WireError("a chunk's size is too large.") }
            size = size << 4 | value
            digits += 1
        }
        guard digits > 0 else { throw WireError("a chunk's size is not hexadecimal.") }
        try checkExtension(line.readableBytesView.dropFirst(digits))
        return size
    }

    private mutating func checkExtension(_ rest: ByteBufferView.SubSequence) throws(WireError) {
        guard !rest.isEmpty else { return }
        // White space may stand before an extension (RFC 9112 §7.1.1), and nowhere else.
        let mark = rest.first { $0 != 0x20 && $0 != 0x09 }
        guard mark == UInt8(ascii: ";") else { throw WireError("a chunk's size is followed by something else.") }
        extensionBytes += rest.count
        guard extensionBytes <= Self.maxExtensionBytes else { throw WireError("its chunk extensions are too long.") }
        guard rest.allSatisfy(ByteClass.isFieldValue) else {
            throw WireError("a chunk extension has a control character.")
        }
    }

    private func takeChunkEnd(_ buffer: inout ByteBuffer) throws(WireError) -> Bool {
        let end = buffer.readableBytesView.prefix(2)
        guard end.first == nil || end.first == 0x0D, end.count < 2 || end.last == 0x0A else {
            throw WireError("a chunk is longer than its size says.")
        }
        guard end.count == 2 else { return false }
        buffer.moveReaderIndex(forwardBy: 2)
        return true
    }

    /// Keeps a trailer field unless it is one that must not come late (RFC 9110 §6.5.1).
    private mutating func takeTrailer(_ line: ByteBuffer) throws(WireError) {
        let field = try line.withBytes { bytes throws(WireError) in
            try HeadScanner.field(0..<bytes.count, in: bytes)
        }
        var kept = trailers ?? ByteBuffer()
        guard kept.readableBytes + line.readableBytes <= Self.maxTrailerBytes else {
            throw WireError("its trailers are too large.")
        }
        guard field.name == .other else { return }
        kept.writeImmutableBuffer(line)
        kept.writeStaticString("\r\n")
        trailers = kept
    }
}

/// Takes a body off a connection by its framing.
struct BodyDecoder {
    private enum State {
        case length(Int)
        case chunked(ChunkedDecoder)
        case untilClose
        case done
    }

    private var state: State
    /// Whether the end was seen; a body until the close never knows.
    private(set) var isDone: Bool

    init(_ framing: BodyFraming) {
        switch framing {
        case .none: (state, isDone) = (.done, true)
        case .length(let length): (state, isDone) = (.length(length), false)
        case .chunked: (state, isDone) = (.chunked(ChunkedDecoder()), false)
        case .untilClose: (state, isDone) = (.untilClose, false)
        }
    }

    /// Whether the body ends only with the connection.
    var endsWithConnection: Bool {
        if case .untilClose = state { true } else { false }
    }

    /// Consumes what it can of the body and nothing behind it; nil when more bytes are needed.
    mutating func next(_ buffer: inout ByteBuffer) throws(WireError) -> ChunkedDecoder.Event? {
        switch state {
        case .length(let left):
            guard left > 0 else { return finish() }
            guard buffer.readableBytes > 0, let piece = buffer.readSlice(length: min(left, buffer.readableBytes))
            else { return nil }
            state = .length(left - piece.readableBytes)
            return .data(piece)
        case .chunked(var decoder):
            // Taken out while it works, so that its trailers are not copied.
            state = .done
            let event = try decoder.next(&buffer)
            if case .end = event { isDone = true } else { state = .chunked(decoder) }
            return event
        case .untilClose:
            guard buffer.readableBytes > 0 else { return nil }
            return buffer.readSlice(length: buffer.readableBytes).map { .data($0) }
        case .done:
            return nil
        }
    }

    private mutating func finish() -> ChunkedDecoder.Event {
        state = .done
        isDone = true
        return .end(trailers: nil)
    }
}
