// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import NIOCore
public import QueueContract
import Synchronization

/// A queue that forgets everything with its process: for tests, and as the shortest reading of the contract.
public final class MemoryQueue: CallQueue {
    fileprivate struct Entry {
        var number: Int64
        var call: NewCall
        var record: CallRecord
        var cycle = CallLifeCycle()
        var token: UInt64?
        var result: CallResult?
        var callbackDue: ContinuousClock.Instant?
        var callbackIsInFlight = false
        var end: Int64 = 0

        var isHandedOver: Bool { cycle.state == .cancelled && record.deadReason == MovedCall.reason }
    }

    fileprivate struct State {
        var entries: [String: Entry] = [:]
        var ids: [Int64: String] = [:]
        var keys: [String: CallReceipt] = [:]
        var schedule = CallSchedule()
        var counts: [FunctionID: CallCounts] = [:]
        var lastNumber: Int64 = 0
        var onDue: @Sendable (FunctionID) -> Void = { _ in }
        var onCancel: @Sendable (CallLease) -> Void = { _ in }
        var onCallbackDue: @Sendable () -> Void = {}
    }

    private let state = Mutex(State())
    private let settings: QueueSettings
    private let start = ContinuousClock.now

    /// Makes an empty queue.
    public init(settings: QueueSettings = QueueSettings()) { self.settings = settings }

    private var now: Int64 { Self.nanoseconds(ContinuousClock.now - start) }

    private static func nanoseconds(_ duration: Duration) -> Int64 {
        duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
    }

    // MARK: Accepting

    /// Keeps a call in memory.
    public func accept(_ call: NewCall, done: @escaping @Sendable (Result<CallReceipt, PlatformFault>) -> Void) {
        guard call.body.readableBytes <= settings.bodyLimit else {
            return done(.failure(PlatformFault(.bodyTooLarge, "The body is larger than \(settings.bodyLimit) bytes.")))
        }
        let (receipt, listener) = state.withLock { ($0.accept(call, now: now), $0.onDue) }
        done(.success(receipt))
        listener(call.function)
    }

    // MARK: Working

    /// Who is told that calls are due.
    public func onDue(_ listener: @escaping @Sendable (FunctionID) -> Void) { state.withLock { $0.onDue = listener } }

    /// Who is told that a call in flight was cancelled.
    public func onCancel(_ listener: @escaping @Sendable (CallLease) -> Void) {
        state.withLock { $0.onCancel = listener }
    }

    /// Takes calls that are due.
    public func take(
        from function: FunctionID,
        atMost count: Int,
        lease: Duration
    ) async throws(PlatformFault) -> (calls: [LeasedCall], nextDue: Duration?) {
        let now = now
        return state.withLock { state in
            _ = state.releaseExpired(now: now)
            let (taken, nextDue) = state.schedule.take(
                from: function,
                atMost: count,
                now: now,
                expiry: now + Self.nanoseconds(lease)
            )
            let calls = taken.compactMap { state.lease($0.number, $0.token) }
            return (calls, nextDue.map { .nanoseconds(max(0, $0 - now)) })
        }
    }

    /// Makes a lease last longer.
    public func renew(_ lease: CallLease, for duration: Duration) async -> Bool {
        let now = now
        return state.withLock { state in
            _ = state.releaseExpired(now: now)
            return state.schedule.renew(lease.token, expiry: now + Self.nanoseconds(duration))
        }
    }

    /// Gives a call back.
    public func release(_ lease: CallLease) async {
        let listener = state.withLock { state -> (@Sendable () -> Void)? in
            guard let released = state.schedule.release(lease.token) else { return nil }
            state.changed(released.number) { $0.apply(.released) }
            let onDue = state.onDue
            return { onDue(released.function) }
        }
        listener?()
    }

    /// Notes how an attempt ended.
    public func settle(
        _ lease: CallLease,
        attempt: CallAttempt,
        verdict: CallVerdict,
        done: @escaping @Sendable (Result<Bool, PlatformFault>) -> Void
    ) {
        let now = now
        let listeners = state.withLock { state -> [@Sendable () -> Void]? in
            _ = state.releaseExpired(now: now)
            return state.settle(lease, attempt, verdict, now: now, settings: settings)
        }
        for listener in listeners ?? [] { listener() }
        done(.success(listeners != nil))
    }

