// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import ProviderContract

/// Carrying out calls of functions: a slot, an origin, a deadline.
extension FrontConnection {
    /// The name for sentences.
    var functionName: String { role == .watchdog ? "the function" : entry?.name ?? "the function" }

    /// What helps when the function misbehaves; in a container the log is where it always is.
    var logHint: String? { role == .watchdog ? nil : "Its log may say why: martlet logs \(functionName)" }

    /// Whether the client asked to switch protocols.
    var askedForUpgrade: Bool { head?.wantsUpgrade ?? false }

    /// Begins a call of the function whose address is there in the head.
    func invoke(_ name: Range<Int>, _ rest: Range<Int>) {
        guard let head = beginCall() else { return }
        guard let entry = entry(name) else { return refuse(unknownFunction(name)) }
        invoke(entry, rest, head)
    }

    /// Begins a call of a function by its address.
    func invoke(_ address: String, _ rest: Range<Int>) {
        guard let head = beginCall() else { return }
        guard let entry = loopContext.entry(address) else { return refuse(unknownFunction(address)) }
        invoke(entry, rest, head)
    }

    private func invoke(_ entry: FunctionEntry, _ rest: Range<Int>, _ head: RequestHead) {
        if entry.isSplit { start(entry.drawn(loopContext.nextRandom()), rest, head) } else { start(entry, rest, head) }
    }

    private func start(_ entry: FunctionEntry, _ rest: Range<Int>, _ head: RequestHead) {
        if entry.isGuarded, !isAdmitted(entry, head) { return }
        self.entry = entry
        self.rest = rest
        entry.counters.start()
        if loopContext.withholdsLogin { withholdLogin() }
        do throws(PlatformFault) {
            try takeDeadline(head)
        } catch {
            return refuse(error)
        }
        armExchangeTimer()
        // Before a slot is taken: a slow client costs the function nothing. A call of the platform's own is here whole.
        if entry.policy.buffersRequestBody, !body.isDone, directCaller == nil { return collectBody(head) }
        takeSlot(entry)
    }

    /// Begins a call of the function that has a further path for this one; false where none has.
    func invokeByPath() -> Bool {
        guard loopContext.hasPaths, role == .gateway, let head else { return false }
        let found = headBytes.withUnsafeReadableBytes { bytes -> (FunctionEntry, Range<Int>)? in
            let path = UnsafeRawBufferPointer(rebasing: bytes[head.target.lowerBound..<head.pathEnd])
            let extra = Destination.extraSlashes(path)
            guard let (entry, length) = loopContext.entry(atPath: .init(rebasing: path[extra...])) else { return nil }
            return (entry, head.target.lowerBound + extra + length..<head.target.upperBound)
        }
        guard let (entry, rest) = found, let head = beginCall() else { return false }
        if let refusal = refusal(of: head, rest) {
            refuse(refusal.fault, allow: refusal.allow)
        } else {
            invoke(entry, rest, head)
        }
        return true
    }

    /// Why a function is not called, whatever it is.
    private func refusal(of head: RequestHead, _ rest: Range<Int>) -> (fault: PlatformFault, allow: StaticString)? {
        headBytes.withUnsafeReadableBytes { bytes in
            Destination.refusal(of: head, UnsafeRawBufferPointer(rebasing: bytes[rest.lowerBound..<head.pathEnd]))
        }
    }

    /// Has a login that is for this hop alone end here.
    private func withholdLogin() {
        guard let isOurs = loopContext.settings.isOwnLogin else { return }
        headBytes.withUnsafeReadableBytes { scanner.markLogins(in: $0, where: isOurs) }
    }

    /// Notes what is known of a call before its function is looked for.
    func beginCall() -> RequestHead? {
        guard let head else { return nil }
        isCall = true
        takeCallFacts(head)
        return head
    }

    /// The function whose address is there in the head.
    func entry(_ name: Range<Int>) -> FunctionEntry? {
        headBytes.withUnsafeReadableBytes { loopContext.entry(UnsafeRawBufferPointer(rebasing: $0[name])) }
    }

    /// Notes the call's id, the client's or a fresh one, and its start.
    func takeCallFacts(_ head: RequestHead) {
        facts.trace = head.traceParent.map { .client($0) } ?? .none
        // A watchdog passes on what the gateway before it wrote.
        guard role == .gateway else { return }
        if head.traceParent == nil {
            facts.trace = .new(loopContext.nextRandom(), loopContext.nextRandom(), loopContext.nextRandom() | 1)
        }
        facts.startTime = loopContext.nanosecondsSinceEpoch
        let own = head.callID.flatMap { headBytes.getSlice(at: $0.lowerBound, length: $0.count) }
        facts.callID = own.map { .client($0) } ?? .made(loopContext.nextRandom(), loopContext.nextRandom())
    }

    func unknownFunction(_ name: Range<Int>) -> PlatformFault {
        unknownFunction(headBytes.getString(at: headBytes.readerIndex + name.lowerBound, length: name.count) ?? "")
    }

