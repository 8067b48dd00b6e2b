// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import InvocationEngine
public import Logging
public import QueueContract
import Synchronization

/// Carries out accepted calls: takes them from the queue, calls their functions, and settles what became of them.
///
/// Each function has a lane of its own, so that a slow one delays nobody else. A lane is woken by events: a call came, one
/// that held a slot others wait for has ended, one is due, its function changed.
public final class InvocationWorker: Sendable {
    private struct State {
        var lanes: [FunctionID: Lane] = [:]
        var running: [UInt64: CallInFlight] = [:]
        var isStopping = false
        var isStopped = false
        var whenIdle: [CheckedContinuation<Void, Never>] = []
        var whenStopped: [CheckedContinuation<Void, Never>] = []
    }

    /// What the worker hears of from outside.
    private enum News {
        /// Calls of a function without a lane are due.
        case due(FunctionID)
        /// A function does not exist any more.
        case gone(FunctionID)
        /// It is known which functions there are: what is called none of them is gone.
        case allAreKnown
    }

    let queue: any CallQueue
    private let settings: WorkerSettings
    private let limits: @Sendable (FunctionID) -> WorkerLimits?
    private let call: FunctionCall
    private let callbacks: CallbackSender
    let logger: Logger
    private let state = Mutex(State())
    private let ends = Atomic<Int>(0)
    private let news: AsyncStream<News>
    private let tell: AsyncStream<News>.Continuation

    /// How many calls this worker has brought to an end.
    public var processed: Int { ends.load(ordering: .relaxed) }

    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Makes a worker.
    ///
    /// `limits` is what is known of a function at the moment, nil where it does not exist; `call` carries a call out.
    /// `refusal` is why a function takes no callback, which is a POST that nobody has asked about before; nil where it does.
    public init(
        queue: any CallQueue,
        settings: WorkerSettings,
        limits: @escaping @Sendable (FunctionID) -> WorkerLimits?,
        refusal: @escaping @Sendable (FunctionID) -> FaultCode?,
        call: @escaping FunctionCall,
        logger: Logger
    ) {
        self.queue = queue
        self.settings = settings
        self.limits = limits
        self.call = call
        self.logger = logger
        (news, tell) = AsyncStream.makeStream(of: News.self)
        callbacks = CallbackSender(queue: queue, settings: settings, refusal: refusal, call: call, logger: logger)
    }

