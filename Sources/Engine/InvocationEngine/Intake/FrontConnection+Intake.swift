// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore

/// Accepting calls that are carried out later: the body is read whole, kept, and answered with 202 (contract §7.1).
extension FrontConnection {
    func takeIn(_ name: Range<Int>, _ rest: Range<Int>) {
        guard let head else { return }
        guard let intake = loopContext.settings.intake else { return answerLocally(head) }
        _ = beginCall()
        guard let function = entry(name) else { return refuse(unknownFunction(name)) }
        guard isAdmitted(function, head, isAsynchronous: true) else { return }
        self.rest = rest
        let limit = intake.bodyLimit
        let tooLarge = "The body of an asynchronous call may not be larger than"
        if case .length(let length) = head.framing, length > limit {
            return refuse(PlatformFault(.bodyTooLarge, "\(tooLarge) \(limit) bytes."))
        }
        armExchangeTimer()
        let whole = bodyAtHand(head)
        let request = intakeRequest(head, function.id, whole, calledAs: name)
        guard !body.isDone else { return keep(request, intake) }
        guard hasRoom(forBodyOf: head) else { return refuse(BodyBudget.exhausted) }
        origin = BodyCollector(front: self, limit: limit, tooLarge: tooLarge) { [unowned self] held in
            keep(request, held, intake)
        }
        beginBody(head)
    }

    /// A body that lies in a file has to come back to memory, in its turn.
    private func keep(_ request: IntakeRequest, _ held: HeldBody, _ intake: any CallIntake) {
        var request = request
        guard held.file != nil else {
            request.body = held.takeBytes()
            return keep(request, intake, held)
        }
        heldBody = held
        held.readAll { [self] whole in
            // Nobody was told that the call is kept.
            guard heldBody === held else { return }
            guard let whole else { return refuse(BodyBudget.unreadable) }
            request.body = whole
            keep(request, intake, held)
        }
    }

    /// What the body takes of the memory for bodies is given back when the call is kept.
    private func keep(_ request: IntakeRequest, _ intake: any CallIntake, _ held: HeldBody? = nil) {
        let exchange = IntakeExchange(self, held)
        origin = exchange
        let bound = NIOLoopBound(exchange, eventLoop: loopContext.loop)
        let outcomes = loopContext.intakeOutcomes
        intake.accept(request) { outcomes.tell(bound, $0) }
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
        guard case .length(let length) = head.framing, length > 0,
            length <= min(buffer.readableBytes, Self.mostAtHand),
            case .data(let piece)? = try? body.next(&buffer), case .end? = try? body.next(&buffer)
        else { return nil }
        letGoOfBuffer()
        return piece
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
final class IntakeExchange: Origin {
    private var front: FrontConnection?
    private var held: HeldBody?

    init(_ front: FrontConnection, _ held: HeldBody?) {
        self.front = front
        self.held = held
    }

    func ended(_ outcome: Result<IntakeReceipt, PlatformFault>) {
        held = nil
        guard let front else { return }
        self.front = nil
        switch outcome {
        case .success(let receipt): front.answerAccepted(receipt)
        case .failure(let fault): front.failed(fault)
        }
    }

    var isWritable: Bool { true }
    func takeBody(_ piece: ByteBuffer) {}
    func endBody(trailers: ByteBuffer?) {}
    func flush() {}
    func resumeAnswer() {}
    func abandon() { front = nil }
}
