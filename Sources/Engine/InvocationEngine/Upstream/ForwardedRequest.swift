// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Writes the head that a function gets: the client's, without what ends at this hop, with what we add (contract §4,
/// §5.1; RFC 9110 §7.6).
///
/// Runs of unchanged lines are copied as they are.
struct ForwardedRequest {
    /// Whether what tells of a call is ours to say (`EngineProfile`).
    let identifiesCalls: Bool
    let head: RequestHead
    let facts: CallFacts
    let clientAddress: String
    /// Path and query behind the function's name.
    let rest: Range<Int>
    /// Where it goes; `Host` for a client that sent none (HTTP/1.0).
    let server: UpstreamServer
    let userAgent: String

    func write(to out: inout ByteBuffer, from bytes: UnsafeRawBufferPointer, _ fields: ContiguousArray<HeadField>) {
        // Everything of the head once, `Host` once more, and what is ours.
        let strings = server.room + clientAddress.utf8.count + userAgent.utf8.count
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
        if !server.pathPrefix.isEmpty { out.writeString(server.pathPrefix) }
        if rest.isEmpty || bytes[rest.lowerBound] != UInt8(ascii: "/") { out.write(byte: UInt8(ascii: "/")) }
        out.write(bytes, rest)
        out.write(" HTTP/1.1\r\n")
        if let added = server.added {
            writeFields(to: &out, from: bytes, fields, adding: added)
        } else {
            out.copyRuns(of: fields, in: bytes) { keeps($0) }
            writeHost(to: &out, from: bytes)
        }
        if identifiesCalls {
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
            !identifiesCalls
        case .traceParent, .traceState:
            head.traceParent != nil || !identifiesCalls
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
        } else if head.host.isEmpty, head.isVersion10 {
            out.writeField("Host", server.host)
        }
    }

    /// `X-Forwarded-For` is appended to (contract §28), but by a client without an address, on a socket in the file system;
    /// `X-Forwarded-Host` is the client's `Host` unless it is there.
    private func writeForwarding(
        to out: inout HeadWriter,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        if clientAddress.isEmpty {
            writeAddressesTold(to: &out, from: bytes, fields)
        } else {
            out.write("X-Forwarded-For: ")
            for field in fields where field.name == .xForwardedFor && field.valueEnd > field.valueStart {
                out.write(field.valueBytes(in: bytes))
                out.write(", ")
            }
            out.writeString(clientAddress)
            out.write("\r\n")
        }
        guard !head.hasForwardedHost, !head.host.isEmpty else { return }
        out.write("X-Forwarded-Host: ")
        out.write(bytes, head.host)
        out.write("\r\n")
    }

    /// The addresses that a client has told, and nothing where it told none.
    @inline(never)
    private func writeAddressesTold(
        to out: inout HeadWriter,
        from bytes: UnsafeRawBufferPointer,
        _ fields: ContiguousArray<HeadField>
    ) {
        var mark: StaticString = "X-Forwarded-For: "
        for field in fields where field.name == .xForwardedFor && field.valueEnd > field.valueStart {
            out.write(mark)
            out.write(field.valueBytes(in: bytes))
            mark = ", "
        }
        if mark.utf8CodeUnitCount == 2 { out.write("\r\n") }
    }
}

extension ForwardedRequest {
    init(_ exchange: Exchange, _ head: RequestHead, _ server: UpstreamServer) {
        self.init(
            identifiesCalls: exchange.profile.identifiesCalls,
            head: head,
            facts: exchange.facts,
            clientAddress: exchange.clientAddress,
            rest: exchange.rest,
            server: server,
            userAgent: exchange.loopContext.servedBy
        )
    }
}