    private func unknownFunction(_ address: String) -> PlatformFault {
        guard loopContext.hasSnapshot else { return Self.functionsUnknown }
        let id = FunctionID(address: address, defaultNamespace: loopContext.defaultNamespace)
        return PlatformFault(
            .functionNotFound,
            "error finding function \(id?.description ?? address): there is no such function.",
            hint: "List the functions there are: martlet list"
        )
    }

    private static let functionsUnknown = PlatformFault(
        .providerUnreachable,
        "It is not known yet which functions there are: the provider has not told.",
        hint: "Look whether the provider runs, and try again.",
        retryAfterSeconds: 2
    )

    // MARK: Deadline

    private func takeDeadline(_ head: RequestHead) throws(PlatformFault) {
        shorten(to: entry?.execLimit, .function)
        // An asynchronous call has its function's limit alone.
        guard directCaller == nil else { return }
        shorten(to: loopContext.limits.upstream, .gateway)
        guard let range = head.timeout else { return }
        let text = headBytes.getString(at: range.lowerBound, length: range.count) ?? ""
        guard let limit = GoDuration.parse(text) else {
            throw PlatformFault(
                .invalidValue,
                "X-Timeout is \"\(NameRule.printable(text))\", which is not a duration.",
                hint: "Write it as 5s or 1m30s."
            )
        }
        shorten(to: limit == .zero ? nil : TimeAmount(limit), .request)
    }

    private func shorten(to limit: TimeAmount?, _ owner: DeadlineLimit) {
        guard let limit else { return }
        let moment = facts.begun + limit
        guard moment < facts.deadline else { return }
        facts.deadline = moment
        facts.limit = owner
    }

    /// The call's time is up (martlet-api "Deadlines").
    func deadlinePassed() {
        guard answerStatus == 0 else { return close() }
        guard origin != nil || replica != nil, entry != nil else { return refuse(notReady) }
        let owner =
            switch facts.limit {
            case .none: ""
            case .request: ", the X-Timeout of the request"
            case .function: ", the function's exec_timeout"
            case .gateway: ", the gateway's upstream_timeout"
            }
        let time = GoDuration.format(Duration(facts.deadline - facts.begun))
        refuse(PlatformFault(.deadlineExceeded, "\(functionName) did not answer within \(time)\(owner)."))
    }

    private var notReady: PlatformFault {
        let reason = entry?.queue.notReadyReason ?? ""
        let sentence =
            reason.isEmpty
            ? "\(functionName) did not become ready within the call's deadline."
            : "\(functionName) did not become ready within the call's deadline: \(reason)"
        return PlatformFault(.functionNotReady, sentence, hint: logHint)
    }

    // MARK: A slot

    func takeSlot(_ entry: FunctionEntry) {
        if let local = entry.enter(loopContext.nextRandom()) {
            replica = local
            return carryOut(at: local)
        }
        let front = NIOLoopBound(self, eventLoop: loopContext.loop)
        let identity = CallIdentity()
        let queue = entry.queue
        let call = WaitingCall(loop: loopContext.loop) { outcome in
            front.value.slotFound(outcome, identity, queue)
        }
        waiting = call
        waitingIdentity = identity
        let limit = loopContext.settings.waitingLimit
        switch entry.queue.admit(call, isPatient: directCaller != nil, waitingLimit: limit) {
        case .waiting:
            feedBody()
        case .entered(let replica):
            waiting = nil
            carryOut(at: enter(replica, of: entry))
        case .full:
            waiting = nil
            refuse(full(entry.policy))
        case .crowded:
            waiting = nil
            refuse(crowded(limit))
        }
    }

    private func crowded(_ limit: Int) -> PlatformFault {
        PlatformFault(
            .overloaded,
            "\(functionName) has no replica yet, and \(limit) calls wait for one already.",
            hint: logHint,
            retryAfterSeconds: 5
        )
    }

    /// The wording is OpenFaaS' (contract §15.6).
    private func full(_ policy: CallPolicy) -> PlatformFault {
        PlatformFault(
            .tooManyCalls,
            "Concurrent request limit exceeded. Max concurrent requests: \(policy.maxInFlight ?? 0)",
            retryAfterSeconds: role == .gateway ? 1 : nil
        )
    }

    /// A waiting call was let in or refused.
    ///
    /// It may be over already: then the slot goes back.
    private func slotFound(
        _ outcome: WaitingCall.Outcome,
        _ identity: CallIdentity,
        _ queue: AdmissionQueue
    ) {
        guard waitingIdentity === identity, waiting != nil, let entry else {
            if case .entered(let replica) = outcome { queue.leave(replica) }
            return
        }
        waiting = nil
        switch outcome {
        case .entered(let replica):
            carryOut(at: enter(replica, of: entry))
        case .refused(let fault):
            refuse(fault)
        case .moved:
            let drawn = (entry.whole ?? entry).drawn(loopContext.nextRandom())
            self.entry = drawn
            takeSlot(drawn)
        }
    }

