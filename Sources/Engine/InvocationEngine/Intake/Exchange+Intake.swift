// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore

/// Accepting calls that are carried out later: the body is read whole, kept, and answered with 202 (contract §7.1).
extension Exchange {
    /// Takes in a call of the function whose address is there in the head.
    final func takeIn(_ name: Range<Int>, _ rest: Range<Int>, by desk: IntakeDesk) {
        guard let head = beginCall() else { return }
        guard let function = entry(name) else { return refuse(unknownFunction(name)) }
        guard isAdmittedForLater(function, head) else { return }
        self.rest = rest
        let limit = desk.intake.bodyLimit
        let tooLarge = "The body of an asynchronous call may not be larger than"
        if case .length(let length) = head.framing, length > limit {
            return refuse(PlatformFault(.bodyTooLarge, "\(tooLarge) \(limit) bytes."))
        }
        armTimer()
        let whole = bodyAtHand(head)
        let request = intakeRequest(head, function.id, whole, calledAs: name)
        guard !hasSentBody else { return keep(request, desk) }
        guard hasRoom(forBodyOf: head) else { return refuse(BodyBudget.exhausted) }
        state.collect()
        let collector = BodyCollector(self, limit: limit, tooLarge: tooLarge) { [unowned self] held in
            keep(request, held, desk)
        }
        carryOut(by: collector)
    }

    /// A body that lies in a file has to come back to memory, in its turn.
    private func keep(_ request: IntakeRequest, _ held: HeldBody, _ desk: IntakeDesk) {
        var request = request
        guard held.file != nil else {
            request.body = held.takeBytes()
            return keep(request, desk, held)
        }
        let waiting = IntakeOrigin(self, held)
        origin = waiting
        held.readAll { [self] whole in
            // Nobody was told that the call is kept.
            guard origin === waiting else { return }
            guard let whole else { return refuse(BodyBudget.unreadable) }
            request.body = whole
            keep(request, desk, held)
        }
    }

    /// What the body takes of the memory for bodies is given back when the call is kept.
    private func keep(_ request: IntakeRequest, _ desk: IntakeDesk, _ held: HeldBody? = nil) {
        let origin = IntakeOrigin(self, held)
        self.origin = origin
        desk.accept(request, for: origin)
    }

    fileprivate func answerAccepted(_ receipt: IntakeReceipt) {
        loopContext.readClock()
        facts.callID = .kept(receipt.callID)
        answerHead(status: 202, framing: .length(0)) { out in
            out.writeField("X-Martlet-Call-Id", receipt.id)
            if receipt.isDuplicate { out.writeStaticString("X-Martlet-Duplicate: true\r\n") }
        }
        answerEnded(trailers: nil)
    }

    // MARK: The request

    /// The body where all of it came with the head, and it is short.
    private func bodyAtHand(_ head: RequestHead) -> ByteBuffer? {
        guard case .length(let length) = head.framing, length > 0, length <= Self.mostAtHand else { return nil }
        return takeBodyAtHand(of: length)
    }

    /// What a body may be long that is kept in one piece of memory with its fields: a long one goes its own way later.
    private static var mostAtHand: Int { 16_384 }

    private func intakeRequest(
        _ head: RequestHead,
        _ function: FunctionID,
        _ whole: ByteBuffer?,
        calledAs name: Range<Int>
    ) -> IntakeRequest {
        headBytes.withUnsafeReadableBytes { bytes in
            var request = IntakeRequest(
                function: function,
                target: String(decoding: bytes[rest], as: UTF8.self),
                fields: ByteBufferAllocator().buffer(capacity: bytes.count + (whole?.readableBytes ?? 0)),
                body: loopContext.noBytes,
                clientAddress: clientAddress,
                callID: head.callID.map { String(decoding: bytes[$0], as: UTF8.self) },
                acceptedAt: facts.startTime
            )
            for field in scanner.fields { take(field, in: bytes, into: &request, head) }
            if request.callbackURL != nil { request.calledAs = String(decoding: bytes[name], as: UTF8.self) }
            // HTTP/1.0 knows calls without a host; what carries this one out later does not.
            if head.host.isEmpty { request.fields.writeStaticString("Host: gateway\r\n") }
            if let whole { request.append(whole) }
            return request
        }
    }

    private func take(
        _ field: HeadField,
        in bytes: UnsafeRawBufferPointer,
        into request: inout IntakeRequest,
        _ head: RequestHead
    ) {
        switch field.name {
        // The limit of a client that waits says nothing of a call that is carried out later.
        case .contentLength, .expect, .xCallID, .xStartTime, .xTimeout: return
        case .host where head.hasAbsoluteTarget:
            request.fields.writeStaticString("Host: ")
            request.fields.writeBytes(bytes[head.host])
            request.fields.writeStaticString("\r\n")
        case .other where takeOwn(field, in: bytes, into: &request): return
        case _ where field.name.endsAtHop: return
        default: request.fields.writeBytes(bytes[Int(field.nameStart)..<Int(field.lineEnd)])
        }
    }

    /// The fields that are for the queue, not for the function; an empty one counts as absent.
    private func takeOwn(
        _ field: HeadField,
        in bytes: UnsafeRawBufferPointer,
        into request: inout IntakeRequest
    ) -> Bool {
        let name = field.nameBytes(in: bytes)
        let member: WritableKeyPath<IntakeRequest, String?>
        if equalsIgnoringCase(name, "idempotency-key") {
            member = \.idempotencyKey
        } else if equalsIgnoringCase(name, "x-callback-url") {
            member = \.callbackURL
        } else if equalsIgnoringCase(name, "x-delay") {
            member = \.delay
        } else if equalsIgnoringCase(name, "x-run-at") {
            member = \.runAt
        } else {
            return false
        }
        let value = String(decoding: field.valueBytes(in: bytes), as: UTF8.self)
        if !value.isEmpty { request[keyPath: member] = value }
        return true
    }
}

extension IntakeRequest {
    /// Adds the body, behind the fields in the same memory.
    fileprivate mutating func append(_ whole: ByteBuffer) {
        let end = fields.writerIndex
        fields.writeImmutableBuffer(whole)
        guard let body = fields.getSlice(at: end, length: whole.readableBytes) else { return }
        self.body = body
        fields.moveWriterIndex(to: end)
    }
}

/// A call that is being kept.
///
/// A client that goes away meanwhile changes nothing for the call.
final class IntakeOrigin: Origin {
    private var exchange: Exchange?
    private var held: HeldBody?

    init(_ exchange: Exchange, _ held: HeldBody?) {
        self.exchange = exchange
        self.held = held
    }

    func ended(_ outcome: Result<IntakeReceipt, PlatformFault>) {
        held = nil
        guard let exchange = exchange.take() else { return }
        switch outcome {
        case .success(let receipt): exchange.answerAccepted(receipt)
        case .failure(let fault): exchange.failed(fault)
        }
    }

    var isWritable: Bool { true }
    func takeBody(_ piece: ByteBuffer) {}
    func endBody(trailers: ByteBuffer?) {}
    func flush() {}
    func resumeAnswer() {}
    func abandon() { exchange = nil }
}
