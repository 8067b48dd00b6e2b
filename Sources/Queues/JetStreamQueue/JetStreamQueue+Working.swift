// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel
import Logging
import NIOCore
import NIOFoundationCompat
public import QueueContract
import Synchronization

extension JetStreamQueue {
    /// Who is told that calls of a function may be taken now.
    public func onDue(_ listener: @escaping @Sendable (FunctionID) -> Void) {
        listeners.withLock { $0.due = listener }
    }

    /// Who is told that a call in flight here was cancelled.
    public func onCancel(_ listener: @escaping @Sendable (CallLease) -> Void) {
        listeners.withLock { $0.cancel = listener }
    }

    /// The functions that have calls waiting, or in flight somewhere.
    public func waitingFunctions() async -> [FunctionID] {
        (try? await upToDate())?.withIndex { $0.openFunctions } ?? []
    }

    // MARK: Taking

    /// Takes calls of one function that are due.
    public func take(
        from function: FunctionID,
        atMost count: Int,
        lease: Duration
    ) async throws(PlatformFault) -> (calls: [LeasedCall], nextDue: Duration?) {
        let follower = try await upToDate()
        let lane = lane(function)
        try await lane.make()
        var count = count
        let isTrying = isTrying(follower)
        if isTrying {
            guard hasTurn() else { return ([], CrashTrial.pause) }
            count = 1
        }
        defer { if isTrying { trial.withLock { $0.leave() } } }
        var calls: [LeasedCall] = []
        // More than once where what came was not to be carried out: cancelled meanwhile, delivered twice, early.
        for _ in 0..<3 where calls.isEmpty {
            let expected = follower.withIndex { index in
                index.advance(to: .now(), of: function)
                return index.dueCount(of: function)
            }
            var requests = await lane.take(atMost: count, expected: expected)
            if requests.isEmpty, expected > 0 { requests = try await fetchLost(function, atMost: count, follower) }
            guard !requests.isEmpty else { break }
            calls = await claim(requests, of: function, lease, follower)
        }
        if isTrying { return (calls, CrashTrial.pause) }
        return (calls, nextDue(of: function, isAnyTaken: !calls.isEmpty, follower))
    }

    /// How long a call may be due without being delivered.
    private static let lostAfter = Duration.seconds(2)

    /// Requests that the server has delivered to a worker that is gone, and would not deliver again for long.
    ///
    /// Harmless where that worker lives: the log lets one of them have the call.
    private func fetchLost(
        _ function: FunctionID,
        atMost count: Int,
        _ follower: LogFollower
    ) async throws(PlatformFault) -> [DeliveredRequest] {
        let border = Timestamp.now().earlier(by: Self.lostAfter)
        let lost = follower.withIndex { $0.due(of: function, since: border, atMost: min(count, 16)) }
        var requests: [DeliveredRequest] = []
        for (id, entry) in lost {
            let sequence = entry.facts.request
            if let found = try await storedRequest(sequence, of: id) {
                requests.append(DeliveredRequest(payload: found.payload, delivery: Delivery(fetched: sequence)))
                lane(function).doubt()
            } else {
                try await restore(id)
            }
        }
        return requests
    }

    /// Brings the request of a waiting call back that is gone from the stream, or lets the call be dead.
    ///
    /// Somebody threw the message away, or the server lost it.
    private func restore(_ id: String) async throws(PlatformFault) {
        // Looked at once more: the message may be gone because the call has ended in this moment.
        guard let (stored, line) = try await look(id), line.facts.state == .waiting,
            try await storedRequest(line.facts.request, of: id) == nil
        else { return }
        guard let kept = try await keptRequest(id) else {
            logger.error("the NATS server has lost the request of a call", metadata: ["id": "\(id)"])
            guard let next = line.facts.stopped(.orphaned, .functionDeleted) else { return }
            let reason = "Its request is gone from the NATS server."
            _ = try await stop(id, line.facts, stored.last, next, isDead: true, reason: reason)
            return
        }
        guard let sequence = try await publish(kept.payload, of: line.facts.function) else { return }
        guard try await write(line.facts.restored(request: sequence), of: id, expected: stored.last) != nil else {
            return try await server.delete(sequence, from: streams.requests)
        }
    }

