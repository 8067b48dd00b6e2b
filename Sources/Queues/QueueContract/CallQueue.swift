// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel

/// Keeps accepted calls until they are over, whatever happens to the machine: the promise behind a 202.
///
/// Delivery is at least once. An implementation passes `QueueConformance`. All methods may be called from anywhere.
public protocol CallQueue: Sendable {
    // MARK: Accepting

    /// Keeps a call.
    ///
    /// `done` is called once, on any thread, with a receipt when the call is kept for good, or with a fault when it is
    /// not: `storageUnavailable` while nothing can be kept, `bodyTooLarge`.
    func accept(_ call: NewCall, done: @escaping @Sendable (Result<CallReceipt, PlatformFault>) -> Void)

    // MARK: Working

    /// Who is told, on any thread, that calls of a function may be taken now; the last one set counts.
    func onDue(_ listener: @escaping @Sendable (FunctionID) -> Void)

    /// Who is told, on any thread, that the lease of a call in flight has ended because the call was cancelled.
    func onCancel(_ listener: @escaping @Sendable (CallLease) -> Void)

    /// Takes calls of one function that are due, the longest due first; `nextDue` says when the next one will be, as far
    /// as is known now.
    ///
    /// Each is leased for `lease`; renew it before, or the call is given to another worker.
    func take(
        from function: FunctionID,
        atMost count: Int,
        lease: Duration
    ) async throws(PlatformFault) -> (calls: [LeasedCall], nextDue: Duration?)

    /// Makes a lease last for so long from now; false when it has ended.
    func renew(_ lease: CallLease, for duration: Duration) async -> Bool

    /// Notes how an attempt ended.
    ///
    /// `done` is called once, on any thread: with true when it is kept for good, with false when the lease had ended
    /// before, and nothing was changed then.
    func settle(
        _ lease: CallLease,
        attempt: CallAttempt,
        verdict: CallVerdict,
        done: @escaping @Sendable (Result<Bool, PlatformFault>) -> Void
    )

    /// Gives a call back as if it had not been taken.
    func release(_ lease: CallLease) async

    /// The functions that have calls waiting.
    func waitingFunctions() async -> [FunctionID]

    // MARK: Callbacks

    /// Who is told, on any thread, that callbacks may be due.
    func onCallbackDue(_ listener: @escaping @Sendable () -> Void)

    /// Takes callbacks that are due; a taken one is due again only when it is settled so, or after a restart.
    ///
    /// `admits` is asked about the URL of each before it is taken, on any thread, as they came due; those that it turns
    /// away stay due. `nextDue` is when the next one will be that is not due yet.
    func takeCallbacks(
        atMost count: Int,
        admits: @escaping @Sendable (_ url: String) -> Bool
    ) async throws(PlatformFault) -> (callbacks: [PendingCallback], nextDue: Duration?)

    /// Notes how a delivery ended; changes nothing when the call was sent again meanwhile.
    func settleCallback(_ callback: PendingCallback, verdict: CallbackVerdict) async throws(PlatformFault)

    // MARK: Managing

    /// A call; nil when it is unknown, or so old that it is forgotten.
    func call(_ id: String) async throws(PlatformFault) -> CallRecord?

    /// What is kept of a call's answer.
    ///
    /// - Throws: `notFound` for an unknown call, `conflict` while it is not over, `gone` when it is no longer kept.
    func result(_ id: String) async throws(PlatformFault) -> CallResult

    /// Calls by their properties, newest first.
    ///
    /// - Throws: `invalidValue` for a cursor that is none.
    func calls(_ query: CallQuery) async throws(PlatformFault) -> CallPage

    /// How many calls are in each state.
    func counts() async -> QueueCounts

    /// How many calls of each function are due or in flight, those without any left out; does not wait for a disk.
    func backlog() async -> [FunctionID: Int]

    /// Cancels a call that waits or runs; kept for good when this returns.
    ///
    /// - Throws: `notFound`, `conflict` when it is over.
    func cancel(_ id: String) async throws(PlatformFault)

