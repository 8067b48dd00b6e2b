// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import ProviderContract

/// One request on its way, from its head to the end of its answer; confined to an event loop.
///
/// It stands between a client and an origin. The client is a subclass: it brings the request, hands over the body, and
/// overrides what an answer goes out by. The origin is whoever carries the request out. What follows from what is decided
/// by `ExchangeState`; everything here carries that out. One after another, an object has many requests.
class Exchange {
    final let loopContext: LoopContext
    final let calls: CallContext

    // MARK: The request

    /// Nil between two requests, and for one that cannot be parsed.
    final var head: RequestHead?
    final var headBytes = ByteBuffer()
    final var scanner = HeadScanner()
    /// Path and query behind the function's name.
    final var rest = 0..<0
    /// The client's address without port; empty for none.
    final var clientAddress = ""
    final var facts = CallFacts()
    /// The body, where it was read whole before.
    final var wholeBody: WholeBody?

    // MARK: Its course

    final var state = ExchangeState()
    final var entry: FunctionEntry?
    /// Where it has a slot.
    final var replica: LocalReplica?
    final var origin: (any Origin)?
    /// Its wait for a slot.
    final var waiting: WaitingCall?
    /// Whether it is a function's call, of which observers hear.
    final var isCall = false
    /// Bytes of the answer's body.
    final var answerBytes = 0

    init(_ loopContext: LoopContext, _ calls: CallContext) {
        self.loopContext = loopContext
        self.calls = calls
    }

    /// What this stands in front of.
    final var profile: EngineProfile {
        @inline(__always) get { calls.profile }
    }

    // MARK: The client, by its subclass

    /// Whether it takes more of an answer; when it does again, `Origin.resumeAnswer` is called.
    var canTakeAnswer: Bool { false }

    /// Whether hooks are asked whether it may call.
    var asksAdmission: Bool { true }

    /// Whether the limits of those who wait for an answer are its own: the gateway's and its request's.
    var hasClientsLimits: Bool { true }

    /// Whether it waits in a line however long that is.
    var isPatient: Bool { false }

    /// Whether all of the request's body has been taken from it.
    var hasSentBody: Bool { true }

    /// Hands over more of the body, as fast as the origin takes it.
    func feedBody() {}

    /// All of a body of known length where it is there already; the client has nothing to hand over then.
    func takeBodyAtHand(of length: Int) -> ByteBuffer? { nil }

    /// Is told to begin with a body that it has only announced (`Expect: 100-continue`).
    func callForBody() {}

