// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel
import GRDB
import Logging
import NIOCore
public import QueueContract
import Synchronization

/// Carrying calls out: taking, renewing, settling.
extension SQLiteQueue {
    /// Who is told that calls of a function are due.
    public func onDue(_ listener: @escaping @Sendable (FunctionID) -> Void) {
        listeners.withLock { $0.due = listener }
    }

    /// Who is told that a call in flight was cancelled.
    public func onCancel(_ listener: @escaping @Sendable (CallLease) -> Void) {
        listeners.withLock { $0.cancel = listener }
    }

    /// The functions that have calls waiting.
    public func waitingFunctions() async -> [FunctionID] { memory.withLock { $0.schedule.waitingFunctions } }

    /// Takes calls that are due.
    public func take(
        from function: FunctionID,
        atMost count: Int,
        lease: Duration
    ) async throws(PlatformFault) -> (calls: [LeasedCall], nextDue: Duration?) {
        let now = clock.monotonic()
        let (taken, nextDue) = memory.withLock { memory in
            let expiry = now + lease.nanoseconds
            let (taken, nextDue) =
                memory.takeSuspect(from: function, now: now, expiry: expiry)
                ?? memory.schedule.take(from: function, atMost: count, now: now, expiry: expiry)
            return (
                taken.map { Taken(number: $0.number, token: $0.token, fresh: memory.takeFresh($0.number)) }, nextDue
            )
        }
        let wait = nextDue.map { Duration.nanoseconds(max(0, $0 - now)) }
        guard !taken.isEmpty else { return ([], wait) }
        do throws(PlatformFault) {
            return (try await load(taken), wait)
        } catch {
            memory.withLock { memory in
                for call in taken { _ = memory.schedule.release(call.token) }
            }
            throw error
        }
    }

    private struct Taken: Sendable {
        let number: Int64
        let token: UInt64
        let fresh: AcceptedCall?
    }

    /// What a worker needs of calls that it has taken.
    private func load(_ taken: [Taken]) async throws(PlatformFault) -> [LeasedCall] {
        let missing = taken.compactMap { $0.fresh == nil ? $0.number : nil }
        let (stored, unreadable) = missing.isEmpty ? ([:], []) : try await stored(missing)
        var calls: [LeasedCall] = []
        calls.reserveCapacity(taken.count)
        // Reading takes time: what was cancelled meanwhile is not begun.
        let held =
            missing.isEmpty
            ? taken
            : memory.withLock { memory in
                taken.filter { memory.schedule.lease($0.token) != nil }
            }
        for call in held {
            if let fresh = call.fresh {
                calls.append(
                    LeasedCall(lease: CallLease(id: fresh.id, token: call.token), call: fresh.call, attempt: 1)
                )
            } else if let found = stored[call.number] {
                if found.call.callbackURL != nil { memory.withLock { _ = $0.toCallBack.insert(call.number) } }
                let lease = CallLease(id: found.id, token: call.token)
                calls.append(LeasedCall(lease: lease, call: found.call, attempt: found.attempts + 1))
            } else if unreadable.contains(call.number) {
                postpone(call)
            } else {
                deadLetter(call)
            }
        }
        return calls
    }

    /// Calls by their numbers; those whose row or body is not there are left out, those whose body cannot be read at the
    /// moment are named.
    private func stored(
        _ numbers: [Int64]
    ) async throws(PlatformFault) -> (calls: [Int64: CallRows.Stored], unreadable: Set<Int64>) {
        let spill = spill
        // On a disk that is full the last calls do not get into the tables, and are carried out all the same.
        let isCurrent = (try? await caughtUp()) != nil
        let behind = isCurrent ? [:] : backlog.withLock { $0.stored(Set(numbers)) }
        return try await readTables { connection in
            var calls: [Int64: CallRows.Stored] = [:]
            var unreadable: Set<Int64> = []
            for number in numbers {
                guard var stored = try CallRows.stored(number, connection) ?? behind[number] else { continue }
                if let file = stored.spill {
                    guard spill.has(file) else { continue }
                    guard let body = try? spill.read(file) else {
                        unreadable.insert(number)
                        continue
                    }
                    stored.call.body = body
                }
                calls[number] = stored
            }
            return (calls, unreadable)
        }
    }

    /// A call whose body cannot be read at the moment waits, and keeps no other from being carried out.
    private func postpone(_ call: Taken) {
        logger.error("a call's body cannot be read; trying again in 10 s", metadata: ["number": "\(call.number)"])
        let function = memory.withLock { memory -> FunctionID? in
            let now = clock.monotonic()
            guard let lease = memory.schedule.end(call.token) else { return nil }
            memory.schedule.add(lease.number, of: lease.function, due: now + 10_000_000_000, now: now)
            return lease.function
        }
        // Who took it was told of the moment of another, or of none.
        if let function { listeners.withLock { $0 }.due(function) }
    }

    /// A call that cannot be carried out must neither come back for ever nor keep others from being carried out.
    private func deadLetter(_ call: Taken) {
        groupCommit.submit { [self] batch in
            guard let lease = memory.withLock({ $0.schedule.lease(call.token) }) else { return }
            let place = CallRows.Place(number: lease.number, function: lease.function, state: .waiting)
            let reason = "Its request is not in the data directory any more."
            guard try CallRows.end(place, as: .dead, reason: reason, &batch) else { return }
            batch.then { memory in
                memory.finish(lease.number, of: lease.function)
                memory.areCallbacksDue = true
            }
        } done: { [logger] outcome in
            let why = if case .failure(let fault) = outcome { "\(fault)" } else { "its request is missing" }
            logger.error("a call cannot be carried out", metadata: ["number": "\(call.number)", "why": "\(why)"])
        }
    }