    /// Sends a call that is over once more, from its first attempt.
    ///
    /// - Throws: `notFound`, `conflict` while it waits or runs, `gone` when its request is no longer kept.
    func sendAgain(_ id: String) async throws(PlatformFault)

    /// Sends the dead calls of a function, or of all, once more; returns how many.
    func sendDeadAgain(_ function: FunctionID?) async throws(PlatformFault) -> Int

    /// Forgets calls that are over; returns how many.
    ///
    /// - Throws: `invalidValue` for a state that is not over.
    func purge(function: FunctionID?, state: CallState?) async throws(PlatformFault) -> Int

    /// Gives a call that waits, or is dead, to another queue; kept for good when this returns.
    ///
    /// One that waits is cancelled here for `MovedCall.reason`, and kept whole as long as dead calls are: may be asked for
    /// again, and taken back.
    ///
    /// - Throws: `notFound`, `conflict` while it runs and when it is over otherwise, `gone` when its request is no longer
    ///   kept.
    func handOver(_ id: String) async throws(PlatformFault) -> MovedCall

    /// Lets a call wait here again, as it did, that was handed over while it waited.
    ///
    /// - Throws: `notFound`, `conflict` when it was not handed over, `gone` when its request is no longer kept.
    func takeBack(_ id: String) async throws(PlatformFault)

    /// Keeps a call of another queue under its own id; false, and nothing changes, where that is known here.
    ///
    /// One that was handed over from here comes back: it goes on here as the other queue has it.
    func adopt(_ call: MovedCall) async throws(PlatformFault) -> Bool

    /// Lets the waiting calls of functions that do not exist any more be dead.
    func functionDeleted(_ function: FunctionID) async throws(PlatformFault)

    /// Ends the work of the queue; what was accepted stays.
    func close() async
}

extension CallQueue {
    /// Keeps a call, for tasks.
    public func accept(_ call: NewCall) async throws(PlatformFault) -> CallReceipt {
        let outcome = await withCheckedContinuation { continuation in
            accept(call) { continuation.resume(returning: $0) }
        }
        return try outcome.get()
    }

    /// Notes how an attempt ended, for tasks.
    public func settle(
        _ lease: CallLease,
        attempt: CallAttempt,
        verdict: CallVerdict
    ) async throws(PlatformFault) -> Bool {
        let outcome = await withCheckedContinuation { continuation in
            settle(lease, attempt: attempt, verdict: verdict) { continuation.resume(returning: $0) }
        }
        return try outcome.get()
    }
}

/// How long things are kept, and how large they may be.
public struct QueueSettings: Sendable {
    /// Most bytes of a request's body.
    public var bodyLimit: Int
    /// Most bytes of an answer's body that are kept.
    public var resultLimit: Int
    /// How long answers, and the requests they answer, are kept.
    public var resultRetention: Duration
    /// How long dead calls, and the lines of all others, are kept.
    public var callRetention: Duration
    /// How long an idempotency key is remembered.
    public var idempotencyWindow: Duration
    /// How long a call may wait from when it is due before it expires; nil means for ever.
    public var timeToLive: Duration?

    /// Makes settings; the defaults are those of the documentation.
    public init(
        bodyLimit: Int = 16 * 1_048_576,
        resultLimit: Int = 1_048_576,
        resultRetention: Duration = .seconds(24 * 3600),
        callRetention: Duration = .seconds(14 * 24 * 3600),
        idempotencyWindow: Duration = .seconds(24 * 3600),
        timeToLive: Duration? = nil
    ) {
        self.bodyLimit = bodyLimit
        self.resultLimit = resultLimit
        self.resultRetention = resultRetention
        self.callRetention = callRetention
        self.idempotencyWindow = idempotencyWindow
        self.timeToLive = timeToLive
    }
}

extension CallQueue {
    /// Takes callbacks that are due, whoever is called.
    public func takeCallbacks(
        atMost count: Int
    ) async throws(PlatformFault) -> (callbacks: [PendingCallback], nextDue: Duration?) {
        try await takeCallbacks(atMost: count) { _ in true }
    }
}