    /// The functions that have calls waiting.
    public func waitingFunctions() async -> [FunctionID] { state.withLock { $0.schedule.waitingFunctions } }

    // MARK: Callbacks

    /// Who is told that callbacks may be due.
    public func onCallbackDue(_ listener: @escaping @Sendable () -> Void) {
        state.withLock { $0.onCallbackDue = listener }
    }

    /// Takes callbacks that are due.
    public func takeCallbacks(
        atMost count: Int,
        admits: @escaping @Sendable (_ url: String) -> Bool
    ) async throws(PlatformFault) -> (callbacks: [PendingCallback], nextDue: Duration?) {
        let now = ContinuousClock.now
        return state.withLock { state in
            let pending = state.entries.values.filter { $0.callbackDue != nil && !$0.callbackIsInFlight }
            let due = pending.filter { ($0.callbackDue ?? now) <= now }.sorted { $0.number < $1.number }
                .lazy.filter { admits($0.call.callbackURL ?? "") }.prefix(count).map { $0 }
            for entry in due { state.entries[entry.record.id]?.callbackIsInFlight = true }
            let next = pending.compactMap(\.callbackDue).filter { $0 > now }.min()
            return (due.map(Self.callback), next.map { $0 - now })
        }
    }

    private static func callback(_ entry: Entry) -> PendingCallback {
        let last = entry.record.attempts.last
        let nanoseconds = last.map { $0.finishedAt.nanosecondsSinceEpoch - $0.startedAt.nanosecondsSinceEpoch } ?? 0
        return PendingCallback(
            id: entry.record.id,
            end: entry.end,
            callID: entry.record.callID,
            function: entry.call.function,
            url: entry.call.callbackURL ?? "",
            attempts: entry.record.callback?.attempts ?? 0,
            duration: .nanoseconds(nanoseconds),
            result: entry.result ?? CallResult(status: last?.status ?? 504)
        )
    }

    /// Notes how a delivery ended.
    public func settleCallback(
        _ callback: PendingCallback,
        verdict: CallbackVerdict
    ) async throws(PlatformFault) {
        let id = callback.id
        let listener = state.withLock { state in
            guard state.entries[id]?.end == callback.end else { return state.onCallbackDue }
            state.entries[id]?.callbackIsInFlight = false
            state.entries[id]?.record.callback?.attempts += 1
            switch verdict {
            case .delivered(let status): state.endCallback(id, "delivered", status)
            case .failed(let status): state.endCallback(id, "failed", status)
            case .retry(let wait, let status):
                state.entries[id]?.callbackDue = .now + wait
                state.entries[id]?.record.callback?.status = status
            }
            return state.onCallbackDue
        }
        listener()
    }

    // MARK: Managing

    /// A call.
    public func call(_ id: String) async throws(PlatformFault) -> CallRecord? {
        state.withLock { $0.entries[id].map(Self.record) }
    }

    private static func record(_ entry: Entry) -> CallRecord {
        var record = entry.record
        record.state = entry.cycle.state
        return record
    }

    /// What is kept of a call's answer.
    public func result(_ id: String) async throws(PlatformFault) -> CallResult {
        try state.withLock { state throws(PlatformFault) in
            guard let entry = state.entries[id] else { throw Self.unknown(id) }
            guard entry.cycle.state.isFinished else { throw PlatformFault(.conflict, "The call is not over yet.") }
            guard let result = entry.result else { throw PlatformFault(.gone, "There is no result of the call.") }
            return result
        }
    }

    /// Calls by their properties.
    public func calls(_ query: CallQuery) async throws(PlatformFault) -> CallPage {
        let last = try query.cursor.map { text throws(PlatformFault) in
            guard let number = Int64(text) else { throw PlatformFault(.invalidValue, "The cursor is none.") }
            return number
        }
        return state.withLock { state in
            let found = state.entries.values.filter { entry in
                entry.number < last ?? .max && (query.function == nil || query.function == entry.call.function)
                    && (query.state == nil || query.state == entry.cycle.state)
                    && (query.since ?? entry.record.createdAt) <= entry.record.createdAt
            }.sorted { $0.number > $1.number }
            let shown = found.prefix(query.limit)
            return CallPage(
                calls: shown.map(Self.record),
                next: found.count > shown.count ? shown.last.map { String($0.number) } : nil
            )
        }
    }

