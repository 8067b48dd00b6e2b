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

    /// Describes a call.
    public init(
        function: FunctionID,
        method: String,
        target: String,
        fields: ByteBuffer,
        body: ByteBuffer,
        clientAddress: String,
        callID: String,
        answerLimit: Int
    ) {
        self.function = function
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.clientAddress = clientAddress
        self.callID = callID
        self.answerLimit = answerLimit
    }

    /// Writes the message.
    func write(to bytes: inout ByteBuffer) {
        let name = function.name.utf8.count + function.namespace.utf8.count
        let text = method.utf8.count + name + target.utf8.count + callID.utf8.count
        let room = fields.readableBytes + body.readableBytes + text + 128
        bytes.writeHead(atMost: room) { out in
            out.writeString(method)
            out.write(" /function/")
            out.writeString(function.name)
            out.write(".")
            out.writeString(function.namespace)
            out.writeString(target)
            out.write(" HTTP/1.1\r\n")
            fields.withUnsafeReadableBytes { out.write($0) }
            out.writeField("X-Call-Id", callID)
            out.write("Content-Length: ")
            out.writeDecimal(UInt64(body.readableBytes))
            out.write("\r\n\r\n")
            body.withUnsafeReadableBytes { out.write($0) }
        }
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

extension EngineLoops {
    /// Calls a function for the platform itself: with its limits, its slots and its metrics, but without the gateway's
    /// own limit of time.
    ///
    /// `done` is called once, on an event loop, also for a call that was broken off. A function that does not exist gives
    /// 404, one that cannot be reached 502, each as a platform's answer.
    public func call(_ request: DirectRequest, done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall {
        let loop = next()
        let call = DirectCall(request, on: loop, done)
        loop.begin(call)
        return call
    }
}

extension FrontDoor {
    /// The same by the door's own event loops.
    public func call(_ request: DirectRequest, done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall {
        loops.call(request, done: done)
    }
}

/// A direct call, which can be broken off: the client's end of it.
///
/// Takes a function's answer in pieces, and reads one that was made here as a client would.
public final class DirectCall: @unchecked Sendable {  // but for `loop`, all of it is touched on that event loop alone
    private let loop: LoopHandle
    private let answerLimit: Int
    private let isHEAD: Bool
    /// Nil when it has begun.
    private var request: DirectRequest?
    private var done: (@Sendable (DirectAnswer) -> Void)?
    private var front: FrontConnection?
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
    /// Whether the answer's head came as such: then its body does, too.
    private(set) var takesPieces = false
    /// Reads an answer that comes as bytes.
    private var reader: AnswerReader?

    init(_ request: DirectRequest, on loop: LoopHandle, _ done: @escaping @Sendable (DirectAnswer) -> Void) {
        self.loop = loop
        answerLimit = request.answerLimit
        isHEAD = request.method == "HEAD"
        self.request = request
        self.done = done
    }

    func begin(in context: LoopContext) {
        guard let request = request.take(), !isCancelled else { return ended() }
        let front = context.connectionForDirectCall()
        self.front = front
        front.carryOut(request, for: self)
    }

    /// Breaks the call off; harmless when it is over.
    public func cancel() {
        loop.run { _ in
            self.isCancelled = true
            self.front?.endDirectCall()
        }
    }

    // MARK: An answer in pieces

    func takeHead(_ status: Int, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        takesPieces = true
        self.status = status
        keep(fields, in: bytes)
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

    // MARK: An answer as bytes

    /// Takes what the front connection writes.
    func take(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        if reader == nil { reader = AnswerReader() }
        reader?.buffer.writeImmutableBuffer(bytes)
        // The engine wrote these bytes: what cannot be read of them is its own mistake, and ends as a broken answer.
        try? read()
        if reader?.buffer.readableBytes == 0 { reader?.buffer.clear() }
    }

    private func read() throws(WireError) {
        while let head = try reader?.nextHead(toHEAD: isHEAD) {
            guard !head.head.isInterim else { continue }
            status = head.head.status
            head.bytes.withUnsafeReadableBytes { keep(head.fields, in: $0) }
            isComplete = head.head.framing == .none
        }
        while !isComplete, let event = try reader?.nextEvent(&isComplete) {
            guard case .data(let piece) = event else { return }
            takeBody(piece)
        }
    }

    // MARK: The end

    /// There will be no answer of the function's.
    func note(_ fault: PlatformFault) { self.fault = fault }

    /// There is nothing more.
    func ended() {
        guard let tell = done else { return }
        done = nil
        front = nil
        let answer = answer
        // Whoever has the call still has it for a while.
        (kept, longBody, reader) = (nil, nil, nil)
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

    private func keep(_ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
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
        fieldsEnd = kept.readableBytes
        self.kept = kept
    }
}

/// Reads an answer that was made here, as a client would.
private struct AnswerReader {
    var buffer = ByteBuffer()
    private var scanner = HeadScanner()
    private var decoder: BodyDecoder?

    /// The next head, interim ones among them; nil when it is not there yet, or when the last one has come.
    mutating func nextHead(
        toHEAD isHEAD: Bool
    ) throws(WireError) -> (head: ResponseHead, fields: ContiguousArray<HeadField>, bytes: ByteBuffer)? {
        guard decoder == nil else { return nil }
        let length = try buffer.withBytes { bytes throws(WireError) in
            try scanner.scan(bytes, limit: .max)
        }
        guard let length, let bytes = buffer.readSlice(length: length) else { return nil }
        let head = try bytes.withBytes { bytes throws(WireError) in
            try ResponseHead(scanner.startLine, scanner.fields, in: bytes, toHEAD: isHEAD)
        }
        defer { scanner.reset() }
        if !head.isInterim { decoder = BodyDecoder(head.framing) }
        return (head, scanner.fields, bytes)
    }

    /// What comes next of the body; notes its end.
    mutating func nextEvent(_ isComplete: inout Bool) throws(WireError) -> ChunkedDecoder.Event? {
        let event = try decoder?.next(&buffer)
        isComplete = decoder?.isDone ?? false
        return event
    }
}
