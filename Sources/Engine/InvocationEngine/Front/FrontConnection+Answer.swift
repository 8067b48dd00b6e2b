// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// Writing answers: a function's, a local responder's, and our own faults.
extension FrontConnection {
    /// Whether the client has room for more of an answer.
    var canTakeAnswer: Bool { hasRoom }

    // MARK: A function's answer over HTTP

    /// Writes the head of a function's answer.
    func answerHead(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        noteHead(status: answer.status, framing: clientFraming(answer.framing), isStream: answer.isStream)
        if let directCaller {
            return directCaller.takeHead(answer.status, fields, in: bytes)
        }
        let forwarded = ForwardedResponse(
            role: role,
            head: answer,
            facts: facts,
            servedBy: loopContext.settings.servedBy,
            date: loopContext.date,
            framing: answerFraming,
            connection: connectionOption
        )
        forwarded.write(to: &writeBuffer.bytes, from: bytes, fields, now: loopContext.now)
    }

    /// Passes an interim answer on (103 and its like), which HTTP/1.0 does not know.
    func answerInterim(
        _ answer: ResponseHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer
    ) {
        guard head?.isVersion10 == false, directCaller == nil else { return }
        let forwarded = ForwardedResponse(
            role: role,
            head: answer,
            facts: facts,
            servedBy: loopContext.settings.servedBy,
            date: loopContext.date,
            framing: .none,
            connection: .keep
        )
        forwarded.writeInterim(to: &writeBuffer.bytes, from: bytes, fields)
    }

    /// Passes a 101 on; from here on bytes go both ways untouched (RFC 9110 §7.8).
    func answerUpgrade(
        _ answer: ResponseHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer
    ) {
        noteHead(status: answer.status, framing: .none, isStream: true)
        let forwarded = ForwardedResponse(
            role: role,
            head: answer,
            facts: facts,
            servedBy: loopContext.settings.servedBy,
            date: loopContext.date,
            framing: .none,
            connection: .upgrade
        )
        let now = loopContext.now
        forwarded.write(to: &writeBuffer.bytes, from: bytes, fields, now: now)
        flushAnswer()
        phase = .tunnel
        forgetTunnelHead()
        loopContext.timers.set(timer, at: now + min(loopContext.limits.streamIdle, Self.restsAfter))
        feedTunnel()
    }

    // MARK: Any answer

    /// Writes the head of an answer made here.
    func answerHead(status: Int, framing: BodyFraming, isStream: Bool = false, fields: (inout ByteBuffer) -> Void) {
        // Whoever answers here may have been at it for a while; what comes from a function was read just now.
        loopContext.readClock()
        let wireFraming = clientFraming(framing)
        noteHead(status: status, framing: wireFraming, isStream: isStream)
        let connection = connectionOption
        writeBuffer.bytes.writeHead(atMost: 64) { out in
            out.write("HTTP/1.1 ")
            out.writeDecimal(UInt64(status))
            out.write(byte: UInt8(ascii: " "))
            out.writeString(ReasonPhrase.of(status))
            out.write("\r\n")
        }
        fields(&writeBuffer.bytes)
        let servedBy = loopContext.settings.servedBy
        writeBuffer.bytes.writeHead(atMost: facts.room + servedBy.utf8.count + 256) { out in
            // What the platform calls itself is kept, not sent.
            if directCaller == nil { out.write(loopContext.date) }
            if role == .gateway {
                out.write(facts)
                out.writeField("X-Served-By", servedBy)
            }
            // Whoever answers a call, and however it ended (contract §5.1).
            if entry != nil {
                out.write("X-Duration-Seconds: ")
                out.writeSeconds(nanoseconds: loopContext.now.uptimeNanoseconds &- facts.begun.uptimeNanoseconds)
                out.write("\r\n")
            }
            if case .length(let length) = wireFraming {
                out.write("Content-Length: ")
                out.writeDecimal(UInt64(length))
                out.write("\r\n")
            } else if wireFraming == .chunked {
                out.write("Transfer-Encoding: chunked\r\n")
            }
            out.write(connection)
            out.write("\r\n")
        }
    }

    /// Writes a piece of the body.
    ///
    /// Small ones are gathered until the origin's next flush.
    func answerBody(_ piece: ByteBuffer) {
        lastActivity = loopContext.now
        guard head?.method != .head || phase == .tunnel else { return }
        answerBytes += piece.readableBytes
        if let directCaller, directCaller.takesPieces { return directCaller.takeBody(piece) }
        let isChunked = answerFraming == .chunked && phase != .tunnel
        if isChunked { writeBuffer.bytes.writeChunkSize(piece.readableBytes) }
        writeBuffer.write(piece)
        if isChunked { writeBuffer.bytes.writeStaticString("\r\n") }
    }

