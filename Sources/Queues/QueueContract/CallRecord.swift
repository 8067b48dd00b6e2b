// SPDX-License-Identifier: Apache-2.0

public import FunctionModel

/// What is known of an accepted call.
public struct CallRecord: Sendable, Equatable {
    /// The state of a callback.
    public struct Callback: Sendable, Equatable {
        /// Where the result goes.
        public var url: String
        /// `pending`, `waiting`, `delivered` or `failed`; `pending` while the call itself is not over.
        public var state: String
        /// Deliveries tried so far.
        public var attempts: Int
        /// The status of the last delivery; nil before the first, 0 when nobody answered.
        public var status: Int?

        /// Describes a callback.
        public init(url: String, state: String, attempts: Int, status: Int?) {
            self.url = url
            self.state = state
            self.attempts = attempts
            self.status = status
        }
    }

    /// What is kept of an answer.
    public struct Result: Sendable, Equatable {
        /// The status.
        public var status: Int
        /// Header fields in their order.
        public var headers: [(name: String, value: String)]
        /// The whole body's size in bytes.
        public var size: Int
        /// Whether less than that is kept.
        public var isTruncated: Bool
        /// When the body is thrown away.
        public var expiresAt: Timestamp

        /// Describes an answer.
        public init(
            status: Int,
            headers: [(name: String, value: String)],
            size: Int,
            isTruncated: Bool,
            expiresAt: Timestamp
        ) {
            self.status = status
            self.headers = headers
            self.size = size
            self.isTruncated = isTruncated
            self.expiresAt = expiresAt
        }

        /// Whether two results are the same.
        public static func == (left: Result, right: Result) -> Bool {
            left.status == right.status && left.size == right.size && left.isTruncated == right.isTruncated
                && left.expiresAt == right.expiresAt && left.headers.elementsEqual(right.headers, by: ==)
        }
    }

    /// The call's own id.
    public var id: String
    /// Its `X-Call-Id`.
    public var callID: String
    /// The function.
    public var function: FunctionID
    /// Where it is in its life.
    public var state: CallState
    /// The client's method.
    public var method: String
    /// The path behind the function's name.
    public var path: String
    /// The query without `?`; nil when there is none.
    public var query: String?
    /// When it was accepted.
    public var createdAt: Timestamp
    /// When its next attempt may begin.
    public var notBefore: Timestamp
    /// When it was over.
    public var finishedAt: Timestamp?
    /// The attempts that have ended, oldest first.
    public var attempts: [CallAttempt]
    /// Why it is dead.
    public var deadReason: String?
    /// Its callback; nil when there is none.
    public var callback: Callback?
    /// Its answer; nil while there is none, and when it is no longer kept.
    public var result: Result?

    /// Describes a call.
    public init(
        id: String,
        callID: String,
        function: FunctionID,
        state: CallState,
        method: String,
        path: String,
        query: String?,
        createdAt: Timestamp,
        notBefore: Timestamp,
        finishedAt: Timestamp? = nil,
        attempts: [CallAttempt] = [],
        deadReason: String? = nil,
        callback: Callback? = nil,
        result: Result? = nil
    ) {
        self.id = id
        self.callID = callID
        self.function = function
        self.state = state
        self.method = method
        self.path = path
        self.query = query
        self.createdAt = createdAt
        self.notBefore = notBefore
        self.finishedAt = finishedAt
        self.attempts = attempts
        self.deadReason = deadReason
        self.callback = callback
        self.result = result
    }
}

/// Which calls are listed, newest first.
public struct CallQuery: Sendable {
    /// Only this function's.
    public var function: FunctionID?
    /// Only those in this state.
    public var state: CallState?
    /// Only those accepted at or after this moment.
    public var since: Timestamp?
    /// Most calls of one page, 1 to 1000.
    public var limit: Int
    /// Where the last page ended: its `next`.
    public var cursor: String?

    /// Asks for calls.
    public init(
        function: FunctionID? = nil,
        state: CallState? = nil,
        since: Timestamp? = nil,
        limit: Int = 100,
        cursor: String? = nil
    ) {
        self.function = function
        self.state = state
        self.since = since
        self.limit = limit
        self.cursor = cursor
    }
}

/// One page of calls.
public struct CallPage: Sendable {
    /// The calls, newest first.
    public var calls: [CallRecord]
    /// Where the next page begins; nil on the last one.
    public var next: String?

    /// Makes a page.
    public init(calls: [CallRecord], next: String?) {
        self.calls = calls
        self.next = next
    }
}

/// How many calls of one function, or of all, are in each state; those whose records are gone included.
public struct CallCounts: Sendable, Equatable {
    /// All that were ever accepted.
    public var accepted = 0
    /// By state.
    public var waiting = 0
    /// Being carried out.
    public var running = 0
    /// Answered 2xx or 3xx.
    public var succeeded = 0
    /// Answered otherwise, and not retried.
    public var failed = 0
    /// Given up, and kept whole.
    public var dead = 0
    /// Cancelled.
    public var cancelled = 0
    /// Waited beyond their time to live.
    public var expired = 0
    /// In states that this version does not know.
    public private(set) var others: [CallState: Int] = [:]

    /// No calls.
    public init() {}

    /// How many calls are missing, or too many: 0 unless something is wrong with the queue.
    public var drift: Int {
        let known = waiting + running + succeeded + failed + dead + cancelled + expired
        // As many as somebody else likes to name: they need not add up to a number.
        return accepted &- others.values.reduce(known, &+)
    }

    /// The count of a state.
    public subscript(state: CallState) -> Int {
        get {
            switch state {
            case .waiting: waiting
            case .running: running
            case .succeeded: succeeded
            case .failed: failed
            case .dead: dead
            case .cancelled: cancelled
            case .expired: expired
            default: others[state] ?? 0
            }
        }
        set {
            switch state {
            case .waiting: waiting = newValue
            case .running: running = newValue
            case .succeeded: succeeded = newValue
            case .failed: failed = newValue
            case .dead: dead = newValue
            case .cancelled: cancelled = newValue
            case .expired: expired = newValue
            default: others[state] = newValue == 0 ? nil : newValue
            }
        }
    }

    /// Adds the counts of another function.
    public static func += (left: inout CallCounts, right: CallCounts) {
        left.accepted += right.accepted
        for state in CallState.known { left[state] += right[state] }
        for (state, count) in right.others { left[state] &+= count }
    }
}

/// The queue at one moment.
public struct QueueCounts: Sendable {
    /// By function.
    public var functions: [FunctionID: CallCounts]
    /// How long the oldest waiting call has waited; nil when none waits.
    public var oldest: Duration?

    /// Makes counts.
    public init(functions: [FunctionID: CallCounts], oldest: Duration?) {
        self.functions = functions
        self.oldest = oldest
    }

    /// Over all functions.
    public var total: CallCounts { functions.values.reduce(into: CallCounts()) { $0 += $1 } }
}
