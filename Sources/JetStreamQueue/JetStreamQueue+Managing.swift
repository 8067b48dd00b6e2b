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

    func record(_ id: String, _ stored: StoredCall, _ line: LogLine) -> CallRecord {
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

    func known(_ id: String) async throws(PlatformFault) -> (stored: StoredCall, line: LogLine) {
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

    /// How many calls of each function are due or under way.
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
        _ facts: CallFacts,
        _ last: UInt64,
        _ line: LogLine,
        isDead: Bool,
        reason: String? = nil
    ) async throws(PlatformFault) -> Bool {
        if let request = try await server.message(facts.request, in: streams.requests) {
            try await keepRequest(request.payload, of: id, isDead: isDead)
        }
        var details = LogDetails()
        details.reason = reason
        guard try await write(line, details, of: id, expected: last) != nil else { return false }
        // Nobody needs it any more; where this fails, whoever gets it finds that the call is over.
        try? await server.delete(facts.request, from: streams.requests)
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
        for (id, _) in expired { try? await expire(id) }
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

    /// False where something else happened to the call first.
    private func sendAgain(_ id: String, _ facts: CallFacts, _ last: UInt64) async throws(PlatformFault) -> Bool {
        guard let request = try await keptRequest(id) else { throw PlatformFault.requestGone(id) }
        let outcome = try await server.publish(
            JetStreamServer.Message(
                subject: streams.requestSubject(facts.function),
                id: freshMessageID(),
                payload: request
            )
        )
        guard case .kept(let sequence) = outcome, let line = facts.resent(request: sequence) else { return false }
        guard try await write(line, of: id, expected: last) != nil else {
            try? await server.delete(sequence, from: streams.requests)
            return false
        }
        try? await server.purge(streams.deadSubject(id), from: streams.dead)
        return true
    }

    /// The request of a call that is over; nil when it is no longer kept.
    func keptRequest(_ id: String) async throws(PlatformFault) -> ByteBuffer? {
        if let dead = try await server.last(of: streams.deadSubject(id), in: streams.dead) { return dead.payload }
        return try await server.last(of: streams.keptSubject(id), in: streams.kept)?.payload
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
        await writeCounts(follower)
        var seen: Set<String> = []
        var forgotten: [String] = []
        var end: UInt64 = follower.withIndex { $0.position }
        while let (window, start) = try await window(endingAt: end) {
            for (id, _, line) in window.reversed() where seen.insert(id).inserted {
                let isOpen = follower.withIndex { $0.entries[id] != nil }
                guard !isOpen, line.facts.state.isFinished, state == nil || line.facts.state == state,
                    function == nil || line.facts.function == function
                else { continue }
                forgotten.append(id)
            }
            end = start - 1
        }
        try await eachOf(forgotten) { [self] id throws(PlatformFault) in try await forget(id) }
        return forgotten.count
    }

    private func forget(_ id: String) async throws(PlatformFault) {
        // One by one: a purge would make the server skip entries of others that the log's readers have not had.
        for entry in try await server.all(of: streams.logSubject(id), in: streams.log) {
            try await server.delete(entry.sequence, from: streams.log)
        }
        try await server.purge(streams.keptSubject(id), from: streams.kept)
        try await server.purge(streams.deadSubject(id), from: streams.dead)
        try await server.purge(streams.resultSubject(id, end: "*", part: "*"), from: streams.results)
    }
}