    /// How many calls of each function are due or in flight.
    public func backlog() async -> [FunctionID: Int] {
        state.withLock { $0.schedule.backlog(now: now) }
    }

    /// How many calls are in each state.
    public func counts() async -> QueueCounts {
        let wall = Timestamp.now().nanosecondsSinceEpoch
        return state.withLock { state in
            var counts = state.counts
            for (function, waiting, running) in state.schedule.counts {
                counts[function, default: CallCounts()].waiting = waiting
                counts[function, default: CallCounts()].running = running
            }
            let oldest = state.entries.values.filter { $0.cycle.state == .waiting }.map(\.record.createdAt).min()
            return QueueCounts(
                functions: counts,
                oldest: oldest.map { .nanoseconds(max(0, wall - $0.nanosecondsSinceEpoch)) }
            )
        }
    }

    /// Cancels a call.
    public func cancel(_ id: String) async throws(PlatformFault) {
        let (token, listener) = try state.withLock { state throws(PlatformFault) in
            guard let entry = state.entries[id] else { throw Self.unknown(id) }
            guard !entry.cycle.state.isFinished else { throw PlatformFault(.conflict, "The call is over.") }
            state.finish(id, .cancelled, as: .cancelled)
            state.entries[id]?.callbackDue = nil
            return (entry.cycle.state == .running ? entry.token : nil, state.onCancel)
        }
        if let token { listener(CallLease(id: id, token: token)) }
    }

    /// Sends a call once more.
    public func sendAgain(_ id: String) async throws(PlatformFault) {
        let now = now
        let (function, listener) = try state.withLock { state throws(PlatformFault) in
            guard let entry = state.entries[id] else { throw Self.unknown(id) }
            guard entry.cycle.state.isFinished else { throw PlatformFault(.conflict, "The call is not over yet.") }
            state.sendAgain(id, now: now)
            return (entry.call.function, state.onDue)
        }
        listener(function)
    }

    /// Sends dead calls once more.
    public func sendDeadAgain(_ function: FunctionID?) async throws(PlatformFault) -> Int {
        let now = now
        let (sent, listener) = state.withLock { state in
            let dead = state.entries.values.filter { entry in
                entry.cycle.state == .dead && (function == nil || function == entry.call.function)
            }
            for entry in dead { state.sendAgain(entry.record.id, now: now) }
            return (dead.map(\.call.function), state.onDue)
        }
        for function in Set(sent) { listener(function) }
        return sent.count
    }

    /// Forgets calls that are over.
    public func purge(function: FunctionID?, state wanted: CallState?) async throws(PlatformFault) -> Int {
        if let wanted, !wanted.isFinished { throw PlatformFault(.invalidValue, "Those calls are not over.") }
        return state.withLock { state in
            let gone = state.entries.values.filter { entry in
                entry.cycle.state.isFinished && (wanted == nil || wanted == entry.cycle.state)
                    && (function == nil || function == entry.call.function)
            }
            for entry in gone {
                state.entries[entry.record.id] = nil
                state.ids[entry.number] = nil
            }
            return gone.count
        }
    }

    /// Gives a call to another queue.
    public func handOver(_ id: String) async throws(PlatformFault) -> MovedCall {
        try state.withLock { state throws(PlatformFault) in
            guard let entry = state.entries[id] else { throw PlatformFault.unknownCall(id) }
            var call = entry.call
            call.start = .at(entry.record.notBefore)
            let isDead = entry.cycle.state == .dead
            let isExported = entry.record.deadReason == MovedCall.reason
            guard entry.cycle.state == .waiting || isDead || isExported else {
                throw PlatformFault.callNotMovable(id, entry.cycle.state)
            }
            if entry.cycle.state == .waiting {
                state.finish(id, .cancelled, as: .cancelled)
                state.entries[id]?.callbackDue = nil
                state.entries[id]?.record.deadReason = MovedCall.reason
            }
            return MovedCall(
                id: id,
                call: call,
                attempts: entry.record.attempts,
                deadReason: isDead ? entry.record.deadReason ?? "" : nil
            )
        }
    }

