// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import Logging
import NIOCore
public import QueueContract

extension JetStreamQueue {
    // MARK: Asking

    /// A call; nil when it is unknown, or so old that it is forgotten.
    public func call(_ id: String) async throws(PlatformFault) -> CallRecord? {
        _ = try await follower()
        return try await look(id).map { record(id, $0.stored, $0.line) }
    }

    func record(_ id: String, _ stored: StoredCall, _ line: LogEntry) -> CallRecord {
        stored.record(id: id, line, resultRetention: settings.queue.resultRetention)
    }

    /// What is kept of a call's answer.
    public func result(_ id: String) async throws(PlatformFault) -> CallResult {
        let (stored, line) = try await known(id)
        guard line.facts.state.isFinished else {
            throw PlatformFault.callNotOver(id)
        }
        if let answer = stored.answer, stored.expiry(settings.queue.resultRetention) > .now(),
            let result = try await result(answer, of: id)
        {
            return result
        }
        throw PlatformFault.resultGone(id)
    }

    func known(_ id: String) async throws(PlatformFault) -> (stored: StoredCall, line: LogEntry) {
        _ = try await follower()
        guard let found = try await look(id) else {
            throw PlatformFault.unknownCall(id)
        }
        return found
    }

    /// How many calls are in each state.
    public func counts() async -> QueueCounts {
        guard let follower = try? await upToDate() else { return QueueCounts(functions: [:], oldest: nil) }
        return follower.withIndex { QueueCounts(functions: $0.counts, oldest: $0.oldest(now: .now())) }
    }

    /// How many calls of each function are due or in flight.
    public func backlog() async -> [FunctionID: Int] {
        guard let follower = try? await upToDate() else { return [:] }
        return follower.withIndex { $0.backlog(now: .now()) }
    }

    // MARK: Ending

    /// Cancels a call that waits or runs.
    public func cancel(_ id: String) async throws(PlatformFault) {
        while true {
            let (stored, line) = try await known(id)
            guard let next = line.facts.stopped(.cancelled, .cancelled) else {
                throw PlatformFault.callIsOver(id, line.facts.state)
            }
            if try await stop(id, line.facts, stored.last, next, isDead: false) { return }
        }
    }

    /// Ends a call without an attempt; false where something else happened to it first.
    func stop(
        _ id: String,
        _ facts: CallStanding,
        _ last: UInt64,
        _ line: LogEntry,
        isDead: Bool,
        reason: String? = nil
    ) async throws(PlatformFault) -> Bool {
        let request = try await storedRequest(facts.request, of: id)
        if let request {
            try await keepRequest(request.payload, of: id, isDead: isDead)
        }
        var details = LogDetails()
        details.reason = reason
        guard try await write(line, details, of: id, expected: last) != nil else { return false }
        // Nobody needs it any more; where this fails, whoever gets it finds that the call is over.
        if let request { try? await server.delete(request.sequence, from: streams.requests) }
        return true
    }

    func expire(_ id: String) async throws(PlatformFault) {
        guard let (stored, line) = try await look(id), let next = line.facts.stopped(.expired, .expired) else { return }
        _ = try await stop(id, line.facts, stored.last, next, isDead: false)
    }

    /// Lets calls expire that nobody takes.
    func expireWaiting(_ follower: LogFollower) async {
        guard let limit = settings.queue.timeToLive else { return }
        let now = Timestamp.now()
        let expired = follower.withIndex { $0.open(.waiting).filter { $0.entry.facts.due.later(by: limit) < now } }
        try? await eachOf(expired) { [self] call throws(PlatformFault) in try await expire(call.id) }
    }

    /// Lets the waiting calls of a function that does not exist any more be dead.
    public func functionDeleted(_ function: FunctionID) async throws(PlatformFault) {
        let follower = try await upToDate()
        let waiting = follower.withIndex { $0.open(.waiting).filter { $0.entry.facts.function == function } }
        let reason = "The function \(function) was deleted."
        try await eachOf(waiting) { [self] call throws(PlatformFault) in
            guard let line = call.entry.facts.stopped(.orphaned, .functionDeleted) else { return }
            _ = try await stop(
                call.id,
                call.entry.facts,
                call.entry.last,
                line,
                isDead: true,
                reason: reason
            )
        }
        try await noteDead(function, reason)
    }