    private func enter(_ replica: Replica, of entry: FunctionEntry) -> LocalReplica {
        let local = entry.local(replica)
        self.replica = local
        return local
    }

    // MARK: An origin

    private func carryOut(at local: LocalReplica) {
        attempts += 1
        if let connection = local.takeIdle() { return use(connection) }
        local.source.begin(OriginCall(self))
    }

    /// Waits for a connection: one that is opened, or one that falls free before.
    func connect(isFresh: Bool = false) {
        guard let local = replica else { return }
        let waiter = ConnectionWaiter(self, at: local, isFresh: isFresh)
        self.waiter = waiter
        local.add(waiter, in: loopContext)
        feedBody()
    }

    func connected(_ connection: UpstreamConnection) {
        waiter = nil
        guard phase == .exchange else { return connection.close() }
        use(connection)
    }

    func notConnected(_ error: any Error) {
        waiter = nil
        guard phase == .exchange else { return }
        connectFailed(error)
    }

    private func use(_ connection: UpstreamConnection) {
        guard let head else { return connection.close() }
        let request = ForwardedRequest(
            role: role,
            head: head,
            facts: facts,
            clientAddress: clientAddress,
            rest: rest,
            replica: connection.local,
            userAgent: loopContext.settings.servedBy
        )
        headBytes.withUnsafeReadableBytes { request.write(to: &connection.writeBuffer.bytes, from: $0, scanner.fields) }
        origin = connection
        connection.begin(self, isToHEAD: head.method == .head, sendsChunks: head.framing == .chunked)
        beginBody(head)
    }

    /// Lets the client send its body, now that somebody takes it.
    func beginBody(_ head: RequestHead) {
        if head.expectsContinue, !head.isVersion10, !body.isDone, buffer.readableBytes == 0, answerStatus == 0 {
            writeBuffer.bytes.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
            flushAnswer()
        }
        if body.isDone { origin?.endBody(trailers: nil) }
        feedBody()
    }

    /// Nothing was sent, so the call may try again: at another replica, or until the provider has noticed that this
    /// one is gone and the call waits for its successor.
    private func connectFailed(_ error: any Error) {
        // Who knows why does not have to try again.
        if let fault = error as? PlatformFault { return refuse(fault) }
        guard connectFailures < Self.connectPauses.count, let entry else {
            return refuse(
                PlatformFault(
                    .functionUnreachable,
                    "\(functionName) does not accept connections.",
                    hint: logHint,
                    cause: error
                )
            )
        }
        let pause = Self.connectPauses[connectFailures]
        connectFailures += 1
        leaveReplica()
        let identity = CallIdentity()
        waitingIdentity = identity
        loopContext.loop.assumeIsolated().scheduleTask(in: pause) { [self] in
            guard waitingIdentity === identity, phase == .exchange else { return }
            takeSlot(entry)
        }
    }

    /// Milliseconds between attempts to connect: 0.8 s in all, many times what it takes to notice that a process ended.
    private static let connectPauses = [0, 1, 2, 5, 10, 20, 50, 100, 200, 400].map { TimeAmount.milliseconds($0) }

    /// Repeats a call whose connection was closed before a byte of an answer came, once, and only where that is safe:
    /// nothing of a body was handed over and the method may be repeated (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    ///
    /// A kept connection may just have timed out; a new one may have waited in the backlog of a process that ended.
    func retryOnFreshConnection() -> Bool {
        guard let head, attempts < 2, head.method.isIdempotent, !hasHandedOverBody,
            phase == .exchange, answerStatus == 0, replica?.server != nil
        else { return false }
        origin = nil
        attempts += 1
        connect(isFresh: true)
        return true
    }

    // MARK: The end

    @inline(__always)
    func leaveReplica() {
        guard let local = replica.take() else { return }
        entry?.queue.leave(local.replica)
    }

    /// Lets go of everything that the call holds and counts it.
    func endCall(status: Int) {
        origin = nil
        waitingIdentity = nil
        if let waiter = waiter.take() { waiter.giveUp() }
        if heldBody != nil { letGoOfHeldBody() }
        if let waiting {
            // When it is not in the line any more its outcome is on its way; `slotFound` gives the slot back.
            _ = entry?.queue.giveUp(waiting)
            self.waiting = nil
        }
        leaveReplica()
        noteAccess(status: status)
        isCall = false
        guard let entry = entry.take() else { return }
        let nanoseconds = loopContext.now.uptimeNanoseconds &- facts.begun.uptimeNanoseconds
        entry.counters.end(status: status, method: head?.method ?? .other, nanoseconds: nanoseconds)
        entry.cell?.add()
    }

    /// The client is gone in the middle of a call.
    func giveUpCall(status: Int) {
        let abandoned = origin
        origin = nil
        abandoned?.abandon()
        endCall(status: answerStatus == 0 ? status : answerStatus)
    }
}

/// Tells one wait of a connection from the next, so that a late outcome cannot reach the wrong call.
final class CallIdentity: Sendable {}