    /// Lets a call wait again that was handed over.
    public func takeBack(_ id: String) async throws(PlatformFault) {
        let now = now
        try state.withLock { state throws(PlatformFault) in
            guard let entry = state.entries[id] else { throw PlatformFault.unknownCall(id) }
            guard entry.isHandedOver else { throw PlatformFault.callNotHandedOver(id, entry.cycle.state) }
            state.sendAgain(id, now: now)
            state.entries[id]?.record.attempts = entry.record.attempts
        }
    }

    /// Keeps a call of another queue.
    public func adopt(_ moved: MovedCall) async throws(PlatformFault) -> Bool {
        let now = now
        return state.withLock { state in
            if let entry = state.entries[moved.id], entry.isHandedOver {
                state.counts[entry.call.function, default: CallCounts()].accepted -= 1
                state.counts[entry.call.function, default: CallCounts()].cancelled -= 1
                state.ids[entry.number] = nil
                state.entries[moved.id] = nil
            }
            guard state.entries[moved.id] == nil else { return false }
            var call = moved.call
            call.callID = moved.id
            _ = state.accept(call, now: now)
            state.entries[moved.id]?.call = moved.call
            state.entries[moved.id]?.record.callID = moved.call.callID
            state.entries[moved.id]?.record.attempts = moved.attempts
            if let reason = moved.deadReason {
                state.finish(moved.id, .functionDeleted, as: .dead)
                state.entries[moved.id]?.callbackDue = nil
                state.entries[moved.id]?.record.deadReason = reason
            }
            return true
        }
    }

    /// Lets the waiting calls of a deleted function be dead.
    public func functionDeleted(_ function: FunctionID) async throws(PlatformFault) {
        let listener = state.withLock { state in
            for entry in state.entries.values where entry.call.function == function && entry.cycle.state == .waiting {
                state.finish(entry.record.id, .functionDeleted, as: .dead)
                state.entries[entry.record.id]?.record.deadReason = "The function \(function) was deleted."
            }
            return state.onCallbackDue
        }
        listener()
    }

    /// There is nothing to close.
    public func close() async {}

    private static func unknown(_ id: String) -> PlatformFault { PlatformFault(.notFound, "There is no call \(id).") }
}

extension MemoryQueue.State {
    fileprivate mutating func accept(_ call: NewCall, now: Int64) -> CallReceipt {
        let key = call.idempotencyKey.map { "\(call.function)/\($0)" }
        if let key, var earlier = keys[key] {
            earlier.isDuplicate = true
            return earlier
        }
        lastNumber += 1
        let receipt = CallReceipt(id: entries[call.callID] == nil ? call.callID : CallIDs.fresh(), callID: call.callID)
        if let key { keys[key] = receipt }
        let wall = Timestamp.now().nanosecondsSinceEpoch
        let wait: Int64 =
            switch call.start {
            case .now: 0
            case .after(let delay):
                delay.components.seconds * 1_000_000_000 + delay.components.attoseconds / 1_000_000_000
            case .at(let moment): moment.nanosecondsSinceEpoch - wall
            }
        let record = CallRecord(
            id: receipt.id,
            callID: call.callID,
            function: call.function,
            state: .waiting,
            method: call.method,
            path: call.path,
            query: call.query,
            createdAt: call.acceptedAt,
            notBefore: Timestamp(nanosecondsSinceEpoch: wall + wait),
            callback: call.callbackURL.map { .init(url: $0, state: "pending", attempts: 0, status: nil) }
        )
        entries[receipt.id] = MemoryQueue.Entry(number: lastNumber, call: call, record: record)
        ids[lastNumber] = receipt.id
        counts[call.function, default: CallCounts()].accepted += 1
        schedule.add(lastNumber, of: call.function, due: now + wait, now: now)
        return receipt
    }

    fileprivate mutating func releaseExpired(now: Int64) -> Set<FunctionID> {
        let before = schedule.runningNumbers
        let functions = schedule.releaseExpired(now: now)
        for number in before.subtracting(schedule.runningNumbers) { changed(number) { $0.apply(.released) } }
        return functions
    }

