// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import NIOCore

/// A call of a function that the platform itself makes, past any socket, as a client would.
public struct DirectRequest: Sendable {
    /// The function.
    public var function: FunctionID
    /// The method.
    public var method: String
    /// Path and query behind the function's name, undecoded; empty for none.
    public var target: String
    /// Header lines, each with its CR LF; `Host` among them, no framing.
    public var fields: ByteBuffer
    /// The body.
    public var body: ByteBuffer
    /// The address that the function is told the call comes from.
    public var clientAddress: String
    /// `X-Call-Id`.
    public var callID: String
    /// Most bytes of the answer's body that are kept.
    public var answerLimit: Int
    /// Whether the function's hook was asked about the call before, as about one that was accepted to be carried out later.
    public var isAdmitted: Bool

    /// Describes a call.
    public init(
        function: FunctionID,
        method: String,
        target: String,
        fields: ByteBuffer,
        body: ByteBuffer,
        clientAddress: String,
        callID: String,
        answerLimit: Int,
        isAdmitted: Bool = true
    ) {
        self.function = function
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.clientAddress = clientAddress
        self.callID = callID
        self.answerLimit = answerLimit
        self.isAdmitted = isAdmitted
    }
}

/// What came of a direct call.
public struct DirectAnswer: Sendable {
    /// The status; 502 where the answer broke off.
    public var status: Int
    /// The function's header lines, each with its CR LF, without framing and without what the platform adds.
    public var fields: ByteBuffer
    /// The body, at most as long as was asked for.
    public var body: ByteBuffer
    /// The whole body's size in bytes.
    public var size: Int
    /// Whether a platform answered in the function's stead (`X-OpenFaaS-Internal`).
    public var isPlatformAnswer: Bool
    /// What this platform had to say instead of an answer; nil where the answer came from the function's side.
    public var fault: PlatformFault?
    /// `Retry-After` as it came.
    public var retryAfter: String?
}

/// A direct call, which can be broken off: its answer, as it comes.
public final class DirectCall: @unchecked Sendable {  // but for `loop`, all of it is touched on that event loop alone
    private let loop: any EventLoop
    private let answerLimit: Int
    /// Nil when it has begun.
    private var request: DirectRequest?
    private var done: (@Sendable (DirectAnswer) -> Void)?
    private var exchange: DirectExchange?
    private var isCancelled = false

    // The answer.
    private var status = 502
    /// The fields, and a short body behind them; nil before a head has come.
    private var kept: ByteBuffer?
    private var fieldsEnd = 0
    /// A body for which there is no room behind the fields.
    private var longBody: ByteBuffer?
    private var size = 0
    private var isPlatformAnswer = false
    private var fault: PlatformFault?
    private var retryAfter: String?
    private var isComplete = false

    init(_ request: DirectRequest, on loop: any EventLoop, _ done: @escaping @Sendable (DirectAnswer) -> Void) {
        self.loop = loop
        answerLimit = request.answerLimit
        self.request = request
        self.done = done
    }

    func begin(in pool: DirectPool) {
        guard let request = request.take(), !isCancelled else { return ended() }
        let exchange = pool.take()
        self.exchange = exchange
        exchange.carryOut(request, for: self)
    }

    /// Breaks the call off; harmless when it is over.
    public func cancel() {
        loop.execute {
            self.isCancelled = true
            self.exchange?.cancel()
        }
    }

    // MARK: The answer

    /// The head of a function's answer.
    func takeHead(_ status: Int, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        self.status = status
        // The status line, and the fields that are left out, leave room for a short body.
        var kept = ByteBufferAllocator().buffer(capacity: bytes.count)
        for field in fields {
            switch field.name {
            case .contentLength, .xCallID, .xStartTime, .xServedBy, .xDurationSeconds: continue
            case _ where field.name.endsAtHop: continue
            default: break
            }
            let name = field.nameBytes(in: bytes)
            if equalsIgnoringCase(name, "x-openfaas-internal") { isPlatformAnswer = true }
            if equalsIgnoringCase(name, "retry-after") {
                retryAfter = String(decoding: field.valueBytes(in: bytes), as: UTF8.self)
            }
            kept.writeBytes(bytes[Int(field.nameStart)..<Int(field.lineEnd)])
        }
        keep(kept)
    }

    /// The head of an answer that is made here.
    func takeHead(_ status: Int, lines: ByteBuffer) {
        self.status = status
        keep(lines)
    }

    /// A fault in the answer's stead, and how it would be told.
    func take(_ fault: PlatformFault, _ status: Int, _ answer: FaultAnswer) {
        self.fault = fault
        isPlatformAnswer = true
        retryAfter = fault.retryAfterSeconds.map { String($0) }
        var lines = ByteBuffer()
        answer.writeFields(to: &lines)
        takeHead(status, lines: lines)
    }

    private func keep(_ lines: ByteBuffer) {
        fieldsEnd = lines.readableBytes
        kept = lines
    }

    func takeBody(_ piece: ByteBuffer) {
        size += piece.readableBytes
        let room = answerLimit - (longBody?.readableBytes ?? (kept?.readableBytes ?? 0) - fieldsEnd)
        guard room > 0, let part = piece.getSlice(at: piece.readerIndex, length: min(room, piece.readableBytes)) else {
            return
        }
        if longBody == nil, (kept?.writableBytes ?? 0) >= part.readableBytes {
            kept?.writeImmutableBuffer(part)
        } else {
            if longBody == nil { longBody = body }
            longBody?.writeImmutableBuffer(part)
        }
    }

    func endBody() { isComplete = true }

    // MARK: The end

    /// There is nothing more.
    func ended() {
        guard let tell = done else { return }
        done = nil
        exchange = nil
        let answer = answer
        // Whoever has the call still has it for a while.
        (kept, longBody) = (nil, nil)
        tell(answer)
    }

    /// What has been kept of the body; nil before a head has come.
    private var body: ByteBuffer? {
        longBody ?? kept.flatMap { $0.getSlice(at: fieldsEnd, length: $0.readableBytes - fieldsEnd) }
    }

    private var answer: DirectAnswer {
        DirectAnswer(
            status: isComplete ? status : 502,
            fields: kept?.getSlice(at: 0, length: fieldsEnd) ?? ByteBuffer(),
            body: isComplete ? body ?? ByteBuffer() : ByteBuffer(),
            size: isComplete ? size : 0,
            isPlatformAnswer: isPlatformAnswer,
            fault: fault,
            retryAfter: retryAfter
        )
    }
}
