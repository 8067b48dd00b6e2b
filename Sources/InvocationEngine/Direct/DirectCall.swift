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

    /// The message.
    var bytes: ByteBuffer {
        var bytes = ByteBuffer()
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
        return bytes
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

/// The client's end of a direct call: takes a function's answer in pieces, and reads one that was made here as a client
/// would.
final class DirectCaller {
    private let isHEAD: Bool
    private let limit: Int
    private var whenEnded: ((DirectAnswer) -> Void)?
    private var buffer = ByteBuffer()
    private lazy var scanner = HeadScanner()
    private var decoder: BodyDecoder?
    private var answer = DirectAnswer(
        status: 502,
        fields: ByteBuffer(),
        body: ByteBuffer(),
        size: 0,
        isPlatformAnswer: false
    )
    private var isComplete = false
    /// Whether the answer's head came as such: then its body does, too.
    private(set) var takesPieces = false

    init(_ request: DirectRequest, whenEnded: @escaping (DirectAnswer) -> Void) {
        isHEAD = request.method == "HEAD"
        limit = request.answerLimit
        self.whenEnded = whenEnded
    }

    // MARK: An answer in pieces

    func takeHead(_ status: Int, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        takesPieces = true
        answer.status = status
        takeFields(fields, in: bytes)
    }

    func takeBody(_ piece: ByteBuffer) { keep(piece) }

    func endBody() { isComplete = true }

    // MARK: An answer as bytes

    /// Takes what the front connection writes.
    func take(_ bytes: ByteBuffer) {
        guard bytes.readableBytes > 0 else { return }
        buffer.writeImmutableBuffer(bytes)
        // The engine wrote these bytes: what cannot be read of them is its own mistake, and ends as a broken answer.
        try? read()
        if buffer.readableBytes == 0 { buffer.clear() }
    }

    /// There will be no answer of the function's.
    func note(_ fault: PlatformFault) { answer.fault = fault }

    /// There is nothing more.
    func ended() {
        guard let tell = whenEnded else { return }
        whenEnded = nil
        if !isComplete {
            answer.status = 502
            answer.body.clear()
            answer.size = 0
        }
        tell(answer)
    }

    private func read() throws(WireError) {
        while decoder == nil { guard try takeHead() else { return } }
        while var body = decoder, !isComplete {
            let event = try body.next(&buffer)
            isComplete = body.isDone
            decoder = body
            guard case .data(let piece)? = event else { return }
            keep(piece)
        }
    }

    private func keep(_ piece: ByteBuffer) {
        answer.size += piece.readableBytes
        let room = limit - answer.body.readableBytes
        guard room > 0, let kept = piece.getSlice(at: piece.readerIndex, length: min(room, piece.readableBytes)) else {
            return
        }
        answer.body.writeImmutableBuffer(kept)
    }

    /// Takes one head; interim ones are passed over.
    private func takeHead() throws(WireError) -> Bool {
        let length = try buffer.withBytes { bytes throws(WireError) in
            try scanner.scan(bytes, limit: .max)
        }
        guard let length, let bytes = buffer.readSlice(length: length) else { return false }
        let head = try bytes.withBytes { bytes throws(WireError) in
            try ResponseHead(scanner.startLine, scanner.fields, in: bytes, toHEAD: isHEAD)
        }
        if !head.isInterim {
            answer.status = head.status
            bytes.withUnsafeReadableBytes { takeFields(scanner.fields, in: $0) }
            decoder = BodyDecoder(head.framing)
            isComplete = head.framing == .none
        }
        scanner.reset()
        return true
    }

    private func takeFields(_ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        answer.fields.reserveCapacity(bytes.count)
        for field in fields {
            switch field.name {
            case .contentLength, .xCallID, .xStartTime, .xServedBy, .xDurationSeconds: continue
            case _ where field.name.endsAtHop: continue
            default: break
            }
            let name = field.nameBytes(in: bytes)
            if equalsIgnoringCase(name, "x-openfaas-internal") { answer.isPlatformAnswer = true }
            if equalsIgnoringCase(name, "retry-after") {
                answer.retryAfter = String(decoding: field.valueBytes(in: bytes), as: UTF8.self)
            }
            answer.fields.writeBytes(bytes[Int(field.nameStart)..<Int(field.lineEnd)])
        }
    }
}

extension FrontDoor {
    /// Calls a function for the platform itself: with its limits, its places and its metrics, but without the gateway's
    /// own limit of time.
    ///
    /// `done` is called once, on an event loop, also for a call that was broken off. A function that does not exist gives
    /// 404, one that cannot be reached 502, each as a platform's answer.
    public func call(_ request: DirectRequest, done: @escaping @Sendable (DirectAnswer) -> Void) -> DirectCall {
        let loop = nextLoop()
        let call = DirectCall(loop)
        loop.run { context in call.start(request, in: context, done) }
        return call
    }
}

/// A direct call under way, which can be broken off.
public final class DirectCall: Sendable {
    private struct State {
        var front: FrontConnection?
        var isCancelled = false
    }

    private let loop: LoopHandle
    private let state: NIOLoopBoundBox<State>

    init(_ loop: LoopHandle) {
        self.loop = loop
        state = .makeBoxSendingValue(State(), eventLoop: loop.loop)
    }

    func start(_ request: DirectRequest, in context: LoopContext, _ done: @escaping @Sendable (DirectAnswer) -> Void) {
        let caller = DirectCaller(request) { answer in
            self.state.value.front = nil
            done(answer)
        }
        guard !state.value.isCancelled else { return caller.ended() }
        let front = context.connectionForDirectCall()
        state.value.front = front
        front.carryOut(request.bytes, from: request.clientAddress, for: caller)
    }

    /// Breaks the call off; harmless when it is over.
    public func cancel() {
        loop.run { _ in
            self.state.value.isCancelled = true
            self.state.value.front?.endDirectCall()
        }
    }
}
