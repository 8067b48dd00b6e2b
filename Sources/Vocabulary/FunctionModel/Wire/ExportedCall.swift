// SPDX-License-Identifier: Apache-2.0

/// A call on its way from one queue to another: a line of `martlet calls export`.
public struct ExportedCall: Codable, Sendable, Equatable {
    /// Its own id.
    public var id: String
    /// Its `X-Call-Id`.
    public var callId: String
    /// The function, as `name.namespace`.
    public var function: String
    /// The client's method.
    public var method: String
    /// The path behind the function's name.
    public var path: String
    /// The query without `?`; absent when there is none.
    public var query: String?
    /// The header lines as they came, base64.
    public var fields: String
    /// The body, base64.
    public var body: String
    /// The client's address.
    public var clientAddress: String
    /// `Idempotency-Key`.
    public var idempotencyKey: String?
    /// Where the result goes.
    public var callbackUrl: String?
    /// When it was accepted.
    public var createdAt: Timestamp
    /// When its next attempt may begin.
    public var notBefore: Timestamp
    /// The attempts that have ended.
    public var attempts: [CallDescription.Attempt]
    /// Why it is dead; absent for a call that waits.
    public var deadReason: String?

    /// Describes a call.
    public init(
        id: String,
        callId: String,
        function: String,
        method: String,
        path: String,
        query: String?,
        fields: String,
        body: String,
        clientAddress: String,
        idempotencyKey: String?,
        callbackUrl: String?,
        createdAt: Timestamp,
        notBefore: Timestamp,
        attempts: [CallDescription.Attempt],
        deadReason: String?
    ) {
        self.id = id
        self.callId = callId
        self.function = function
        self.method = method
        self.path = path
        self.query = query
        self.fields = fields
        self.body = body
        self.clientAddress = clientAddress
        self.idempotencyKey = idempotencyKey
        self.callbackUrl = callbackUrl
        self.createdAt = createdAt
        self.notBefore = notBefore
        self.attempts = attempts
        self.deadReason = deadReason
    }
}
