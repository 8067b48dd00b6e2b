// SPDX-License-Identifier: Apache-2.0

/// A call on its way from one queue to another, with all that it carries.
public struct MovedCall: Sendable, Equatable {
    /// Why a call that waited is over in the queue that it has left.
    public static let reason = "exported"

    /// Its own id, which it keeps.
    public var id: String
    /// The call; it starts when its next attempt may begin.
    public var call: NewCall
    /// The attempts that have ended.
    public var attempts: [CallAttempt]
    /// Why it is dead; nil for a call that waits.
    public var deadReason: String?

    /// Describes a call.
    public init(id: String, call: NewCall, attempts: [CallAttempt] = [], deadReason: String? = nil) {
        self.id = id
        self.call = call
        self.attempts = attempts
        self.deadReason = deadReason
    }
}
