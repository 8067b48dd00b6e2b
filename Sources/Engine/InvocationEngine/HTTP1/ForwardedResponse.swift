// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Writes the head that a client gets of a function's answer.
struct ForwardedResponse {
    /// Whether what tells of a call is ours to say (`EngineProfile`).
    let identifiesCalls: Bool
    let head: ResponseHead
    let facts: CallFacts
    let servedBy: String
    /// For an answer without one of its own.
    let date: DateLine
    /// How the client learns where the body ends.
    let framing: BodyFraming
    let connection: ConnectionOption

    /// What `Connection` says to the client.
    enum ConnectionOption {
        case keep
        case keepExplicitly
        case close
        case upgrade
    }

    func write(
        to out: inout ByteBuffer,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>,
        now: NIODeadline
    ) {
        let most = 2 * bytes.count + servedBy.utf8.count + facts.room + 320
        out.writeHead(atMost: most) { write(to: &$0, from: bytes, fields, now: now) }
    }

    @inline(__always)
    private func write(
        to out: inout HeadWriter,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>,
        now: NIODeadline
    ) {
        writeStatusLine(to: &out, from: bytes)
        out.copyRuns(of: fields, in: bytes) { keeps($0) }
        if identifiesCalls {
            out.write(facts)
            out.writeField("X-Served-By", servedBy)
        }
        if !head.hasDate { out.write(date) }
        out.write("X-Duration-Seconds: ")
        out.writeSeconds(nanoseconds: now.uptimeNanoseconds &- facts.begun.uptimeNanoseconds)
        out.write("\r\n")
        if framing == .chunked { out.write("Transfer-Encoding: chunked\r\n") }
        if head.options.isLengthPadded, let length = head.options.contentLength {
            out.write("Content-Length: ")
            out.writeDecimal(UInt64(length))
            out.write("\r\n")
        }
        out.write(connection)
        if connection == .upgrade, let upgrade = head.upgrade {
            out.write("Upgrade: ")
            out.write(bytes, upgrade)
            out.write("\r\n")
        }
        out.write("\r\n")
    }

    /// An interim answer passes with its own fields only (RFC 9110 §15.2).
    func writeInterim(
        to out: inout ByteBuffer,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        out.writeHead(atMost: bytes.count + 128) { out in
            writeStatusLine(to: &out, from: bytes)
            out.copyRuns(of: fields, in: bytes) { keeps($0) && $0.name != .contentLength }
            if !head.hasDate { out.write(date) }
            out.write("\r\n")
        }
    }

    private func writeStatusLine(to out: inout HeadWriter, from bytes: UnsafeRawBufferPointer) {
        out.write("HTTP/1.1 ")
        out.writeDecimal(UInt64(head.status))
        out.write(byte: UInt8(ascii: " "))
        out.write(bytes, head.reason)
        out.write("\r\n")
    }

    @inline(__always)
    private func keeps(_ field: HeadField) -> Bool {
        switch field.name {
        case .xDurationSeconds: false
        case .contentLength: !head.options.isLengthPadded
        case .xCallID, .xStartTime, .xServedBy: !identifiesCalls
        default: !field.name.endsAtHop
        }
    }
}

extension HeadWriter {
    mutating func write(_ option: ForwardedResponse.ConnectionOption) {
        switch option {
        case .keep: break
        case .keepExplicitly: write("Connection: keep-alive\r\n")
        case .close: write("Connection: close\r\n")
        case .upgrade: write("Connection: Upgrade\r\n")
        }
    }
}