    /// Works until the task is cancelled; once.
    public func run() async {
        queue.onDue { [self] in attend($0) }
        queue.onCancel { [self] lease in cancel(lease.token) }
        for function in await queue.waitingFunctions() { tell.yield(.due(function)) }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.callbacks.run() }
            group.addTask { await self.renewLeases() }
            for await piece in news { take(piece, in: &group) }
            group.cancelAll()
        }
    }

    private func take(_ news: News, in group: inout DiscardingTaskGroup) {
        switch news {
        case .due(let function):
            guard let lane = open(function) else { return }
            group.addTask {
                await lane.run()
                self.close(lane)
            }
            lane.wake()
        case .gone(let function): group.addTask { await self.functionDeleted(function) }
        case .allAreKnown: group.addTask { await self.deadLetterOrphans() }
        }
    }

    /// Has somebody look at a function's calls.
    private func attend(_ function: FunctionID) {
        if !wake(function) { tell.yield(.due(function)) }
    }

    /// A function changed: there may be more slots for its calls, or it may be gone.
    public func functionChanged(_ function: FunctionID) {
        if limits(function) != nil {
            _ = wake(function)
        } else {
            functionRemoved(function)
        }
    }

    /// A function is gone: its waiting calls are dead.
    public func functionRemoved(_ function: FunctionID) { tell.yield(.gone(function)) }

    /// It is known which functions there are, by `limits`: calls of others are dead.
    public func allFunctionsAreKnown() { tell.yield(.allAreKnown) }

    private func functionDeleted(_ function: FunctionID) async {
        // It may have been made again since: what waits may be that one's.
        guard limits(function)?.isKnown != true else { return attend(function) }
        do throws(PlatformFault) { try await queue.functionDeleted(function) } catch {
            logger.error("calls of a deleted function still wait", metadata: ["why": "\(error)"])
        }
    }

    /// Lets the dead be dead: calls of functions that were deleted while nobody looked.
    private func deadLetterOrphans() async {
        for function in await queue.waitingFunctions() where limits(function) == nil { await functionDeleted(function) }
        // Those of functions that were not known before, and are known now not to exist, are over.
        for lane in state.withLock({ Array($0.lanes.values) }) { lane.wake() }
    }

    /// Takes no more calls, lets those in flight end within a limit, and gives the others back to the queue.
    ///
    /// Asked again, it waits until that is done, and the limit that is over first holds.
    public func stop(within limit: Duration) async {
        let isFirst = state.withLock { state in
            defer { state.isStopping = true }
            return !state.isStopping
        }
        await drain(within: limit)
        guard isFirst else { return await stopped() }
        await callbacks.stop()
        let waiting = state.withLock { state in
            state.isStopped = true
            defer { state.whenStopped = [] }
            return state.whenStopped
        }
        for wait in waiting { wait.resume() }
    }

    private func drain(within limit: Duration) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.idle() }
            tasks.addTask {
                guard (try? await Task.sleep(for: limit)) != nil else { return }
                for call in self.state.withLock({ Array($0.running.values) }) { call.cancel() }
            }
            await tasks.next()
            // Either none was left, or they have been told: in both cases it does not take long now.
            await self.idle()
            tasks.cancelAll()
        }
    }

    private func idle() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                guard !state.running.isEmpty else { return true }
                state.whenIdle.append(continuation)
                return false
            }
            if isIdle { continuation.resume() }
        }
    }

    private func stopped() async {
        await withCheckedContinuation { continuation in
            let isStopped = state.withLock { state in
                if !state.isStopped { state.whenStopped.append(continuation) }
                return state.isStopped
            }
            if isStopped { continuation.resume() }
        }
    }

    // MARK: Lanes

    /// Wakes a function's lane; false where there is none yet.
    private func wake(_ function: FunctionID) -> Bool {
        guard let lane = state.withLock({ $0.lanes[function] }) else { return false }
        return lane.wake()
    }

    /// How many functions have a lane.
    var laneCount: Int { state.withLock { $0.lanes.count } }

    /// Forgets a lane that is over.
    private func close(_ lane: Lane) {
        state.withLock { state in
            if state.lanes[lane.function] === lane { state.lanes[lane.function] = nil }
        }
    }

    /// The lane of a function that has none; nil where it has.
    private func open(_ function: FunctionID) -> Lane? {
        state.withLock { state in
            guard state.lanes[function]?.isOver != false else { return nil }
            let lane = Lane(
                function: function,
                queue: queue,
                lease: settings.lease,
                slots: { [self] in slots(of: function) },
                gone: { [self] in tell.yield(.gone(function)) },
                begin: { [self] call, lane in begin(call, lane) }
            )
            state.lanes[function] = lane
            return lane
        }
    }

    /// Calls of a function that may be in flight at a time; nil where it does not exist.
    private func slots(of function: FunctionID) -> Int? {
        guard !isStopping else { return 0 }
        guard let limits = limits(function) else { return nil }
        return min(limits.slots ?? .max, settings.concurrency)
    }

    // MARK: One call

    private func begin(_ leased: LeasedCall, _ lane: Lane) {
        let inFlight = CallInFlight(leased, lane, self)
        let isStopping = state.withLock { state in
            state.running[inFlight.lease.token] = inFlight
            return state.isStopping
        }
        if isStopping { inFlight.giveBack() } else { inFlight.carryOut(by: call) }
    }

    private func cancel(_ token: UInt64) { state.withLock { $0.running[token] }?.cancel() }

    /// An attempt has ended; `isOver` says that its call has, too.
    func ended(_ call: CallInFlight, isOver: Bool) {
        if isOver { ends.add(1, ordering: .relaxed) }
        let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.running[call.lease.token] = nil
            guard state.running.isEmpty, state.isStopping else { return [] }
            defer { state.whenIdle = [] }
            return state.whenIdle
        }
        for wait in waiting { wait.resume() }
    }

    /// Most bytes of an answer that are kept.
    func answerLimit(_ call: NewCall) -> Int {
        call.callbackURL == nil ? settings.answerLimit : settings.callbackAnswerLimit
    }

    /// What becomes of a call after an answer.
    func verdict(_ leased: LeasedCall, _ answer: DirectAnswer) -> CallVerdict {
        let result = CallResult(status: answer.status, fields: answer.fields, body: answer.body, size: answer.size)
        let known = limits(leased.call.function)
        let isAnswered = answer.fault == nil && answer.status < 400
        if answer.fault?.code == .functionNotFound || known == nil && !isAnswered {
            return .end(.dead, reason: "The function \(leased.call.function) was deleted.", result: result)
        }
        let policy = settings.retry.changed(by: known?.retry ?? CallPolicy.Retry())
        let decision = policy.decide(
            status: answer.status,
            isPlatformFault: answer.isPlatformAnswer && answer.status >= 500,
            attempt: leased.attempt,
            retryAfter: answer.retryAfter.flatMap { RetryAfter.parse($0, now: .now()) },
            chance: Double.random(in: 0..<1)
        )
        switch decision {
        case .retry(let wait): return .retry(after: wait)
        case .end(.dead):
            let reason = "The last of \(leased.attempt) attempts ended with status \(answer.status)."
            return .end(.dead, reason: reason, result: result)
        case .end(let end): return .end(end, reason: nil, result: result)
        }
    }

    /// A sign of life for all calls in flight, thrice per lease.
    private func renewLeases() async {
        while (try? await Task.sleep(for: settings.lease / 3)) != nil {
            for running in state.withLock({ Array($0.running.values) }) {
                // Somebody else has it, or it is over: what is still done here is in vain.
                if await !queue.renew(running.lease, for: settings.lease) { running.cancel() }
            }
        }
    }
}