    /// Notes calls of a function that does not exist which the log does not know, and lets them be dead.
    private func noteDead(_ function: FunctionID, _ reason: String) async throws(PlatformFault) {
        let subject = streams.requestSubject(function)
        var next: UInt64 = 1
        while let found = try await server.next(of: subject, from: next, in: streams.requests) {
            next = found.sequence &+ 1
            guard let request = QueueRequest(found.payload) else {
                try await server.delete(found.sequence, from: streams.requests)
                continue
            }
            let fallback = request.id(at: found.sequence, in: settings.name)
            let (id, call, due) = request.call(function, fallback: fallback)
            let (known, last, _) = try await lookClosely(id)
            guard known == nil else { continue }
            let line = Self.acceptedLine(call, due: due, request: found.sequence)
            guard let accepted = try await write(line, LogDetails(call), of: id, expected: last),
                let end = line.facts.stopped(.orphaned, .functionDeleted)
            else { continue }
            var dead = end
            dead.facts.number = accepted
            _ = try await stop(id, line.facts, accepted, dead, isDead: true, reason: reason)
        }
    }

    /// Does something for many, several at a time.
    func eachOf<Element: Sendable>(
        _ elements: [Element],
        _ work: @escaping @Sendable (Element) async throws(PlatformFault) -> Void
    ) async throws(PlatformFault) {
        var rest = elements[...]
        let fault = await withTaskGroup(of: PlatformFault?.self) { group -> PlatformFault? in
            func begin() {
                guard let element = rest.popFirst() else { return }
                group.addTask {
                    do throws(PlatformFault) { try await work(element) } catch { return error }
                    return nil
                }
            }
            for _ in 0..<32 { begin() }
            for await fault in group {
                if let fault { return fault }
                begin()
            }
            return nil
        }
        if let fault { throw fault }
    }

    // MARK: Sending again

    /// Sends a call that is over once more, from its first attempt.
    public func sendAgain(_ id: String) async throws(PlatformFault) {
        while true {
            let (stored, line) = try await known(id)
            guard line.facts.state.isFinished else { throw PlatformFault.callNotOver(id) }
            if try await sendAgain(id, line.facts, stored.last) { return }
        }
    }

    /// Sends a call that is over again, from its first attempt or behind those that it keeps; false where something else
    /// happened to it first.
    func sendAgain(
        _ id: String,
        _ facts: CallStanding,
        _ last: UInt64,
        keeping attempts: [LogDetails.Attempt] = [],
        due: Timestamp = .now()
    ) async throws(PlatformFault) -> Bool {
        guard let request = try await keptRequest(id) else { throw PlatformFault.requestGone(id) }
        guard let sequence = try await publish(request.payload, of: facts.function, resends: facts.end),
            var line = facts.resent(request: sequence)
        else { return false }
        (line.facts.attempts, line.facts.due) = (attempts.count, due)
        var details = LogDetails()
        details.attempts = attempts.isEmpty ? nil : attempts
        guard await noteResent(line, details, of: id, behind: last, end: facts.end) else {
            try? await server.delete(sequence, from: streams.requests)
            return false
        }
        // Only this one: the call may have come and be dead once more already.
        if request.isDead {
            try? await server.purge(streams.deadSubject(id), upTo: request.sequence, from: streams.dead)
        }
        return true
    }

    /// Writes that a call is sent again; false where something else happened to it first.
    ///
    /// Where it cannot be written, the worker that gets the request does so.
    private func noteResent(
        _ line: LogEntry,
        _ details: LogDetails,
        of id: String,
        behind last: UInt64,
        end: UInt64
    ) async -> Bool {
        var last = last
        do throws(PlatformFault) {
            while try await write(line, details, of: id, expected: last) == nil {
                guard let (stored, present) = try await look(id) else { return false }
                // The worker that got the request may have been faster; or only a callback has moved on.
                guard present.facts.isOver(by: end) else { return present.facts.request == line.facts.request }
                last = stored.last
            }
            return true
        } catch {
            logger.warning("a call is sent again, and its log does not say so yet", metadata: ["id": "\(id)"])
            return true
        }
    }

