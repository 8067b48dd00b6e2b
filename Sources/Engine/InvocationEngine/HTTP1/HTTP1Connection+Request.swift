// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// Reading requests: heads, bodies, and what is wrong with them.
extension HTTP1Connection {
    /// Takes one head and begins to carry its request out; false when more bytes are needed.
    func takeRequest() -> Bool {
        guard buffer.readableBytes > 0 else {
            read()
            return false
        }
        do throws(WireError) {
            guard let length = try scanHead() else {
                noteIncompleteHead()
                read()
                return false
            }
            takeHeadBytes(length)
            let head = try parseHead()
            self.head = head
            begin(head)
            return true
        } catch {
            refuse(error.clientFault)
            return false
        }
    }

    /// A head's time begins with its first byte; empty lines before it are none of it (RFC 9112 §2.2).
    private func noteIncompleteHead() {
        if scanner.foundNothing(in: buffer.readableBytes) {
            buffer = loopContext.noBytes
            scanner.reset()
            guard phase == .head else { return }
            phase = .idle
            loopContext.timers.set(timer, at: idleUntil)
        } else if phase == .idle {
            phase = .head
            loopContext.timers.set(timer, at: lastActivity + loopContext.limits.head)
        }
    }

    /// Mostly a head comes alone; then its bytes are handed on as they are.
    ///
    /// Ranges of a head count from its first byte, so behind a pipelined request it has to be cut out.
    private func takeHeadBytes(_ length: Int) {
        if buffer.readerIndex == 0, length == buffer.readableBytes {
            swap(&headBytes, &buffer)
        } else {
            headBytes = buffer.readSlice(length: length) ?? ByteBuffer()
        }
    }

    private func scanHead() throws(WireError) -> Int? {
        let limit = loopContext.limits.headBytes
        return try buffer.withBytes { bytes throws(WireError) in
            try scanner.scan(bytes, limit: limit)
        }
    }

    private func parseHead() throws(WireError) -> RequestHead {
        let head = try headBytes.withBytes { bytes throws(WireError) in
            try RequestHead(scanner.startLine, scanner.fields, in: bytes)
        }
        if head.options.namesFields { headBytes.withUnsafeReadableBytes { scanner.markNamedFields(in: $0) } }
        return head
    }

    private func begin(_ head: RequestHead) {
        phase = .exchange
        begin(at: lastActivity)
        body = BodyDecoder(head.framing)
        bodyLeft = loopContext.limits.bodyBytes ?? .max
        bodyIsLost = false
        mustClose = isDraining || !head.keepsAlive
        if case .length(let length) = head.framing, length > bodyLeft { return refuse(bodyTooLarge) }
        switch Destination(head, in: headBytes, profile.addressing, hasFunctions: hasFunctions) {
        case .function(let name, let rest): invoke(name, rest)
        case .intake(let name, let rest): takeIn(name, rest, head)
        case .watched(let rest): invoke(WatchdogFunction.calls, rest)
        case .local: if !hasFunctions || !invokeByPath() { answer(by: responder, head) }
        case .nothing: answerServerOptions()
        case .health(let question): answerHealth(question, head)
        case .refused(let refusal):
            _ = beginCall()
            refuse(refusal.fault, fields: refusal.fields)
        }
    }

    private func takeIn(_ name: Range<Int>, _ rest: Range<Int>, _ head: RequestHead) {
        guard let intake = registry.intake else { return answer(by: responder, head) }
        takeIn(name, rest, by: intake)
    }

    /// Storage that nothing is left in goes back to the event loop, which reads into it again.
    @inline(__always)
    func letGoOfBuffer() {
        if buffer.readableBytes == 0 { buffer = loopContext.noBytes }
    }

    // MARK: The body

    /// Hands over what has come of the body, as fast as the origin takes it.
    func handOverBody() {
        guard let origin else {
            // Waiting for a slot: nothing more is read, but the client's going is noticed.
            if body.isDone, buffer.readableBytes == 0 { read() }
            return
        }
        if !body.isDone {
            do throws(WireError) {
                try hand(to: origin)
            } catch {
                return bodyFailed(error.clientFault)
            }
            letGoOfBuffer()
        }
        origin.flush()
        guard phase == .exchange else { return }
        // One read is always wanted: for more of the body, or to notice that the client has gone.
        if body.isDone ? buffer.readableBytes == 0 : origin.isWritable { read() }
    }

    private func hand(to origin: any Origin) throws(WireError) {
        while !body.isDone, origin.isWritable, let event = try body.next(&buffer) {
            switch event {
            case .data(let piece):
                state.noteBody()
                bodyLeft -= piece.readableBytes
                guard bodyLeft >= 0 else { return giveUp(for: bodyTooLarge) }
                origin.takeBody(piece)
            case .end(let trailers):
                origin.endBody(trailers: trailers)
            }
        }
    }

    /// The rest of a request cannot be parsed: an answer that has not begun tells so, then the connection ends.
    private func bodyFailed(_ fault: PlatformFault) {
        bodyIsLost = true
        giveUp(for: fault)
    }

    /// Throws the rest of a body away, within reason; true when the next request can be read.
    func discardBody() -> Bool {
        do throws(WireError) {
            while !body.isDone {
                guard case .data(let piece)? = try body.next(&buffer) else { break }
                bodyLeft -= piece.readableBytes
            }
        } catch {
            linger()
            return false
        }
        guard body.isDone else {
            if bodyLeft > 0 { read() } else { linger() }
            return false
        }
        guard !mustClose else {
            linger()
            return false
        }
        awaitRequest()
        return true
    }

    // MARK: Between requests

    /// Makes ready for the next request on this connection.
    func awaitRequest() {
        phase = .idle
        forgetRequest()
        idleUntil = lastActivity + loopContext.limits.keepAlive
        loopContext.timers.set(timer, at: min(idleUntil, lastActivity + Self.restsAfter))
        if isDraining, buffer.readableBytes == 0 { leave() }
    }

    func forgetRequest() {
        head = nil
        headBytes = loopContext.noBytes
        // A client's id lies in the head's bytes, too.
        facts.callID = .none
        scanner.reset()
    }

    /// `OPTIONS *` asks about the server itself (RFC 9110 §9.3.7).
    private func answerServerOptions() {
        answerPlainly(status: 200, fields: [("Allow", Destination.callMethods)], body: "")
    }
}