    /// Sends the head of a function's answer.
    func send(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {}

    /// Sends an interim answer.
    func sendInterim(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {}

    /// Speaks the function's protocol from here on.
    func sendUpgrade(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {}

    /// Sends the head of an answer that is made here; `fields` writes lines.
    func send(status: Int, framing: BodyFraming, fields: (inout ByteBuffer) -> Void) {}

    /// Tells of a fault, instead of an answer; `fields` are told besides.
    func send(_ fault: PlatformFault, fields: [(name: StaticString, value: String)]) {}

    /// Sends a piece of the answer's body, with the next flush.
    func send(_ piece: ByteBuffer) {}

    /// Sends everything that was gathered.
    func flushAnswer() {}

    /// Sends the end of the answer's body.
    func sendEnd(trailers: ByteBuffer?) {}

    /// The exchange is over; its answer is out.
    func ended() {}

    /// The exchange is over, and its answer broke off.
    func broke() {}

    /// Both sides of a tunnel have ended.
    func endTunnel() {}

    /// The deadline has moved.
    func armTimer() {}

    // MARK: The way back, for origins

    /// The function's name, for sentences.
    final var functionName: String { profile.name(of: entry) }

    /// What helps when the function misbehaves.
    final var logHint: String? { profile.logHint(for: entry) }

    /// Names what carries the request out from now on; the body begins to flow to it.
    final func carryOut(by origin: any Origin) {
        guard let head else { return origin.abandon() }
        self.origin = origin
        if let wholeBody {
            wholeBody.begin()
        } else {
            if head.expectsContinue, state.isUnanswered { callForBody() }
            if hasSentBody { origin.endBody(trailers: nil) }
        }
        feed()
    }

    /// Names what the request waits in until it is carried out; nothing flows to it.
    final func wait(in origin: any Origin) {
        self.origin = origin
        feedBody()
    }

    /// The origin takes more of the body again.
    final func originBecameWritable() { feed() }

    /// Writes the head of a function's answer.
    final func answerHead(
        _ answer: ResponseHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer
    ) {
        noteAnswer(answer.status, isStream: answer.isStream)
        send(answer, fields, in: bytes)
    }

    /// Passes an interim answer on (103 and its like), which HTTP/1.0 does not know.
    final func answerInterim(
        _ answer: ResponseHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer
    ) {
        guard head?.isVersion10 == false else { return }
        sendInterim(answer, fields, in: bytes)
    }

    /// Passes a 101 on; from here on bytes go both ways untouched (RFC 9110 §7.8).
    final func answerUpgrade(
        _ answer: ResponseHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer
    ) {
        noteAnswer(answer.status, isStream: true)
        state.upgrade()
        sendUpgrade(answer, fields, in: bytes)
    }

    /// Writes the head of an answer made here.
    final func answerHead(
        status: Int,
        framing: BodyFraming,
        isStream: Bool = false,
        fields: (inout ByteBuffer) -> Void
    ) {
        // Whoever answers here may have been at it for a while; what comes from a function was read just now.
        loopContext.readClock()
        noteAnswer(status, isStream: isStream)
        send(status: status, framing: framing, fields: fields)
    }

    /// Writes a piece of the body; small ones are gathered until the origin's next flush.
    final func answerBody(_ piece: ByteBuffer) {
        guard head?.method != .head || state.stage == .tunnel else { return }
        answerBytes += piece.readableBytes
        send(piece)
    }

    /// The answer is complete.
    final func answerEnded(trailers: ByteBuffer?) {
        sendEnd(trailers: trailers)
        finish()
    }

    /// The answer broke off: the client must not take it for a whole one.
    final func answerBroke() {
        flushAnswer()
        end(status: state.status)
        broke()
    }

    /// The function ended its side of a tunnel.
    final func tunnelEnded() {
        flushAnswer()
        end(status: state.status)
        endTunnel()
    }

    /// The origin failed; told if nothing of an answer is out.
    final func failed(_ fault: PlatformFault) {
        origin = nil
        switch state.ending {
        case .refuse: refuse(fault)
        case .breakOff: answerBroke()
        }
    }

    /// The request cannot go on, whatever its origin is about to say.
    final func giveUp(for fault: PlatformFault) {
        switch state.ending {
        case .refuse: refuse(fault)
        case .breakOff:
            abandonOrigin()
            answerBroke()
        }
    }

    /// Answers a request with a fault and ends it; `fields` are told besides.
    final func refuse(_ fault: PlatformFault, fields: [(name: StaticString, value: String)] = []) {
        abandonOrigin()
        loopContext.readClock()
        noteAnswer(calls.profile.faults.status(FaultTable.row(for: fault.code)), isStream: false)
        send(fault, fields: fields)
        finish()
    }

    private func noteAnswer(_ status: Int, isStream: Bool) {
        // A stream of events has no deadline, only a limit of silence (martlet-api "Deadlines"); what nobody watches has.
        let isStream = isStream && hasClientsLimits
        state.answer(status, isStream: isStream)
        if isStream { armTimer() }
    }

    // MARK: The end

    private func finish() {
        flushAnswer()
        end(status: state.status)
        ended()
    }

    /// The client is gone in the middle of a call.
    final func giveUp() {
        abandonOrigin()
        end(status: state.isUnanswered ? 499 : state.status)
    }

    private func abandonOrigin() {
        guard let abandoned = origin.take() else { return }
        abandoned.abandon()
    }

    /// Lets go of everything that the call holds, and counts it.
    private func end(status: Int) {
        origin = nil
        state.end()
        if wholeBody != nil { wholeBody = nil }
        // When it is not in the line any more its outcome is on its way; `slotFound` gives the slot back.
        if let waiting = waiting.take() { _ = entry?.queue.giveUp(waiting) }
        leaveReplica()
        if isCall { noteEnd(status: status) }
    }

    /// Counts a call, and tells of it.
    private func noteEnd(status: Int) {
        if calls.observer != nil { tellObserver(status: status) }
        isCall = false
        guard let entry = entry.take() else { return }
        let nanoseconds = loopContext.now.uptimeNanoseconds &- facts.begun.uptimeNanoseconds
        entry.counters.end(status: status, method: head?.method ?? .other, nanoseconds: nanoseconds)
        entry.cell?.add()
    }

    @inline(__always)
    final func leaveReplica() {
        guard let local = replica.take() else { return }
        entry?.queue.leave(local.replica)
    }
}