    private func nextDue(of function: FunctionID, isAnyTaken: Bool, _ follower: LogFollower) -> Duration? {
        let now = Timestamp.now()
        let (due, later) = follower.withIndex { index in
            index.advance(to: now, of: function)
            return (index.dueCount(of: function), index.nextDue(of: function))
        }
        // Due and not here: others have it, or the server delivers it in a moment.
        if due > 0 { return isAnyTaken ? .zero : .milliseconds(100) }
        return later.map { max(.milliseconds(1), $0.distance(from: now)) }
    }

    private func claim(
        _ requests: [DeliveredRequest],
        of function: FunctionID,
        _ lease: Duration,
        _ follower: LogFollower
    ) async -> [LeasedCall] {
        await withTaskGroup(of: (Int, LeasedCall?).self) { group in
            for (place, request) in requests.enumerated() {
                group.addTask { (place, await self.claim(request, of: function, lease, follower)) }
            }
            var calls = [LeasedCall?](repeating: nil, count: requests.count)
            for await (place, call) in group { calls[place] = call }
            return calls.compactMap(\.self)
        }
    }

    /// Makes one delivered request this worker's, if it is still to be carried out.
    func claim(
        _ request: DeliveredRequest,
        of function: FunctionID,
        _ lease: Duration,
        _ follower: LogFollower
    ) async -> LeasedCall? {
        guard let message = QueueRequest(request.payload) else {
            logger.error(
                "a message in the queue is not a request, and is dropped",
                metadata: ["function": "\(function)"]
            )
            acknowledge(.done, request)
            return nil
        }
        // Delivered and fetched at the same time: one of them is enough.
        guard claims.withLock({ $0.insert(request.delivery.sequence).inserted }) else { return nil }
        defer { claims.withLock { _ = $0.remove(request.delivery.sequence) } }
        let (id, call, due) = message.call(function, fallback: "\(settings.name)-\(request.delivery.sequence)")
        // What others say of it is good enough while it fits: nothing is thrown away before the log was asked.
        var known = follower.withIndex { $0.entries[id] }
            .flatMap { $0.facts.isPresent(request.delivery.sequence) ? (facts: $0.facts, last: $0.last) : nil }
        do throws(PlatformFault) {
            // Whoever is overtaken looks again at what holds now.
            for _ in 0..<8 {
                if known == nil { known = try await lookForClaim(id, call, due, request) }
                guard let (facts, last) = known else { continue }
                guard await isToBeCarriedOut(request, id, facts, last), let line = facts.taken(by: incarnation) else {
                    return nil
                }
                var details = LogDetails()
                details.acknowledge = request.delivery.subject
                if let token = try await write(line, details, of: id, expected: last) {
                    return hold(id, call, line.facts, token, request, lease, follower)
                }
                known = nil
            }
        } catch  where error.code == .notFound {
            // Forgotten while somebody sent it again.
            acknowledge(.done, request)
        } catch {
            lane(function).putBack(request)
        }
        return nil
    }

    /// What the log says of a call whose request was delivered; it is noted as accepted where nobody has done so.
    private func lookForClaim(
        _ id: String,
        _ call: NewCall,
        _ due: Timestamp,
        _ request: DeliveredRequest
    ) async throws(PlatformFault) -> (facts: CallStanding, last: UInt64)? {
        let (known, last, isForgotten) = try await lookClosely(id)
        if let (stored, line) = known {
            guard let resends = request.resends, line.facts.isOver(by: resends),
                let again = line.facts.resent(request: request.delivery.sequence)
            else { return (line.facts, stored.last) }
            // Whoever sends it again has not come to note it.
            guard let sequence = try await write(again, of: id, expected: stored.last) else { return nil }
            return (again.facts, sequence)
        }
        guard request.resends == nil, !isForgotten else { throw PlatformFault.unknownCall(id) }
        let line = Self.acceptedLine(call, due: due, request: request.delivery.sequence)
        guard let sequence = try await write(line, LogDetails(call), of: id, expected: last) else { return nil }
        var facts = line.facts
        facts.number = sequence
        return (facts, sequence)
    }