    /// The answer is complete.
    func answerEnded(trailers: ByteBuffer?) {
        if let directCaller, directCaller.takesPieces {
            directCaller.endBody()
        } else if answerFraming == .chunked, head?.method != .head {
            writeBuffer.bytes.writeStaticString("0\r\n")
            if let trailers { writeBuffer.bytes.writeImmutableBuffer(trailers) }
            writeBuffer.bytes.writeStaticString("\r\n")
        }
        finishExchange()
    }

    /// The answer broke off: the client must not take it for a whole one.
    func answerBroke() {
        flushAnswer()
        endCall(status: answerStatus)
        close()
    }

    /// The origin failed; told if nothing of an answer is out.
    func failed(_ fault: PlatformFault) {
        origin = nil
        if answerStatus == 0 { refuse(fault) } else { answerBroke() }
    }

    /// Sends what was gathered.
    func flushAnswer() {
        guard let directCaller else { return writeBuffer.flush() }
        if writeBuffer.bytes.readableBytes > 0 { directCaller.take(writeBuffer.takeBytes()) }
    }

    // MARK: Faults

    /// Answers a request with a fault and ends the call; `allow` is the whole line of a 405 (RFC 9110 §15.5.6).
    func refuse(_ fault: PlatformFault, allow: StaticString = "", fields: [(name: StaticString, value: String)] = []) {
        let abandoned = origin
        origin = nil
        abandoned?.abandon()
        directCaller?.note(fault)
        // OpenFaaS' watchdog speaks text alone, and its limiter's words are compared (contract §15.6).
        let isJSON = role == .gateway && head?.acceptsJSON == true
        let text = isJSON ? fault.jsonBody : fault.textBody
        let isLimiter = fault.code == .tooManyCalls
        let type = isJSON ? "application/json" : isLimiter ? "text/plain" : "text/plain; charset=utf-8"
        // What follows a head that cannot be parsed cannot be found: the connection ends.
        if head == nil || fault.code == .malformedRequest || fault.code == .methodNotAllowed { mustClose = true }
        if !body.isDone { mustClose = true }
        let row = FaultTable.row(for: fault.code)
        let status = role == .watchdog ? row.watchdogStatus : row.status
        let component = isLimiter || role == .gateway ? fault.internalHeaderValue : "of-watchdog"
        answerHead(status: status, framing: .length(text.utf8.count)) { out in
            out.writeField("Content-Type", type)
            out.writeStaticString("X-Content-Type-Options: nosniff\r\n")
            out.writeField("X-OpenFaaS-Internal", component)
            out.writeStaticString(allow)
            for (name, value) in fields { out.writeField(name, value) }
            if let seconds = fault.retryAfterSeconds { out.writeField("Retry-After", String(seconds)) }
        }
        if head?.method != .head { answerBytes += writeBuffer.bytes.writeString(text) }
        finishExchange()
    }

    /// Answers with a short text.
    func answerPlainly(status: Int, fields: StaticString, body text: String) {
        answerHead(status: status, framing: .length(text.utf8.count)) { $0.writeStaticString(fields) }
        if head?.method != .head { writeBuffer.bytes.writeString(text) }
        finishExchange()
    }

    // MARK: The end of an exchange

    private func finishExchange() {
        lastActivity = loopContext.now
        let status = answerStatus
        flushAnswer()
        endCall(status: status)
        guard phase != .closed else { return }
        guard directCaller == nil else { return endDirectCall() }
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
        let front = NIOLoopBound(self, eventLoop: loopContext.loop)
        loopContext.loop.execute {
            guard front.value.phase == .idle || front.value.phase == .discarding else { return }
            front.value.advance()
        }
    }

    /// Of a body that nobody wants any more.
    ///
    /// Many clients read an answer only when they have sent their whole request, and take an earlier end of the
    /// connection for a failure.
    private static var mostToDiscard: Int { 64 * 1_048_576 }

    private func noteHead(status: Int, framing: BodyFraming, isStream: Bool) {
        lastActivity = loopContext.now
        answerStatus = status
        answerFraming = framing
        isStreamAnswer = isStream && directCaller == nil
        guard isStreamAnswer else { return }
        // An event stream has no deadline, only a limit of silence (martlet-api "Deadlines").
        facts.deadline = .distantFuture
        armExchangeTimer()
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

    // MARK: Tunnel

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

    /// The function ended its side of an upgraded connection.
    func tunnelEnded() {
        flushAnswer()
        origin = nil
        endCall(status: answerStatus)
        linger()
    }
}
