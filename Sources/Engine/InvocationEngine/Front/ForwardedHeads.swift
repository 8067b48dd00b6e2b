// SPDX-License-Identifier: Apache-2.0

import NIOCore
import ProviderContract

/// Writes the head that a function gets: the client's, without what ends at this hop, with what we add (contract §4,
/// §5.1; RFC 9110 §7.6).
///
/// Runs of unchanged lines are copied as they are.
struct ForwardedRequest {
    let role: EngineRole
    let head: RequestHead
    let facts: CallFacts
    let clientAddress: String
    /// Path and query behind the function's name.
    let rest: Range<Int>
    /// Where it goes; `Host` for a client that sent none (HTTP/1.0).
    let replica: LocalReplica
    let userAgent: String

    func write(to out: inout ByteBuffer, from bytes: UnsafeRawBufferPointer, _ fields: ContiguousArray<HeadField>) {
        // Everything of the head once, `Host` once more, and what is ours.
        let strings = (replica.server?.room ?? 0) + clientAddress.utf8.count + userAgent.utf8.count
        out.writeHead(atMost: 2 * bytes.count + strings + facts.room + 512) { write(to: &$0, from: bytes, fields) }
    }

    @inline(__always)
    private func write(
        to out: inout HeadWriter,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        out.write(bytes, head.methodRange)
        out.write(byte: UInt8(ascii: " "))
        if let prefix = replica.server?.pathPrefix, !prefix.isEmpty { out.writeString(prefix) }
        if rest.isEmpty || bytes[rest.lowerBound] != UInt8(ascii: "/") { out.write(byte: UInt8(ascii: "/")) }
        out.write(bytes, rest)
        out.write(" HTTP/1.1\r\n")
        if let added = replica.server?.added {
            writeFields(to: &out, from: bytes, fields, adding: added)
        } else {
            out.copyRuns(of: fields, in: bytes) { keeps($0) }
            writeHost(to: &out, from: bytes)
        }
        if role == .gateway {
            writeForwarding(to: &out, from: bytes, fields)
            if !head.hasUserAgent { out.writeField("User-Agent", userAgent) }
            out.write(facts)
            out.writeNewTrace(facts.trace)
        }
        writeFraming(to: &out)
        if head.wantsUpgrade, let upgrade = head.upgrade {
            out.write("Connection: Upgrade\r\nUpgrade: ")
            out.writeOffers(upgrade, in: bytes)
            out.write("\r\n")
        }
        out.write("\r\n")
    }

    /// Fields of ours stand in for the client's of the same names.
    @inline(never)
    private func writeFields(
        to out: inout HeadWriter,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>,
        adding added: AddedFields
    ) {
        out.copyRuns(of: fields, in: bytes) { keeps($0) && !added.replace($0.nameBytes(in: bytes)) }
        if !added.replaceHost { writeHost(to: &out, from: bytes) }
        out.writeString(added.lines)
    }

    /// A length passes as the client's own line, unless we had to count.
    @inline(__always)
    private func writeFraming(to out: inout HeadWriter) {
        if head.framing == .chunked {
            out.write("Transfer-Encoding: chunked\r\n")
        } else if head.needsLength {
            out.write("Content-Length: ")
            if case .length(let length) = head.framing { out.writeDecimal(UInt64(length)) } else { out.writeDecimal(0) }
            out.write("\r\n")
        }
    }

    @inline(__always)
    private func keeps(_ field: HeadField) -> Bool {
        switch field.name {
        case .other, .accept, .contentType, .date, .userAgent, .xForwardedHost, .xServedBy,
            .xDurationSeconds, .xTimeout:
            true
        case .contentLength:
            !head.needsLength
        case .xCallID, .xStartTime, .xForwardedFor:
            role == .watchdog
        case .traceParent, .traceState:
            head.traceParent != nil || role == .watchdog
        case .host:
            !head.hasAbsoluteTarget
        default:
            false
        }
    }

    /// The authority of an absolute target replaces `Host` (RFC 9112 §3.2.2).
    private func writeHost(to out: inout HeadWriter, from bytes: UnsafeRawBufferPointer) {
        if head.hasAbsoluteTarget {
            out.write("Host: ")
            out.write(bytes, head.host)
            out.write("\r\n")
        } else if head.host.isEmpty, head.isVersion10, let server = replica.server {
            out.writeField("Host", server.host)
        }
    }

    /// `X-Forwarded-For` is appended to (contract §28); `X-Forwarded-Host` is the client's `Host` unless it is there.
    private func writeForwarding(
        to out: inout HeadWriter,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        out.write("X-Forwarded-For: ")
        for field in fields where field.name == .xForwardedFor && field.valueEnd > field.valueStart {
            out.write(field.valueBytes(in: bytes))
            out.write(", ")
        }
        out.writeString(clientAddress)
        out.write("\r\n")
        guard !head.hasForwardedHost, !head.host.isEmpty else { return }
        out.write("X-Forwarded-Host: ")
        out.write(bytes, head.host)
        out.write("\r\n")
    }
}

/// Writes the head that a client gets of a function's answer.
struct ForwardedResponse {
    let role: EngineRole
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
        if role == .gateway {
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
        case .xCallID, .xStartTime, .xServedBy: role == .watchdog
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