    /// Whether a request is this call's present one, and due; says a word to the server where it is not.
    private func isToBeCarriedOut(
        _ request: DeliveredRequest,
        _ id: String,
        _ facts: CallStanding,
        _ last: UInt64
    ) async -> Bool {
        guard facts.isPresent(request.delivery.sequence) else {
            acknowledge(.done, request)
            return false
        }
        if facts.state == .running {
            if adopt(request, last) { return false }
            guard await isLeft(facts, request) else { return false }
        }
        let now = Timestamp.now()
        if facts.due > now {
            acknowledge(.later(facts.due.distance(from: now)), request)
            return false
        }
        guard let limit = settings.queue.timeToLive, facts.due.later(by: limit) < now, facts.state == .waiting else {
            return true
        }
        try? await expire(id)
        return false
    }

    /// Whether a call that is in flight by the log is so nowhere; says a word to the server where it is.
    private func isLeft(_ facts: CallStanding, _ request: DeliveredRequest) async -> Bool {
        // Our own, and not held any more: its lease is over.
        if facts.worker == incarnation { return true }
        // One who fetches a message is never called: whoever was faster has it.
        guard !request.delivery.isFetched else { return false }
        let answer = await presence(of: facts.worker, request: facts.request)
        if case .silent = answer {
            // Cut off, or stopped: what it has it has only until the lease is over.
            if isSilentForLong(facts.request) { return true }
        } else {
            silences.withLock { $0[facts.request] = nil }
        }
        switch answer {
        case .gone, .answers(hasRequest: false): return true
        // It was fetched there, and is delivered for the first time, or was given back by somebody else.
        case .silent, .answers(hasRequest: true):
            acknowledge(.later(settings.lease), request)
            return false
        }
    }

    private func isSilentForLong(_ request: UInt64) -> Bool {
        let now = ContinuousClock.now
        return silences.withLock { silences in
            // Those that nobody asked about again have become somebody else's.
            silences = silences.filter { $0.value > now - settings.lease * 10 }
            guard let since = silences[request] else {
                silences[request] = now
                return false
            }
            guard since <= now - settings.lease else { return false }
            silences[request] = nil
            return true
        }
    }

    /// A request that is in flight here was delivered once more: the server wants to hear of this delivery from now on.
    private func adopt(_ request: DeliveredRequest, _ token: UInt64) -> Bool {
        held.withLock { held in
            guard held[token] != nil else { return false }
            held[token]?.delivery = request.delivery
            return true
        }
    }

    private func hold(
        _ id: String,
        _ call: NewCall,
        _ facts: CallStanding,
        _ token: UInt64,
        _ request: DeliveredRequest,
        _ lease: Duration,
        _ follower: LogFollower
    ) -> LeasedCall? {
        held.withLock { held in
            held[token] = Held(
                id: id,
                facts: facts,
                payload: request.payload,
                delivery: request.delivery,
                expiry: .now + lease
            )
        }
        // Cancelled, or taken by another, before this thread came to note it: the follower could not tell us.
        let isLost = follower.withIndex { $0.position > token && $0.entries[id]?.last != token }
        if isLost {
            held.withLock { $0[token] = nil }
            return nil
        }
        return LeasedCall(lease: CallLease(id: id, token: token), call: call, attempt: facts.attempts + 1)
    }

    func acknowledge(_ word: Acknowledgement, _ request: DeliveredRequest) { acknowledge(word, request.delivery) }

    /// Says a word about a request; one that was not delivered is thrown away when it is done with.
    func acknowledge(_ word: Acknowledgement, _ delivery: Delivery) {
        if delivery.isFetched, case .done = word {
            // Unowned: nobody waits for it; what stays behind is thrown away by whoever finds it.
            Task { try? await server.delete(delivery.sequence, from: streams.requests) }
        }
        word.send(delivery, over: server.connection)
    }

    // MARK: Carrying out

    /// Makes a lease last for so long from now.
    public func renew(_ lease: CallLease, for duration: Duration) async -> Bool {
        let delivery = held.withLock { held -> Delivery? in
            held[lease.token]?.expiry = .now + duration
            return held[lease.token]?.delivery
        }
        guard let delivery else { return false }
        Acknowledgement.inFlight.send(delivery, over: server.connection)
        return true
    }

    /// Gives a call back as if it had not been taken.
    public func release(_ lease: CallLease) async {
        guard let mine = held.withLock({ $0.remove(lease.token) }) else { return }
        guard let line = mine.facts.line(.released, .released) else { return }
        let kept = try? await write(line, of: lease.id, expected: lease.token)
        // Where the log cannot be written, the next one takes it from us when the lease is over.
        guard kept != nil else { return }
        lane(mine.facts.function).putBack(mine.request)
    }