    /// Puts a request into the stream that was there before, and returns its place.
    func publish(
        _ request: ByteBuffer,
        of function: FunctionID,
        resends end: UInt64? = nil
    ) async throws(PlatformFault) -> UInt64? {
        let outcome = try await server.publish(
            JetStreamServer.Message(
                subject: streams.requestSubject(function),
                id: freshMessageID(),
                headers: end.map { [QueueRequest.resendsHeader, String($0)] } ?? [],
                payload: request
            )
        )
        switch outcome {
        case .kept(let sequence), .keptBefore(let sequence): return sequence
        // Said only of messages that expect something.
        case .overtaken: return nil
        }
    }

    /// A request as it is kept for whoever sends it again.
    struct KeptRequest {
        let payload: ByteBuffer
        let sequence: UInt64
        let isDead: Bool
    }

    /// The request of a call that is over; nil when it is no longer kept.
    func keptRequest(_ id: String) async throws(PlatformFault) -> KeptRequest? {
        if let dead = try await server.last(of: streams.deadSubject(id), in: streams.dead) {
            return KeptRequest(payload: dead.payload, sequence: dead.sequence, isDead: true)
        }
        return try await server.last(of: streams.keptSubject(id), in: streams.kept).map {
            KeptRequest(payload: $0.payload, sequence: $0.sequence, isDead: false)
        }
    }

    /// Sends the dead calls of a function, or of all, once more.
    public func sendDeadAgain(_ function: FunctionID?) async throws(PlatformFault) -> Int {
        _ = try await upToDate()
        let ids = try await ids(inStream: streams.dead)
        let sent = Counter()
        try await eachOf(ids) { [self] id throws(PlatformFault) in
            guard let (stored, line) = try await look(id), line.facts.state == .dead,
                function == nil || line.facts.function == function
            else { return }
            if try await sendAgain(id, line.facts, stored.last) { sent.add() }
        }
        return sent.value
    }

    // MARK: Forgetting

    /// Forgets calls that are over.
    public func purge(function: FunctionID?, state: CallState?) async throws(PlatformFault) -> Int {
        if let state, !state.isFinished { throw PlatformFault.callsNotOver(state) }
        let follower = try await upToDate()
        // Whoever starts later cannot count them any more.
        var end = try await countedPosition(follower)
        var seen: Set<String> = []
        var over: [(id: String, last: UInt64, line: LogEntry)] = []
        while let (window, start) = try await window(endingAt: end) {
            for (id, sequence, line) in window.reversed() where seen.insert(id).inserted {
                guard !line.facts.isOpen, state == nil || line.facts.state == state,
                    function == nil || line.facts.function == function
                else { continue }
                over.append((id, sequence, line))
            }
            end = start - 1
        }
        let forgotten = Counter()
        try await eachOf(over) { [self] call throws(PlatformFault) in
            if try await forget(call.id, call.line.facts, call.last) { forgotten.add() }
        }
        return forgotten.value
    }

    /// Notes the counts and returns up to where everything is counted.
    private func countedPosition(_ follower: LogFollower) async throws(PlatformFault) -> UInt64 {
        // More than once where others note them in the same moment.
        for _ in 0..<5 {
            if let position = await writeCounts(follower) { return position }
        }
        throw PlatformFault(
            .storageUnavailable,
            "The counts of the calls cannot be noted, without which none may be forgotten.",
            hint: "Look at the gateway's log, and try again in a moment.",
            retryAfterSeconds: 5
        )
    }

    /// Forgets a call whose last entry is the expected one; false where something has happened to it since.
    private func forget(_ id: String, _ facts: CallStanding, _ last: UInt64) async throws(PlatformFault) -> Bool {
        // First of all it is no call any more: whoever wants to send it again comes too late.
        guard let line = facts.forgotten(), let end = try await write(line, of: id, expected: last) else {
            return false
        }
        // Before the log: with a request that no log knows, it would be a new call.
        if let request = try await storedRequest(facts.request, of: id) {
            try await server.delete(request.sequence, from: streams.requests)
        }
        // One by one: a purge would make the server skip entries of others that the log's readers have not had.
        for entry in try await server.all(of: streams.logSubject(id), in: streams.log) where entry.sequence <= end {
            try await server.delete(entry.sequence, from: streams.log)
        }
        try await server.purge(streams.keptSubject(id), from: streams.kept)
        try await server.purge(streams.deadSubject(id), from: streams.dead)
        try await server.purge(streams.resultSubject(id, end: "*", part: "*"), from: streams.results)
        return true
    }
}
