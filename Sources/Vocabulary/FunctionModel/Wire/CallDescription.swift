// SPDX-License-Identifier: Apache-2.0

/// An accepted call as `/system/calls` tells of it (martlet-api "Calls").
public struct CallDescription: Codable, Sendable, Equatable {
    /// One attempt that has ended.
    public struct Attempt: Codable, Sendable, Equatable {
        /// Which attempt it was, from 1.
        public var number: Int
        /// When it began.
        public var startedAt: Timestamp
        /// When it ended.
        public var finishedAt: Timestamp
        /// The status of the answer.
        public var status: Int
        /// Whose fault a failure was; absent for an answer of the function's.
        public var fault: String?

        /// Describes an attempt.
        public init(number: Int, startedAt: Timestamp, finishedAt: Timestamp, status: Int, fault: String?) {
            self.number = number
            self.startedAt = startedAt
            self.finishedAt = finishedAt
            self.status = status
            self.fault = fault
        }
    }

    /// A callback.
    public struct Callback: Codable, Sendable, Equatable {
        /// Where the result goes.
        public var url: String
        /// `pending`, `waiting`, `delivered` or `failed`.
        public var state: String
        /// Deliveries tried so far.
        public var attempts: Int
        /// The status of the last one; 0 when nobody answered.
        public var status: Int?

        /// Describes a callback.
        public init(url: String, state: String, attempts: Int, status: Int?) {
            self.url = url
            self.state = state
            self.attempts = attempts
            self.status = status
        }
    }

    /// What is kept of the answer.
    public struct Result: Codable, Sendable, Equatable {
        /// The status.
        public var status: Int
        /// Header fields by name.
        public var headers: [String: [String]]
        /// The whole body's size in bytes.
        public var size: Int
        /// Whether less than that is kept.
        public var truncated: Bool
        /// When the body is thrown away.
        public var expiresAt: Timestamp

        /// Describes an answer.
        public init(status: Int, headers: [String: [String]], size: Int, truncated: Bool, expiresAt: Timestamp) {
            self.status = status
            self.headers = headers
            self.size = size
            self.truncated = truncated
            self.expiresAt = expiresAt
        }
    }

    /// The call's own id.
    public var id: String
    /// Its `X-Call-Id`.
    public var callId: String
    /// `name.namespace`.
    public var function: String
    /// `waiting`, `running`, `succeeded`, `failed`, `dead`, `cancelled` or `expired`.
    public var state: String
    /// The client's method.
    public var method: String
    /// The path behind the function's name.
    public var path: String
    /// The query without `?`.
    public var query: String?
    /// When it was accepted.
    public var createdAt: Timestamp
    /// When its next attempt may begin.
    public var notBefore: Timestamp
    /// When it was over.
    public var finishedAt: Timestamp?
    /// The attempts that have ended, oldest first.
    public var attempts: [Attempt]
    /// Why it is dead.
    public var deadReason: String?
    /// Its callback.
    public var callback: Callback?
    /// Its answer.
    public var result: Result?

    /// Describes a call.
    public init(
        id: String,
        callId: String,
        function: String,
        state: String,
        method: String,
        path: String,
        query: String?,
        createdAt: Timestamp,
        notBefore: Timestamp,
        finishedAt: Timestamp?,
        attempts: [Attempt],
        deadReason: String?,
        callback: Callback?,
        result: Result?
    ) {
        self.id = id
        self.callId = callId
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

/// A page of `/system/calls`.
public struct CallListing: Codable, Sendable {
    /// The calls, newest first.
    public var calls: [CallDescription]
    /// Where the next page begins; absent on the last one.
    public var next: String?

    /// Makes a page.
    public init(calls: [CallDescription], next: String?) {
        self.calls = calls
        self.next = next
    }
}

/// How many calls are in each state: an entry of `/system/queue`.
public struct QueueNumbers: Codable, Sendable, Equatable {
    /// `name.namespace`; absent for all functions together.
    public var function: String?
    /// All that were ever accepted.
    public var accepted: Int
    /// By state.
    public var waiting: Int
    /// Being carried out.
    public var running: Int
    /// Answered 2xx or 3xx.
    public var succeeded: Int
    /// Answered otherwise, and not retried.
    public var failed: Int
    /// Given up, and kept whole.
    public var dead: Int
    /// Cancelled.
    public var cancelled: Int
    /// Waited beyond their time to live.
    public var expired: Int

    /// Makes an entry.
    public init(
        function: String?,
        accepted: Int,
        waiting: Int,
        running: Int,
        succeeded: Int,
        failed: Int,
        dead: Int,
        cancelled: Int,
        expired: Int
    ) {
        self.function = function
        self.accepted = accepted
        self.waiting = waiting
        self.running = running
        self.succeeded = succeeded
        self.failed = failed
        self.dead = dead
        self.cancelled = cancelled
        self.expired = expired
    }
}

/// `/system/queue`: the numbers of all functions together, and of each.
public struct QueueDescription: Codable, Sendable {
    /// All functions together.
    public var total: QueueNumbers
    /// How long the oldest waiting call has waited, in seconds; absent when none waits.
    public var oldestSeconds: Double?
    /// Each function.
    public var functions: [QueueNumbers]

    private enum Keys: String, CodingKey {
        case oldestSeconds
        case functions
    }

    /// Makes a description.
    public init(total: QueueNumbers, oldestSeconds: Double?, functions: [QueueNumbers]) {
        self.total = total
        self.oldestSeconds = oldestSeconds
        self.functions = functions
    }

    /// Reads the total's members beside the others.
    public init(from decoder: any Decoder) throws {
        total = try QueueNumbers(from: decoder)
        let container = try decoder.container(keyedBy: Keys.self)
        oldestSeconds = try container.decodeIfPresent(Double.self, forKey: .oldestSeconds)
        functions = try container.decode([QueueNumbers].self, forKey: .functions)
    }

    /// Writes the total's members beside the others.
    public func encode(to encoder: any Encoder) throws {
        try total.encode(to: encoder)
        var container = encoder.container(keyedBy: Keys.self)
        try container.encodeIfPresent(oldestSeconds, forKey: .oldestSeconds)
        try container.encode(functions, forKey: .functions)
    }
}
