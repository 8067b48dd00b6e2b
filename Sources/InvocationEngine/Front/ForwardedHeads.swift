// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Writes the head that a function gets: the client's, without what ends at this hop, with what we add (contract §4,
/// §5.1; RFC 9110 §7.6).
///
/// Runs of unchanged lines are copied as they are.
struct ForwardedRequest {
    let role: EngineRole
    let head: RequestHead
    let facts: CallFacts
    let clientAddress: String
    /// What stands before the call's path.
    let pathPrefix: String
    /// Path and query behind the function's name.
    let rest: Range<Int>
    /// `Host` for a client that sent none (HTTP/1.0).
    let fallbackHost: String
    let userAgent: String

    func write(to out: inout ByteBuffer, from bytes: UnsafeRawBufferPointer, _ fields: ContiguousArray<HeadField>) {
        out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[head.methodRange]))
        out.writeInteger(UInt8(ascii: " "))
        if !pathPrefix.isEmpty { out.writeString(pathPrefix) }
        if rest.isEmpty || bytes[rest.lowerBound] != UInt8(ascii: "/") { out.writeInteger(UInt8(ascii: "/")) }
        out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[rest]))
        out.writeStaticString(" HTTP/1.1\r\n")
        out.copyRuns(of: fields, in: bytes) { keeps($0, in: bytes) }
        writeHost(to: &out, from: bytes)
        if role == .gateway {
            writeForwarding(to: &out, from: bytes)
            if !head.hasUserAgent { out.writeField("User-Agent", userAgent) }
            out.writeCallFacts(facts)
            out.writeNewTrace(facts.trace)
        }
        writeFraming(to: &out)
        if head.wantsUpgrade, let upgrade = head.upgrade {
            out.writeStaticString("Connection: Upgrade\r\nUpgrade: ")
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[upgrade]))
            out.writeStaticString("\r\n")
        }
        out.writeStaticString("\r\n")
    }

    /// A length passes as the client's own line, unless we had to count.
    @inline(__always)
    private func writeFraming(to out: inout ByteBuffer) {
        if head.framing == .chunked {
            out.writeStaticString("Transfer-Encoding: chunked\r\n")
        } else if head.needsLength {
            out.writeStaticString("Content-Length: ")
            if case .length(let length) = head.framing { out.writeDecimal(UInt64(length)) } else { out.writeDecimal(0) }
            out.writeStaticString("\r\n")
        }
    }

    @inline(__always)
    private func keeps(_ field: HeadField, in bytes: UnsafeRawBufferPointer) -> Bool {
        switch field.name {
        case .other, .accept, .contentLength, .contentType, .userAgent, .xForwardedHost, .xServedBy,
            .xDurationSeconds, .xTimeout:
            !head.options.names(field, in: bytes)
        case .xCallID, .xStartTime, .xForwardedFor:
            role == .watchdog && !head.options.names(field, in: bytes)
        case .traceParent, .traceState:
            (head.traceParent != nil || role == .watchdog) && !head.options.names(field, in: bytes)
        case .host:
            !head.hasAbsoluteTarget
        default:
            false
        }
    }

    /// The authority of an absolute target replaces `Host` (RFC 9112 §3.2.2).
    private func writeHost(to out: inout ByteBuffer, from bytes: UnsafeRawBufferPointer) {
        if head.hasAbsoluteTarget {
            out.writeStaticString("Host: ")
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[head.host]))
            out.writeStaticString("\r\n")
        } else if head.host.isEmpty, head.isVersion10 {
            out.writeField("Host", fallbackHost)
        }
    }

    /// `X-Forwarded-For` is appended to (contract §28); `X-Forwarded-Host` is the client's `Host` unless it is there.
    private func writeForwarding(to out: inout ByteBuffer, from bytes: UnsafeRawBufferPointer) {
        out.writeStaticString("X-Forwarded-For: ")
        for value in head.forwardedFor where !value.isEmpty {
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[value]))
            out.writeStaticString(", ")
        }
        out.writeString(clientAddress)
        out.writeStaticString("\r\n")
        guard !head.hasForwardedHost, !head.host.isEmpty else { return }
        out.writeStaticString("X-Forwarded-Host: ")
        out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[head.host]))
        out.writeStaticString("\r\n")
    }
}

