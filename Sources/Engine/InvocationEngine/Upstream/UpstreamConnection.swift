// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import ProviderContract

/// A connection to a replica's HTTP server: carries out one call at a time, kept open between calls.
final class UpstreamConnection: ChannelInboundHandler, Origin {
    typealias InboundIn = ByteBuffer

    private enum Phase {
        case idle
        case head
        case body
        case tunnel
        case closed
    }

    private enum Standing {
        case unanswered
        case answered
        /// It ended, or its server ends it.
        case none
    }

    let pool: UpstreamPool
    private let loopContext: LoopContext
    /// The way to the replica.
    let writeBuffer = WriteBuffer()
    private var context: ChannelHandlerContext?
    /// The channels that are tried, one for each address of the server's name.
    private var candidates: [any Channel] = []
    private var phase = Phase.idle
    private var exchange: Exchange?
    private var buffer = ByteBuffer()
    private var scanner = HeadScanner()
    private var body = BodyDecoder(.none)
    private let idleTimer = LoopTimer()
    private var sendsChunks = false
    private var isToHEAD = false
    private var requestEnded = false
    private var mayKeep = false
    /// What the replica's count of connections has been told of this one.
    private var standing = Standing.unanswered
    private var sawByte = false
    /// Whether a read has been asked for that has not happened yet.
    private var isReading = false
    private var failure: (any Error)?
    /// Whether it has been kept behind a call.
    private(set) var isReused = false
    /// The right to be on its way, until it has answered.
    var slot: ConnectionOpenings.Slot?
    /// When the server is known to be the right one; nil where that is not asked.
    var handshake: EventLoopFuture<Void>?
    /// Shorter than any server's own limit, so that a call seldom meets a connection that is just being closed.
    private static let idleLimit = TimeAmount.milliseconds(1500)

    init(_ pool: UpstreamPool, _ context: LoopContext) {
        self.pool = pool
        loopContext = context
    }

    // MARK: The call

    private(set) var isWritable = true

    /// Carries a call out, beginning with its head.
    func carryOut(_ exchange: Exchange) {
        guard let head = exchange.head else { return close() }
        self.exchange = exchange
        isToHEAD = head.method == .head
        sendsChunks = head.framing == .chunked
        phase = .head
        requestEnded = false
        sawByte = false
        scanner.reset()
        loopContext.timers.set(idleTimer, at: .distantFuture)
        let request = ForwardedRequest(exchange, head, pool.server)
        let fields = exchange.scanner.fields
        exchange.headBytes.withUnsafeReadableBytes { request.write(to: &writeBuffer.bytes, from: $0, fields) }
        exchange.origin = self
        // Closed between being chosen and being used.
        guard context != nil else { return fail() }
        read()
        exchange.carryOut(by: self)
    }

    func takeBody(_ piece: ByteBuffer) {
        guard sendsChunks, phase != .tunnel else { return writeBuffer.write(piece) }
        writeBuffer.bytes.writeChunkSize(piece.readableBytes)
        writeBuffer.write(piece)
        writeBuffer.bytes.writeStaticString("\r\n")
    }

    func endBody(trailers: ByteBuffer?) {
        requestEnded = true
        if phase == .tunnel {
            writeBuffer.flush()
            context?.close(mode: .output, promise: nil)
            return
        }
        guard sendsChunks else { return }
        writeBuffer.bytes.writeStaticString("0\r\n")
        if let trailers { writeBuffer.bytes.writeImmutableBuffer(trailers) }
        writeBuffer.bytes.writeStaticString("\r\n")
    }

    func flush() { writeBuffer.flush() }

    func resumeAnswer() {
        guard phase == .head || phase == .body || phase == .tunnel else { return }
        process()
    }

    func abandon() {
        exchange = nil
        close()
    }

    /// Closes the connection; the call in flight, if any, has been told or does not care.
    func close() {
        guard phase != .closed else { return }
        phase = .closed
        for candidate in candidates { candidate.close(promise: nil) }
        candidates = []
        guard let context else { return }
        noteEnd()
        context.close(promise: nil)
    }

    /// Keeps no room for work while there is none.
    func giveRoomBack() {
        writeBuffer.giveRoomBack(loopContext.noBytes)
        scanner.forget()
    }