    /// Lets an event happen to a call; its life cycle allows it, or the queue is wrong.
    fileprivate mutating func changed(_ number: Int64, _ change: (inout CallLifeCycle) -> Bool) {
        guard let id = ids[number], var entry = entries[id] else { return }
        let isAllowed = change(&entry.cycle)
        precondition(isAllowed, "an event that cannot happen in the state \(entry.cycle.state)")
        entries[id] = entry
    }

    fileprivate mutating func lease(_ number: Int64, _ token: UInt64) -> LeasedCall? {
        changed(number) { $0.apply(.taken) }
        guard let id = ids[number], let entry = entries[id] else { return nil }
        entries[id]?.token = token
        return LeasedCall(
            lease: CallLease(id: id, token: token),
            call: entry.call,
            attempt: entry.record.attempts.count + 1
        )
    }

    fileprivate mutating func settle(
        _ lease: CallLease,
        _ attempt: CallAttempt,
        _ verdict: CallVerdict,
        now: Int64,
        settings: QueueSettings
    ) -> [@Sendable () -> Void]? {
        guard let held = schedule.end(lease.token), let id = ids[held.number] else { return nil }
        entries[id]?.record.attempts.append(attempt)
        entries[id]?.token = nil
        switch verdict {
        case .retry(let wait):
            changed(held.number) { $0.apply(.retried) }
            let nanoseconds = wait.components.seconds * 1_000_000_000 + wait.components.attoseconds / 1_000_000_000
            schedule.add(held.number, of: held.function, due: now + nanoseconds, now: now)
            let onDue = onDue
            return [{ onDue(held.function) }]
        case .end(let end, let reason, let result):
            changed(held.number) { $0.apply(.ended(end)) }
            entries[id]?.record.deadReason = reason
            entries[id]?.result = result
            if let result { entries[id]?.record.result = Self.kept(result, settings) }
            noteEnd(id)
            return [onCallbackDue]
        }
    }

    private static func kept(_ result: CallResult, _ settings: QueueSettings) -> CallRecord.Result {
        let seconds = settings.resultRetention.components.seconds
        return CallRecord.Result(
            status: result.status,
            headers: FieldLines.read(result.fields),
            size: result.size,
            isTruncated: result.isTruncated,
            expiresAt: Timestamp(
                nanosecondsSinceEpoch: Timestamp.now().nanosecondsSinceEpoch + seconds * 1_000_000_000
            )
        )
    }

    private mutating func noteEnd(_ id: String) {
        guard let entry = entries[id] else { return }
        entries[id]?.end += 1
        entries[id]?.callbackIsInFlight = false
        counts[entry.call.function, default: CallCounts()][entry.cycle.state] += 1
        entries[id]?.record.finishedAt = .now()
        guard entry.call.callbackURL != nil else { return }
        entries[id]?.callbackDue = .now
        entries[id]?.record.callback?.state = "waiting"
    }

    /// Ends a call without an answer.
    fileprivate mutating func finish(_ id: String, _ event: CallEvent, as state: CallState) {
        guard let entry = entries[id] else { return }
        if let token = schedule.token(of: entry.number) {
            _ = schedule.end(token)
        } else {
            schedule.remove(entry.number, of: entry.call.function)
        }
        changed(entry.number) { $0.apply(event) }
        noteEnd(id)
    }

    fileprivate mutating func sendAgain(_ id: String, now: Int64) {
        guard let entry = entries[id] else { return }
        counts[entry.call.function, default: CallCounts()][entry.cycle.state] -= 1
        changed(entry.number) { $0.apply(.sentAgain) }
        entries[id]?.record.attempts = []
        entries[id]?.record.deadReason = nil
        entries[id]?.record.finishedAt = nil
        entries[id]?.record.result = nil
        entries[id]?.result = nil
        entries[id]?.callbackDue = nil
        entries[id]?.record.callback?.state = "pending"
        entries[id]?.record.callback?.attempts = 0
        entries[id]?.record.callback?.status = nil
        schedule.add(entry.number, of: entry.call.function, due: now, now: now)
    }

    fileprivate mutating func endCallback(_ id: String, _ word: String, _ status: Int) {
        entries[id]?.callbackDue = nil
        entries[id]?.record.callback?.state = word
        entries[id]?.record.callback?.status = status
    }
}