    /// Makes a lease last longer.
    public func renew(_ lease: CallLease, for duration: Duration) async -> Bool {
        let expiry = clock.monotonic() + duration.nanoseconds
        return memory.withLock { $0.schedule.renew(lease.token, expiry: expiry) }
    }

    /// Gives a call back.
    public func release(_ lease: CallLease) async {
        let function = memory.withLock { $0.schedule.release(lease.token)?.function }
        if let function { listeners.withLock { $0.due }(function) }
    }

    /// Notes how an attempt ended.
    public func settle(
        _ lease: CallLease,
        attempt: CallAttempt,
        verdict: CallVerdict,
        done: @escaping @Sendable (Result<Bool, PlatformFault>) -> Void
    ) {
        guard let body = verdict.result?.body, SpillFolder.isNeeded(for: body) else {
            return groupCommit.submit(Settlement(of: lease, attempt, verdict, nil, in: self, done: done))
        }
        spill(body) { [self] outcome in
            switch outcome {
            case .failure(let fault): done(.failure(fault))
            case .success(let file):
                groupCommit.submit(Settlement(of: lease, attempt, verdict, file, in: self, done: done))
            }
        }
    }
}

/// An attempt whose end is about to be kept.
private final class Settlement: PendingChange, Effect {
    private let queue: SQLiteQueue
    private let lease: CallLease
    private let attempt: CallAttempt
    private let verdict: CallVerdict
    /// Where the answer's body is, if that is too large for a row.
    private let file: String?
    private let done: @Sendable (Result<Bool, PlatformFault>) -> Void
    /// What is kept of it; nil where the lease has ended.
    private var ended: EndedAttempt?
    /// Whether the journal may have it, even if it could not be kept.
    private var isNoted = false

    init(
        of lease: CallLease,
        _ attempt: CallAttempt,
        _ verdict: CallVerdict,
        _ file: String?,
        in queue: SQLiteQueue,
        done: @escaping @Sendable (Result<Bool, PlatformFault>) -> Void
    ) {
        self.lease = lease
        self.attempt = attempt
        self.verdict = verdict
        self.file = file
        self.queue = queue
        self.done = done
    }

    func note(in group: inout JournalGroup) -> Bool {
        // A lease that somebody has settled in the same group, or in one before it, is still there until that is on disk.
        let isFirst = group.settled.insert(lease.token).inserted && !queue.syncs.settles(lease.token)
        let held = isFirst ? held : nil
        // That it was tried is kept with it, and the journal has no room for that.
        guard held?.suspect == nil else { return false }
        ended = held.map { ended($0.lease, at: group.now) }
        if let ended {
            isNoted = true
            group.add(.ended(ended))
            if let (state, _) = ended.end { group.outcome.deltas.change(ended.function) { $0[state] += 1 } }
        }
        conclude(&group.outcome)
        return true
    }

    func make(_ batch: inout Batch) throws {
        let held = held
        ended = held.map { ended($0.lease, at: batch.now) }
        if try ended?.make(&batch) == false { ended = nil }
        if let suspect = held?.suspect, ended != nil { try CrashRows.pass(suspect, batch.database) }
        conclude(&batch.outcome)
    }

    /// What the lease is of, and the call as long as it is one of those that are tried alone.
    private var held: (lease: CallSchedule.Lease, suspect: InFlight?)? {
        queue.memory.withLock { memory in
            memory.schedule.lease(lease.token).map {
                ($0, memory.trial.suspect(InFlight($0.number, isCallback: false)))
            }
        }
    }

    private func ended(_ held: CallSchedule.Lease, at now: Int64) -> EndedAttempt {
        EndedAttempt(
            attempt,
            of: held.number,
            held.function,
            verdict,
            file: file,
            moment: now,
            expiresAt: now + queue.settings.resultRetention.nanoseconds
        )
    }

    private func conclude(_ outcome: inout Outcome) {
        if ended != nil {
            outcome.effects.append(self)
        } else if let file {
            outcome.unneededSpills.append(file)
        }
    }

    func apply(to memory: inout QueueMemory) {
        guard let ended else { return }
        guard case .retry(let wait) = verdict else { return memory.end(ended.number, of: ended.function) }
        let now = queue.clock.monotonic()
        guard let token = memory.schedule.token(of: ended.number) else { return }
        _ = memory.schedule.end(token)
        memory.trial.ended(InFlight(ended.number, isCallback: false))
        memory.wait(ended.number, ended.function, due: now + wait.nanoseconds, now: now)
    }

    func tell() { done(.success(ended != nil)) }

    func fail(_ fault: PlatformFault) {
        if let file, !fault.leavesDoubt, !isNoted { queue.spill.remove(file) }
        done(.failure(fault))
    }
}

extension CallVerdict {
    var result: CallResult? {
        if case .end(_, _, let result) = self { result } else { nil }
    }
}

extension CallEnd {
    var state: CallState {
        switch self {
        case .succeeded: .succeeded
        case .failed: .failed
        case .dead: .dead
        }
    }
}
