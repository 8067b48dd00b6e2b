// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// How a client's body is had and its answer goes out by HTTP/1.1: framing, and what comes after the answer.
extension HTTP1Connection {
    // MARK: Heads

    /// Writes the head of a function's answer.
    func writeHead(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        lastActivity = loopContext.now
        answerFraming = clientFraming(answer.framing)
        let forwarded = forwarded(answer, framing: answerFraming, connection: connectionOption)
        forwarded.write(to: &writeBuffer.bytes, from: bytes, fields, now: loopContext.now)
    }

    func writeInterim(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        forwarded(answer, framing: .none, connection: .keep).writeInterim(to: &writeBuffer.bytes, from: bytes, fields)
    }

    @inline(__always)
    private func forwarded(
        _ answer: ResponseHead,
        framing: BodyFraming,
        connection: ForwardedResponse.ConnectionOption
    ) -> ForwardedResponse {
        ForwardedResponse(
            identifiesCalls: profile.identifiesCalls,
            head: answer,
            facts: facts,
            servedBy: loopContext.servedBy,
            date: loopContext.date,
            framing: framing,
            connection: connection
        )
    }

    /// Writes the head of an answer made here.
    func writeHead(status: Int, framing: BodyFraming, fields: (inout ByteBuffer) -> Void) {
        lastActivity = loopContext.now
        answerFraming = clientFraming(framing)
        let connection = connectionOption
        writeBuffer.bytes.writeHead(atMost: 64) { out in
            out.write("HTTP/1.1 ")
            out.writeDecimal(UInt64(status))
            out.write(byte: UInt8(ascii: " "))
            out.writeString(ReasonPhrase.of(status))
            out.write("\r\n")
        }
        fields(&writeBuffer.bytes)
        let servedBy = loopContext.servedBy
        writeBuffer.bytes.writeHead(atMost: facts.room + servedBy.utf8.count + 256) { out in
            out.write(loopContext.date)
            if profile.identifiesCalls {
                out.write(facts)
                out.writeField("X-Served-By", servedBy)
            }
            // Whoever answers a call, and however it ended (contract §5.1).
            if entry != nil {
                out.write("X-Duration-Seconds: ")
                out.writeSeconds(nanoseconds: loopContext.now.uptimeNanoseconds &- facts.begun.uptimeNanoseconds)
                out.write("\r\n")
            }
            if case .length(let length) = answerFraming {
                out.write("Content-Length: ")
                out.writeDecimal(UInt64(length))
                out.write("\r\n")
            } else if answerFraming == .chunked {
                out.write("Transfer-Encoding: chunked\r\n")
            }
            out.write(connection)
            out.write("\r\n")
        }
    }

    /// A body of unknown length goes chunked to HTTP/1.1 and until the close to HTTP/1.0.
    private func clientFraming(_ framing: BodyFraming) -> BodyFraming {
        switch framing {
        case .none, .length: return framing
        case .chunked, .untilClose:
            guard head?.isVersion10 == true else { return .chunked }
            mustClose = true
            return .untilClose
        }
    }

    private var connectionOption: ForwardedResponse.ConnectionOption {
        if mustClose || isDraining {
            mustClose = true
            return .close
        }
        return head?.isVersion10 == true ? .keepExplicitly : .keep
    }

    // MARK: Bodies

    func writeBody(_ piece: ByteBuffer) {
        lastActivity = loopContext.now
        let isChunked = answerFraming == .chunked && phase != .tunnel
        if isChunked { writeBuffer.bytes.writeChunkSize(piece.readableBytes) }
        writeBuffer.write(piece)
        if isChunked { writeBuffer.bytes.writeStaticString("\r\n") }
    }

    func writeEnd(trailers: ByteBuffer?) {
        guard answerFraming == .chunked, head?.method != .head else { return }
        writeBuffer.bytes.writeStaticString("0\r\n")
        if let trailers { writeBuffer.bytes.writeImmutableBuffer(trailers) }
        writeBuffer.bytes.writeStaticString("\r\n")
    }

    // MARK: Answers made here

    func writeFault(_ fault: PlatformFault, fields: [(name: StaticString, value: String)]) {
        // What follows a head that cannot be parsed cannot be found: the connection ends.
        if head == nil || fault.code == .malformedRequest || fault.code == .methodNotAllowed { mustClose = true }
        if !body.isDone { mustClose = true }
        let answer = FaultAnswer(fault, further: fields, of: self)
        writeHead(status: state.status, framing: .length(answer.text.utf8.count)) { answer.writeFields(to: &$0) }
        if head?.method != .head { answerBytes += writeBuffer.bytes.writeString(answer.text) }
    }

    /// Answers with a short text.
    func answerPlainly(status: Int, fields: [(name: StaticString, value: String)], body text: String) {
        answerHead(status: status, framing: .length(text.utf8.count)) { out in
            for (name, value) in fields { out.writeField(name, value) }
        }
        if head?.method != .head { writeBuffer.bytes.writeString(text) }
        answerEnded(trailers: nil)
    }

    // MARK: After the answer

    func goOn() {
        lastActivity = loopContext.now
        guard phase != .closed else { return }
        if answerFraming == .untilClose || bodyIsLost || mustClose && body.isDone { return linger() }
        if body.isDone {
            awaitRequest()
        } else {
            phase = .discarding
            bodyLeft = Self.mostToDiscard
            loopContext.timers.set(timer, at: lastActivity + .seconds(10))
        }
        resume()
    }

    /// Goes on with what has come behind the request, from a fresh stack: a client may pipeline thousands.
    private func resume() {
        guard phase == .idle || phase == .discarding else { return }
        guard buffer.readableBytes > 0 || phase == .discarding else { return read() }
        let connection = NIOLoopBound(self, eventLoop: loopContext.loop)
        loopContext.loop.execute {
            guard connection.value.phase == .idle || connection.value.phase == .discarding else { return }
            connection.value.advance()
        }
    }

    /// Of a body that nobody wants any more.
    ///
    /// Many clients read an answer only when they have sent their whole request, and take an earlier end of the
    /// connection for a failure.
    private static var mostToDiscard: Int { 64 * 1_048_576 }

    // MARK: Tunnel

    /// From here on bytes go both ways untouched.
    func beginTunnel(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        let now = loopContext.now
        lastActivity = now
        answerFraming = .none
        forwarded(answer, framing: .none, connection: .upgrade)
            .write(to: &writeBuffer.bytes, from: bytes, fields, now: now)
        flushAnswer()
        phase = .tunnel
        forgetTunnelHead()
        loopContext.timers.set(timer, at: now + min(loopContext.limits.streamIdle, Self.restsAfter))
        feedTunnel()
    }

    /// Hands over what the client sent on an upgraded connection.
    func feedTunnel() {
        guard let origin, phase == .tunnel else { return }
        if buffer.readableBytes > 0, origin.isWritable {
            origin.takeBody(buffer)
            buffer = ByteBuffer()
            origin.flush()
        }
        if origin.isWritable { read() }
    }
}
