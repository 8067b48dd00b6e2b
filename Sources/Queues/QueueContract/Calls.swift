// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import NIOCore

/// A call as a client sent it, to be carried out later.
public struct NewCall: Sendable, Equatable {
    /// When the first attempt may begin.
    public enum Start: Sendable, Equatable {
        /// At once.
        case now
        /// When so much time has passed, whatever the wall clock does meanwhile.
        case after(Duration)
        /// When the wall clock shows this.
        case at(Timestamp)
    }

    /// The function.
    public var function: FunctionID
    /// The client's method.
    public var method: String
    /// The path behind the function's name, undecoded; empty when there is none.
    public var path: String
    /// The query without `?`; nil when there is none.
    public var query: String?
    /// Header lines as they came, each with its CR LF, without those that end at this hop and without ours.
    public var fields: ByteBuffer
    /// The body.
    public var body: ByteBuffer
    /// The client's address without port; empty for none.
    public var clientAddress: String
    /// `X-Call-Id`: the client's, else made here; it may repeat.
    public var callID: String
    /// Whether it was made here a moment ago, so that nobody else has it.
    public var isCallIDFresh: Bool
    /// `Idempotency-Key`.
    public var idempotencyKey: String?
    /// `X-Callback-Url`.
    public var callbackURL: String?
    /// When the first attempt may begin.
    public var start: Start
    /// When it was accepted.
    public var acceptedAt: Timestamp

    /// Describes a call.
    public init(
        function: FunctionID,
        method: String = "POST",
        path: String = "",
        query: String? = nil,
        fields: ByteBuffer = ByteBuffer(),
        body: ByteBuffer = ByteBuffer(),
        clientAddress: String = "",
        callID: String,
        isCallIDFresh: Bool = false,
        idempotencyKey: String? = nil,
        callbackURL: String? = nil,
        start: Start = .now,
        acceptedAt: Timestamp = .now()
    ) {
        self.function = function
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.body = body
        self.clientAddress = clientAddress
        self.callID = callID
        self.isCallIDFresh = isCallIDFresh
        self.idempotencyKey = idempotencyKey
        self.callbackURL = callbackURL
        self.start = start
        self.acceptedAt = acceptedAt
    }
}

/// What a client gets for a call: the promise that it will be carried out.
public struct CallReceipt: Sendable, Equatable {
    /// The call's own id, unique and the same over all attempts.
    public var id: String
    /// Its `X-Call-Id`.
    public var callID: String
    /// Whether it repeats an earlier call by its idempotency key; the ids are that call's.
    public var isDuplicate: Bool

    /// Makes a receipt.
    public init(id: String, callID: String, isDuplicate: Bool = false) {
        self.id = id
        self.callID = callID
        self.isDuplicate = isDuplicate
    }
}

/// The right to carry out one attempt of a call.
///
/// It ends when the attempt is settled, when it was not renewed in time, or when the call is cancelled: whoever settles
/// it after that is told so and changes nothing.
public struct CallLease: Sendable, Hashable {
    /// The call.
    public var id: String
    /// Tells this lease from earlier ones of the same call.
    public var token: UInt64

    /// Names a lease.
    public init(id: String, token: UInt64) {
        self.id = id
        self.token = token
    }
}

/// A call that a worker has taken.
public struct LeasedCall: Sendable {
    /// The right to settle it.
    public var lease: CallLease
    /// The call.
    public var call: NewCall
    /// Which attempt this is, from 1.
    public var attempt: Int

    /// Describes a taken call.
    public init(lease: CallLease, call: NewCall, attempt: Int) {
        self.lease = lease
        self.call = call
        self.attempt = attempt
    }
}

/// One attempt that has ended.
public struct CallAttempt: Sendable, Equatable {
    /// Which attempt it was, from 1.
    public var number: Int
    /// When it began.
    public var startedAt: Timestamp
    /// When it ended.
    public var finishedAt: Timestamp
    /// The status of the answer.
    public var status: Int
    /// Whose fault a failure was: `caller`, `function`, `provider` or `platform`; nil for an answer of the function's.
    public var fault: String?

    /// Describes an attempt.
    public init(number: Int, startedAt: Timestamp, finishedAt: Timestamp, status: Int, fault: String? = nil) {
        self.number = number
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.status = status
        self.fault = fault
    }
}

/// A function's answer, kept for whoever asks.
public struct CallResult: Sendable, Equatable {
    /// The status.
    public var status: Int
    /// Header lines, each with its CR LF.
    public var fields: ByteBuffer
    /// The body, or its beginning.
    public var body: ByteBuffer
    /// The whole body's size in bytes.
    public var size: Int

    /// Whether the body was longer than what is kept.
    public var isTruncated: Bool { body.readableBytes < size }

    /// Describes an answer.
    public init(status: Int, fields: ByteBuffer = ByteBuffer(), body: ByteBuffer = ByteBuffer(), size: Int? = nil) {
        self.status = status
        self.fields = fields
        self.body = body
        self.size = size ?? body.readableBytes
    }
}

/// What becomes of a call behind one attempt.
public enum CallVerdict: Sendable, Equatable {
    /// It waits for its next attempt.
    case retry(after: Duration)
    /// It is over; `reason` says why a call is dead.
    case end(CallEnd, reason: String?, result: CallResult?)
}

/// A callback that is to be delivered.
public struct PendingCallback: Sendable {
    /// The call that has ended.
    public var id: String
    /// Tells this end from others of the same call, when it was sent again.
    public var end: Int64
    /// Its `X-Call-Id`.
    public var callID: String
    /// The function that was called.
    public var function: FunctionID
    /// Where the result goes.
    public var url: String
    /// Deliveries that failed so far.
    public var attempts: Int
    /// How long the last attempt of the call took.
    public var duration: Duration
    /// What the function answered; a bare status where it gave no answer.
    public var result: CallResult

    /// Describes a callback.
    public init(
        id: String,
        end: Int64,
        callID: String,
        function: FunctionID,
        url: String,
        attempts: Int,
        duration: Duration,
        result: CallResult
    ) {
        self.id = id
        self.end = end
        self.callID = callID
        self.function = function
        self.url = url
        self.attempts = attempts
        self.duration = duration
        self.result = result
    }
}

/// What becomes of a callback behind one delivery.
public enum CallbackVerdict: Sendable, Equatable {
    /// The receiver took it.
    case delivered(status: Int)
    /// It is tried again.
    case retry(after: Duration, status: Int)
    /// It is given up.
    case failed(status: Int)
}
