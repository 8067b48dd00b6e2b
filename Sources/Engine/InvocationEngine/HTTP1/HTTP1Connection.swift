// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import ProviderContract

/// A client's connection by HTTP/1.1: reads requests one after another, and writes their answers.
///
/// The walk of a call: bytes → `HeadScanner` → `RequestHead` → `Destination`, then the exchange's, and back by
/// `HTTP1Connection+Answer`. What a call is and how it is carried out is `Exchange`'s matter; here is framing, keeping the
/// connection open, and ending it.
final class HTTP1Connection: Exchange, ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    enum Phase {
        /// Between two requests; nothing of the next one has come.
        case idle
        /// A part of a head has come.
        case head
        /// A request is being carried out.
        case exchange
        /// The answer is out and the rest of the request's body is thrown away.
        case discarding
        /// An upgraded connection: bytes both ways.
        case tunnel
        /// Everything is written; the client's last bytes are thrown away so that it can read ours.
        case lingering
        case closed
    }

    let registry: ConnectionRegistry
    let timer = LoopTimer()
    var context: ChannelHandlerContext?
    var phase = Phase.idle

    // What came and was not used yet.
    var buffer = ByteBuffer()

    // The request's body.
    var body = BodyDecoder(.none)
    var bodyLeft = Int.max
    /// The rest of the body cannot be found, or does not come: the connection ends with the answer.
    var bodyIsLost = false

    // The answer.
    let writeBuffer = WriteBuffer()
    var answerFraming = BodyFraming.none
    var mustClose = false
    var isDraining = false
    /// When the client was last heard of, or took something; the distant past as long as nothing has come.
    var lastActivity = NIODeadline.distantPast
    /// How long it may wait for its next request.
    var idleUntil = NIODeadline.distantFuture
    /// A connection that has nothing to do for so long keeps no room for work.
    static let restsAfter = TimeAmount.seconds(1)
    /// Whether a read has been asked for that has not happened yet; asking twice would only cost.
    private var isReading = false
    private var hasRead = false
    /// Whether the client takes more; kept here, since asking the channel costs.
    var hasRoom = true

    /// Whether another handler stands between this one and the socket.
    private let isWrapped: Bool
    private let offer: ListenerOffer
    /// Whether functions are called on this connection's listener.
    let hasFunctions: Bool
    /// Answers what is no call.
    let responder: any LocalResponder

    init(_ context: LoopContext, _ calls: CallContext, _ registry: ConnectionRegistry, _ offer: ListenerOffer) {
        self.registry = registry
        self.offer = offer
        isWrapped = offer.prepare != nil
        hasFunctions = offer.hasFunctions
        responder = offer.responder ?? registry.responder
        super.init(context, calls)
    }

    // MARK: The client of an exchange

    override var canTakeAnswer: Bool { hasRoom }

    override var hasSentBody: Bool { body.isDone }

    override func feedBody() {
        switch phase {
        case .exchange: handOverBody()
        case .tunnel: feedTunnel()
        case .idle, .head, .discarding, .lingering, .closed: break
        }
    }

    override func takeBodyAtHand(of length: Int) -> ByteBuffer? {
        guard length <= buffer.readableBytes, case .data(let piece)? = try? body.next(&buffer),
            case .end? = try? body.next(&buffer)
        else { return nil }
        letGoOfBuffer()
        return piece
    }

    override func callForBody() {
        guard head?.isVersion10 == false, !body.isDone, buffer.readableBytes == 0 else { return }
        writeBuffer.bytes.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
        flushAnswer()
    }

    override func send(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        writeHead(answer, fields, in: bytes)
    }

    override func sendInterim(
        _ answer: ResponseHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer
    ) {
        writeInterim(answer, fields, in: bytes)
    }

    override func sendUpgrade(
        _ answer: ResponseHead,
        _ fields: ContiguousArray<HeadField>,
        in bytes: UnsafeRawBufferPointer
    ) {
        beginTunnel(answer, fields, in: bytes)
    }

    override func send(status: Int, framing: BodyFraming, fields: (inout ByteBuffer) -> Void) {
        writeHead(status: status, framing: framing, fields: fields)
    }

    override func send(_ fault: PlatformFault, fields: [(name: StaticString, value: String)]) {
        writeFault(fault, fields: fields)
    }

    override func send(_ piece: ByteBuffer) { writeBody(piece) }

    override func flushAnswer() { writeBuffer.flush() }

    override func sendEnd(trailers: ByteBuffer?) { writeEnd(trailers: trailers) }

    override func ended() { goOn() }

    override func broke() { close() }

    override func endTunnel() { linger() }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        writeBuffer.open(context, encodes: isWrapped)
        if context.channel.isActive { start(context) }
    }

    func channelActive(context: ChannelHandlerContext) { start(context) }

    private func start(_ context: ChannelHandlerContext) {
        clientAddress = context.remoteAddress?.ipAddress ?? ""
        isDraining = registry.isDraining
        registry.add(self)
        timer.onExpiry = { [unowned self] in timeLimitPassed() }
        idleUntil = .now() + loopContext.limits.read
        loopContext.timers.set(timer, at: idleUntil)
        read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = false
        hasRead = true
        lastActivity = loopContext.readClock()
        guard phase != .lingering else { return read() }
        var piece = unwrapInboundIn(data)
        if buffer.readableBytes == 0 {
            buffer = piece
        } else {
            buffer.writeBuffer(&piece)
        }
        advance()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // A decoder before us may have used up what came, as a handshake.
        if isReading, !hasRead { context.read() }
        hasRead = false
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else { return }
        clientEndedInput()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        hasRoom = context.channel.isWritable
        guard hasRoom else { return }
        lastActivity = loopContext.readClock()
        origin?.resumeAnswer()
        flushAnswer()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Resets are the everyday end of a client; there is nobody left to tell.
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        loopContext.readClock()
        phase = .closed
        self.context = nil
        writeBuffer.close()
        loopContext.timers.cancel(timer)
        registry.remove(self)
        giveUp()
    }

    // MARK: Phases

    /// Does what can be done with the bytes at hand.
    func advance() {
        while true {
            switch phase {
            case .idle, .head:
                guard takeRequest() else { return }
            case .exchange:
                return handOverBody()
            case .discarding:
                guard discardBody() else { return }
            case .tunnel:
                return feedTunnel()
            case .lingering, .closed:
                return
            }
        }
    }

    /// The client will send nothing more.
    ///
    /// A client that is owed an answer counts as gone, as with nginx and Go: to tell a half-closed connection from a
    /// vanished client takes a write.
    private func clientEndedInput() {
        switch phase {
        case .tunnel:
            // The other direction goes on until the function ends it.
            origin?.endBody(trailers: nil)
        case .idle, .head, .exchange, .discarding, .lingering:
            close()
        case .closed:
            break
        }
    }

    func read() {
        guard !isReading, let context else { return }
        isReading = true
        context.read()
    }

    func close() { context?.close(promise: nil) }

    /// Ends the connection after a last answer: our side first, then the client's, so that a reset does not destroy
    /// what the client has not read yet (RFC 9112 §9.6).
    func linger() {
        guard let context else { return }
        phase = .lingering
        buffer = ByteBuffer()
        loopContext.timers.set(timer, at: .now() + loopContext.limits.write)
        let ended = loopContext.loop.makePromise(of: Void.self)
        // What a slow client has not taken yet is still to be written; its time begins when all of it is.
        ended.futureResult.assumeIsolated().whenComplete { [self] outcome in
            guard phase == .lingering else { return }
            if case .failure(ChannelError.operationUnsupported) = outcome {
                // A connection that cannot be closed by halves, as with TLS, says its own goodbye.
                return close()
            }
            loopContext.timers.set(timer, at: .now() + .seconds(2))
        }
        context.close(mode: .output, promise: ended)
        read()
    }

    /// Ends an idle connection; one that carries a call out ends after its answer.
    ///
    /// A client that has connected and not asked yet may be about to: where nobody takes the connection over it has a
    /// moment for that.
    func drain() {
        isDraining = true
        guard phase == .idle else { return }
        guard lastActivity == .distantPast, registry.heir == nil else { return leave() }
        idleUntil = min(idleUntil, .now() + loopContext.limits.newcomer)
        loopContext.timers.set(timer, at: idleUntil)
    }

    /// Parts with a connection that has nothing to do.
    func leave() {
        guard let heir = registry.heir else { return linger() }
        // What is encrypted cannot be read by anybody else: it goes on here until its next answer.
        guard !isWrapped, !mustClose, !writeBuffer.waitsForChannel, buffer.readableBytes == 0, let context,
            let copy = context.pipeline.syncOperations.copyOfSocket()
        else { return isWrapped && !mustClose ? read() : linger() }
        // The connection lives on by the copy.
        close()
        heir(offer, copy)
    }

    /// Whether its request is answered, or taken in, by the platform itself.
    var isOwnRequest: Bool { phase == .head || phase == .exchange && entry == nil }

    /// Cuts the connection.
    func abort() {
        close()
    }

    // MARK: Time

    /// The one timer of the connection: what its passing means depends on the phase.
    private func timeLimitPassed() {
        loopContext.readClock()
        switch phase {
        case .idle: idleLimitPassed()
        case .lingering: close()
        case .discarding: linger()
        case .head:
            refuse(PlatformFault(.requestTimeout, "The client took too long to send its request."))
        case .exchange: exchangeLimitPassed()
        case .tunnel: tunnelLimitPassed()
        case .closed: break
        }
    }

    private func idleLimitPassed() {
        guard loopContext.now < idleUntil else { return close() }
        giveRoomBack()
        loopContext.timers.set(timer, at: idleUntil)
    }

    /// Gives back the room of the last request and its answer.
    private func giveRoomBack() {
        writeBuffer.giveRoomBack(loopContext.noBytes)
        if head == nil { scanner.forget() }
    }

    private func exchangeLimitPassed() {
        let now = loopContext.readClock()
        if now >= state.deadline.moment { return deadlinePassed() }
        if let limit = stallLimit, now >= lastActivity + limit { return clientStalled() }
        armTimer()
    }

    /// What the client may pause at the moment; nil while it is not its turn.
    private var stallLimit: TimeAmount? {
        if !hasRoom { return loopContext.limits.write }
        if state.isStream { return loopContext.limits.streamIdle }
        if !body.isDone, origin?.isWritable == true { return loopContext.limits.read }
        return nil
    }

    private func clientStalled() {
        guard state.isUnanswered, !body.isDone else { return close() }
        bodyIsLost = true
        refuse(PlatformFault(.requestTimeout, "The client stopped sending in the middle of its request's body."))
    }

    private func tunnelLimitPassed() {
        let limit = loopContext.limits.streamIdle
        let now = loopContext.now
        if now >= lastActivity + limit { return close() }
        if now >= lastActivity + Self.restsAfter {
            giveRoomBack()
            (origin as? UpstreamConnection)?.giveRoomBack()
        }
        loopContext.timers.set(timer, at: min(lastActivity + limit, now + .seconds(10)))
    }

    /// Of the request that asked for a tunnel nothing is needed any more, but by a log.
    func forgetTunnelHead() {
        guard calls.observer == nil else { return }
        headBytes = loopContext.noBytes
        facts.callID = .none
        scanner.forget()
    }

    /// Wakes up at the deadline, or to look for a stalled client.
    override func armTimer() {
        let stall = loopContext.limits.stall
        loopContext.timers.set(timer, at: min(state.deadline.moment, loopContext.now + stall))
    }
}