    /// Notes how an attempt ended.
    public func settle(
        _ lease: CallLease,
        attempt: CallAttempt,
        verdict: CallVerdict,
        done: @escaping @Sendable (Result<Bool, PlatformFault>) -> Void
    ) {
        let mine = held.withLock { held -> Held? in
            guard held[lease.token]?.isSettling == false else { return nil }
            held[lease.token]?.isSettling = true
            return held[lease.token]
        }
        guard let mine else { return done(.success(false)) }
        // Unowned: begun wherever a call ends; the worker waits for its outcome.
        Task {
            do throws(PlatformFault) {
                let isKept = try await settle(lease, mine, attempt, verdict)
                held.withLock { $0[lease.token] = nil }
                trial.withLock { $0.ended(lease.id) }
                done(.success(isKept))
            } catch {
                // Not kept: it is still ours, to be settled again.
                held.withLock { held in
                    guard var mine = held[lease.token] else { return }
                    mine.isSettling = false
                    mine.expiry = max(mine.expiry, .now + settings.lease)
                    held[lease.token] = mine
                }
                done(.failure(error))
            }
        }
    }

    private func settle(
        _ lease: CallLease,
        _ mine: Held,
        _ attempt: CallAttempt,
        _ verdict: CallVerdict
    ) async throws(PlatformFault) -> Bool {
        var details = LogDetails()
        details.attempt = LogDetails.Attempt(attempt)
        switch verdict {
        case .retry(let wait):
            guard let line = mine.facts.retried(after: wait),
                try await write(line, details, of: lease.id, expected: lease.token) != nil
            else { return false }
            acknowledge(.later(wait), mine.delivery)
        case .end(let end, let reason, let result):
            guard let line = mine.facts.ended(end) else { return false }
            details.reason = reason
            details.answer = try await keep(result, of: lease)
            try await keepRequest(mine.payload, of: lease.id, isDead: end == .dead)
            guard try await write(line, details, of: lease.id, expected: lease.token) != nil else { return false }
            acknowledge(.done, mine.delivery)
        }
        return true
    }

    /// Keeps the request of a call that is over, for whoever sends it again.
    func keepRequest(_ payload: ByteBuffer, of id: String, isDead: Bool) async throws(PlatformFault) {
        let subject = isDead ? streams.deadSubject(id) : streams.keptSubject(id)
        _ = try await server.publish(
            JetStreamServer.Message(subject: subject, id: freshMessageID(), payload: payload)
        )
    }

    // MARK: Answers

    /// Longest body that the log itself holds.
    private static let shortBody = 4096

    /// Keeps an answer's body: a short one in the log, a longer one in parts.
    private func keep(_ result: CallResult?, of lease: CallLease) async throws(PlatformFault) -> LogDetails.Answer? {
        guard let result else { return nil }
        var answer = LogDetails.Answer(status: result.status, fields: Data(buffer: result.fields), size: result.size)
        guard result.body.readableBytes > Self.shortBody else {
            answer.body = Data(buffer: result.body)
            return answer
        }
        var rest = result.body
        var parts = 0
        while let part = rest.readSlice(length: min(rest.readableBytes, server.maxPayload / 2)), part.readableBytes > 0
        {
            let subject = streams.resultSubject(lease.id, end: String(lease.token), part: String(parts))
            _ = try await server.publish(
                JetStreamServer.Message(subject: subject, id: freshMessageID(), payload: part)
            )
            parts += 1
        }
        (answer.parts, answer.partsName, answer.partsBytes) = (parts, String(lease.token), result.body.readableBytes)
        return answer
    }

    /// An answer with its body; nil when a part is no longer kept.
    func result(_ answer: LogDetails.Answer, of id: String) async throws(PlatformFault) -> CallResult? {
        var body = answer.body.map { ByteBuffer(data: $0) } ?? ByteBuffer()
        for part in 0..<max(0, answer.parts ?? 0) {
            let subject = streams.resultSubject(id, end: answer.partsName ?? "", part: String(part))
            guard let message = try await server.last(of: subject, in: streams.results) else { return nil }
            body.writeImmutableBuffer(message.payload)
        }
        return CallResult(status: answer.status, fields: ByteBuffer(data: answer.fields), body: body, size: answer.size)
    }
}