    /// Whether there is a channel to close.
    var hasChannel: Bool { context != nil || !candidates.isEmpty }

    /// Waits for a call that may want it: the one that it was opened for has another.
    func rest() {
        giveSlotBack()
        guard phase == .idle, context != nil, pool.replica.connections.areServedInParallel, pool.keep(self) else {
            return close()
        }
        loopContext.timers.set(idleTimer, at: .now() + Self.idleLimit)
        read()
    }

    /// There is no connection any more, or will be none.
    func noteEnd() {
        switch standing {
        case .unanswered: pool.replica.connections.noteClosedUnanswered()
        case .answered: pool.replica.connections.noteClosed()
        case .none: break
        }
        standing = .none
        giveSlotBack()
    }

    private func giveSlotBack() {
        if let slot = slot.take() { pool.replica.connections.openings.noteEnded(slot) }
    }

    // MARK: Channel events

    /// A channel begins to connect.
    func begin(on channel: any Channel) {
        if phase == .closed { channel.close(promise: nil) } else { candidates.append(channel) }
    }

    /// A channel has connected, and is the one; throws where nobody waits for it any more.
    func take(_ channel: any Channel, securing: () -> EventLoopFuture<Void>?) throws {
        candidates = []
        guard phase != .closed else {
            channel.close(promise: nil)
            throw ChannelError.ioOnClosedChannel
        }
        handshake = securing()
        try channel.pipeline.syncOperations.addHandler(self)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        writeBuffer.open(context, encodes: pool.server.isSecured)
        idleTimer.onExpiry = { [unowned self] in expire() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { forgetContext() }

    private func forgetContext() {
        context = nil
        writeBuffer.close()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = false
        loopContext.readClock()
        var piece = unwrapInboundIn(data)
        sawByte = true
        if buffer.readableBytes == 0 {
            buffer = piece
        } else {
            buffer.writeBuffer(&piece)
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        exchange?.flushAnswer()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable { exchange?.originBecameWritable() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = error
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        loopContext.readClock()
        noteEnd()
        loopContext.timers.cancel(idleTimer)
        forgetContext()
        // The system hands over all that has come before the end, whether it was asked to or not; a client that takes its
        // time gets it as it takes it.
        if let exchange, buffer.readableBytes > 0, !exchange.canTakeAnswer { return }
        endOfConnection()
    }

    /// Nothing more will come, and what has come is used up.
    private func endOfConnection() {
        let ended = phase
        phase = .closed
        switch ended {
        case .idle: pool.drop(self)
        case .head: fail()
        case .body: endWithConnection()
        case .tunnel: exchange.take()?.tunnelEnded()
        case .closed: break
        }
    }

    // MARK: The answer

    private func process() {
        do {
            try takeAnswer()
        } catch let error as WireError {
            let exchange = exchange.take()
            close()
            exchange?.failed(error.functionFault(exchange?.functionName ?? ""))
        } catch {
            let exchange = exchange.take()
            close()
            exchange?.failed(.unexpected(error, doing: "reading a function's answer"))
        }
    }

    private func takeAnswer() throws {
        if let exchange { try takeAnswer(for: exchange) }
        // Nobody asked for what comes now.
        if phase == .idle, buffer.readableBytes > 0 { close() }
    }

    private func takeAnswer(for exchange: Exchange) throws {
        while self.exchange === exchange, exchange.canTakeAnswer {
            switch phase {
            case .head:
                guard try takeHead(exchange) else { return readMore() }
            case .body where body.isDone:
                endAnswer(nil)
            case .body:
                guard let event = try body.next(&buffer) else { return readMore() }
                switch event {
                case .data(let piece): exchange.answerBody(piece)
                case .end(let trailers): endAnswer(trailers)
                }
            case .tunnel:
                guard buffer.readableBytes > 0 else { return readMore() }
                exchange.answerBody(buffer)
                buffer = ByteBuffer()
            case .idle, .closed:
                return
            }
        }
    }

    private func readMore() {
        letGoOfBuffer()
        if context == nil { return endOfConnection() }
        read()
    }

    /// Asks for a read unless one is still to come.
    private func read() {
        guard !isReading, let context else { return }
        isReading = true
        context.read()
    }

    /// Storage that nothing is left in goes back to the event loop, which reads into it again.
    @inline(__always)
    private func letGoOfBuffer() {
        if buffer.readableBytes == 0 { buffer = loopContext.noBytes }
    }

    /// Takes one head; false when it is not complete.
    private func takeHead(_ exchange: Exchange) throws(WireError) -> Bool {
        let limit = loopContext.limits.headBytes
        let come = buffer
        let length = try come.withBytes { bytes throws(WireError) in
            try scanner.scan(bytes, limit: limit)
        }
        guard let length else { return false }
        buffer.moveReaderIndex(forwardBy: length)
        try come.withBytes { bytes throws(WireError) in
            try takeHead(exchange, in: UnsafeRawBufferPointer(rebasing: bytes[..<length]))
        }
        return true
    }

    private func takeHead(_ exchange: Exchange, in bytes: UnsafeRawBufferPointer) throws(WireError) {
        let head = try ResponseHead(scanner.startLine, scanner.fields, in: bytes, toHEAD: isToHEAD)
        if head.options.namesFields { scanner.markNamedFields(in: bytes) }
        if head.status == 101 {
            try switchProtocols(head, bytes, exchange)
        } else if head.isInterim {
            if head.status != 100 { exchange.answerInterim(head, scanner.fields, in: bytes) }
            scanner.reset()
        } else {
            body = BodyDecoder(head.framing)
            mayKeep = head.keepsAlive
            noteAnswer()
            phase = .body
            exchange.answerHead(head, scanner.fields, in: bytes)
        }
    }

    private func switchProtocols(
        _ head: ResponseHead,
        _ bytes: UnsafeRawBufferPointer,
        _ exchange: Exchange
    ) throws(WireError) {
        guard exchange.head?.wantsUpgrade == true, let chosen = head.upgrade, UpgradeList.offersMore(chosen, in: bytes)
        else {
            throw WireError("it switches protocols, which nobody asked for.")
        }
        mayKeep = true
        noteAnswer()
        phase = .tunnel
        exchange.answerUpgrade(head, scanner.fields, in: bytes)
    }

    private func noteAnswer() {
        guard standing == .unanswered else { return }
        standing = mayKeep ? .answered : .none
        pool.replica.connections.noteFirstAnswer(staysOpen: mayKeep)
        if let slot = slot.take() { pool.replica.connections.openings.noteAnswered(slot) }
    }

    /// Gives the connection back before the exchange goes on: its next request may want it.
    private func endAnswer(_ trailers: ByteBuffer?) {
        let exchange = exchange.take()
        letGoOfBuffer()
        phase = .idle
        if mayKeep, requestEnded, buffer.readableBytes == 0, context != nil, failure == nil, pool.keep(self) {
            isReused = true
            loopContext.timers.set(idleTimer, at: loopContext.now + Self.idleLimit)
            read()
        } else {
            close()
        }
        exchange?.answerEnded(trailers: trailers)
        pool.serveWaiters()
    }

    private func expire() {
        guard phase == .idle else { return }
        pool.drop(self)
        close()
    }

    private func endWithConnection() {
        let exchange = exchange.take()
        if body.endsWithConnection, failure == nil {
            exchange?.answerEnded(trailers: nil)
        } else {
            exchange?.answerBroke()
        }
        exchange?.flushAnswer()
    }

    /// The connection ended before an answer came.
    private func fail() {
        phase = .closed
        let exchange = exchange.take()
        if !sawByte, let exchange, exchange.goesOutAgain() { return pool.wait(exchange, isFresh: true) }
        // Who knows why tells it better than what follows.
        if let fault = failure as? PlatformFault {
            exchange?.failed(fault)
            return
        }
        let name = exchange?.functionName ?? ""
        let hint = exchange?.logHint
        exchange?.failed(
            PlatformFault(
                .functionUnreachable,
                sawByte
                    ? "\(name) closed the connection in the middle of its answer's head."
                    : "\(name) closed the connection without an answer.",
                hint: hint,
                cause: failure
            )
        )
    }
}