/// Writes the head that a client gets of a function's answer.
struct ForwardedResponse {
    let role: EngineRole
    let head: ResponseHead
    let facts: CallFacts
    let servedBy: String
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
        writeStatusLine(to: &out, from: bytes)
        out.copyRuns(of: fields, in: bytes) { keeps($0, in: bytes) }
        if role == .gateway {
            out.writeCallFacts(facts)
            out.writeField("X-Served-By", servedBy)
        }
        out.writeStaticString("X-Duration-Seconds: ")
        out.writeSeconds(nanoseconds: now.uptimeNanoseconds &- facts.begun.uptimeNanoseconds)
        out.writeStaticString("\r\n")
        if framing == .chunked { out.writeStaticString("Transfer-Encoding: chunked\r\n") }
        out.writeConnection(connection)
        if connection == .upgrade, let upgrade = head.upgrade {
            out.writeStaticString("Upgrade: ")
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[upgrade]))
            out.writeStaticString("\r\n")
        }
        out.writeStaticString("\r\n")
    }

    /// An interim answer passes with its own fields only (RFC 9110 §15.2).
    func writeInterim(
        to out: inout ByteBuffer,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        writeStatusLine(to: &out, from: bytes)
        out.copyRuns(of: fields, in: bytes) { keeps($0, in: bytes) && $0.name != .contentLength }
        out.writeStaticString("\r\n")
    }

    private func writeStatusLine(to out: inout ByteBuffer, from bytes: UnsafeRawBufferPointer) {
        out.writeStaticString("HTTP/1.1 ")
        out.writeDecimal(UInt64(head.status))
        out.writeInteger(UInt8(ascii: " "))
        out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[head.reason]))
        out.writeStaticString("\r\n")
    }

    @inline(__always)
    private func keeps(_ field: HeadField, in bytes: UnsafeRawBufferPointer) -> Bool {
        switch field.name {
        case .xDurationSeconds: false
        case .xCallID, .xStartTime, .xServedBy: role == .watchdog && !head.options.names(field, in: bytes)
        default: !field.name.endsAtHop && !head.options.names(field, in: bytes)
        }
    }
}

extension ByteBuffer {
    /// Copies the field lines to be kept, neighbouring ones in one go.
    @inline(__always)
    mutating func copyRuns(
        of fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer,
        keeping keeps: (HeadField) -> Bool
    ) {
        var start = 0
        var end = 0
        for field in fields where keeps(field) {
            if Int(field.nameStart) != end {
                if end > start { writeBytes(UnsafeRawBufferPointer(rebasing: bytes[start..<end])) }
                start = Int(field.nameStart)
            }
            end = Int(field.lineEnd)
        }
        if end > start { writeBytes(UnsafeRawBufferPointer(rebasing: bytes[start..<end])) }
    }

    mutating func writeField(_ name: StaticString, _ value: String) {
        writeStaticString(name)
        writeStaticString(": ")
        writeString(value)
        writeStaticString("\r\n")
    }

    mutating func writeCallFacts(_ facts: CallFacts) {
        guard facts.callID.readableBytes > 0 else { return }
        writeStaticString("X-Call-Id: ")
        writeImmutableBuffer(facts.callID)
        writeStaticString("\r\nX-Start-Time: ")
        writeDecimal(facts.startTime)
        writeStaticString("\r\n")
    }

    mutating func writeConnection(_ option: ForwardedResponse.ConnectionOption) {
        switch option {
        case .keep: break
        case .keepExplicitly: writeStaticString("Connection: keep-alive\r\n")
        case .close: writeStaticString("Connection: close\r\n")
        case .upgrade: writeStaticString("Connection: Upgrade\r\n")
        }
    }
}
