// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore

/// A call that the platform itself makes, on its way: its client is the program, which has everything in memory.
final class DirectExchange: Exchange {
    private let pool: DirectPool
    private let timer = LoopTimer()
    private var caller: DirectCall?
    private var isAdmitted = true
    /// The room of a large request is not kept.
    private static let mostToKeep = 65_536

    init(_ loopContext: LoopContext, _ calls: CallContext, _ pool: DirectPool) {
        self.pool = pool
        super.init(loopContext, calls)
    }

    /// Carries out one request; `caller` hears of the answer.
    func carryOut(_ request: DirectRequest, for caller: DirectCall) {
        self.caller = caller
        isAdmitted = request.isAdmitted
        clientAddress = request.clientAddress
        if timer.onExpiry == nil { timer.onExpiry = { [unowned self] in timeLimitPassed() } }
        begin(at: loopContext.readClock())
        do throws(WireError) {
            try takeHead(of: request)
        } catch {
            return refuse(error.clientFault)
        }
        guard request.body.readableBytes <= loopContext.limits.bodyBytes ?? .max else { return refuse(bodyTooLarge) }
        wholeBody = WholeBody(request.body)
        if let head, let refusal = refusal(of: head, rest) {
            _ = beginCall(.kept(request.callID))
            return refuse(refusal.fault, fields: refusal.fields)
        }
        invoke(address, rest, callID: .kept(request.callID))
    }

    /// Where the function's address is in the head.
    private var address: Range<Int> {
        guard let head else { return 0..<0 }
        return head.target.lowerBound + Self.path.utf8CodeUnitCount..<rest.lowerBound
    }

    private static let path: StaticString = "/function/"

    /// Writes the head in the form in which others come: a request line without its version, and fields.
    private func takeHead(of request: DirectRequest) throws(WireError) {
        headBytes.clear()
        let name = request.function
        let text = request.method.utf8.count + name.name.utf8.count + name.namespace.utf8.count
        headBytes.writeHead(atMost: text + request.target.utf8.count + request.fields.readableBytes + 64) { out in
            out.writeString(request.method)
            out.write(Self.path)
            out.writeString(name.name)
            out.write(".")
            out.writeString(name.namespace)
            out.writeString(request.target)
            request.fields.withUnsafeReadableBytes { out.write($0) }
            out.write("\r\n")
        }
        let method = 0..<request.method.utf8.count
        let end = headBytes.readableBytes - request.fields.readableBytes - 2
        rest = end - request.target.utf8.count..<end
        let path = request.target.utf8.prefix { $0 != UInt8(ascii: "?") }.count
        let bodyLength = request.body.readableBytes
        scanner.begin(behind: end)
        head = try headBytes.withBytes { [rest] bytes throws(WireError) in
            guard try scanner.scan(bytes, limit: .max) == bytes.count else {
                throw WireError("its fields end before they should.")
            }
            return try RequestHead(
                ownMethod: method,
                target: method.upperBound..<end,
                pathEnd: rest.lowerBound + path,
                scanner.fields,
                bodyLength: bodyLength,
                in: bytes
            )
        }
        if head?.options.namesFields == true { headBytes.withUnsafeReadableBytes { scanner.markNamedFields(in: $0) } }
    }

    /// Breaks the call off.
    func cancel() {
        loopContext.readClock()
        giveUp()
        over()
    }

    private func over() {
        guard let caller = caller.take() else { return }
        loopContext.timers.set(timer, at: .distantFuture)
        head = nil
        facts.callID = .none
        scanner.reset()
        if headBytes.storageCapacity > Self.mostToKeep { headBytes = loopContext.noBytes }
        pool.keep(self)
        caller.ended()
    }

    /// It is not needed any more.
    func retire() { loopContext.timers.cancel(timer) }

    private func timeLimitPassed() {
        guard loopContext.readClock() >= state.deadline.moment else { return armTimer() }
        deadlinePassed()
    }

    // MARK: The client of an exchange

    override var asksAdmission: Bool { !isAdmitted }

    /// It has its function's limit alone.
    override var hasClientsLimits: Bool { false }

    /// How many there are is bounded by the queue's own limits.
    override var isPatient: Bool { true }

    override var canTakeAnswer: Bool { true }

    override func feedBody() { origin?.flush() }

    override func send(_ answer: ResponseHead, _ fields: ContiguousArray<HeadField>, in bytes: UnsafeRawBufferPointer) {
        caller?.takeHead(answer.status, fields, in: bytes)
    }

    override func send(status: Int, framing: BodyFraming, fields: (inout ByteBuffer) -> Void) {
        var lines = ByteBuffer()
        fields(&lines)
        caller?.takeHead(status, lines: lines)
    }

    override func send(_ fault: PlatformFault, fields: [(name: StaticString, value: String)]) {
        let answer = FaultAnswer(fault, further: fields, of: self)
        caller?.take(fault, state.status, answer)
        if head?.method != .head {
            answerBytes += answer.text.utf8.count
            caller?.takeBody(ByteBuffer(string: answer.text))
        }
        caller?.endBody()
    }

    override func send(_ piece: ByteBuffer) { caller?.takeBody(piece) }

    override func sendEnd(trailers: ByteBuffer?) { caller?.endBody() }

    override func ended() { over() }

    override func broke() { over() }

    override func endTunnel() { over() }

    override func armTimer() { loopContext.timers.set(timer, at: state.deadline.moment) }
}

/// The exchanges of one event loop for direct calls, whose calls are over; confined to it.
final class DirectPool {
    private let loopContext: LoopContext
    private let calls: CallContext
    private var spare: [DirectExchange] = []
    private static let mostSpare = 128
    /// Ends the wait of those that nobody has needed for a while: they keep the room of large calls.
    private let timer = LoopTimer()
    private static let wait = TimeAmount.seconds(10)

    init(_ loopContext: LoopContext, _ calls: CallContext) {
        self.loopContext = loopContext
        self.calls = calls
        timer.onExpiry = { [weak self] in self?.dropAll() }
    }

    func take() -> DirectExchange { spare.popLast() ?? DirectExchange(loopContext, calls, self) }

    /// Takes one back when its call is over.
    ///
    /// The next call begins on a fresh stack: whoever was still busy with this one is done by then.
    func keep(_ exchange: DirectExchange) {
        guard spare.count < Self.mostSpare else { return exchange.retire() }
        spare.append(exchange)
        loopContext.timers.set(timer, at: loopContext.now + Self.wait)
    }

    private func dropAll() {
        for exchange in spare { exchange.retire() }
        spare = []
    }
}
