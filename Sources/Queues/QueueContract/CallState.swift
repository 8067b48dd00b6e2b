// SPDX-License-Identifier: Apache-2.0

/// Where an accepted call is in its life.
///
/// Open: a state that a newer worker of a shared queue has brought a call into is kept as its word and shown; the call is
/// counted, and nothing here moves it on.
public struct CallState: RawRepresentable, Sendable, Hashable, Codable {
    /// The word on the wire and in queues.
    public let rawValue: String

    /// A state by its word, known here or not.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// It has not begun, or waits for its next attempt.
    public static let waiting = CallState(rawValue: "waiting")
    /// A worker carries out an attempt.
    public static let running = CallState(rawValue: "running")
    /// The function answered 2xx or 3xx.
    public static let succeeded = CallState(rawValue: "succeeded")
    /// The function gave an answer that is not retried.
    public static let failed = CallState(rawValue: "failed")
    /// All attempts are used up, or the function was deleted: it is kept whole and can be sent again.
    public static let dead = CallState(rawValue: "dead")
    /// Somebody cancelled it.
    public static let cancelled = CallState(rawValue: "cancelled")
    /// It waited beyond its time to live.
    public static let expired = CallState(rawValue: "expired")

    /// The states that this version knows, from accepted to over.
    public static let known: [CallState] = [.waiting, .running, .succeeded, .failed, .dead, .cancelled, .expired]

    /// Whether it is known that nothing more happens to it by itself.
    public var isFinished: Bool { self != .waiting && self != .running && Self.known.contains(self) }
}

/// What can happen to an accepted call.
public enum CallEvent: Sendable, Equatable {
    /// A worker took it.
    case taken
    /// The worker let go of it before its attempt ended.
    case released
    /// An attempt ended and another one follows.
    case retried
    /// An attempt ended, and with it the call.
    case ended(CallEnd)
    /// Somebody cancelled it.
    case cancelled
    /// Its time to live is over.
    case expired
    /// Its function was deleted.
    case functionDeleted
    /// Somebody sends it again.
    case sentAgain
}

/// How the last attempt of a call ended.
public enum CallEnd: Sendable, Equatable {
    /// Why a call is dead that was alone in flight at two deaths of the platform.
    public static let crashReason = "crashed-platform"

    /// The function answered 2xx or 3xx.
    case succeeded
    /// The function gave an answer that is not retried.
    case failed
    /// All attempts are used up, or the function is gone.
    case dead
}

/// The life cycle of an accepted call, as a value without side effects: every queue's states change by it alone.
public struct CallLifeCycle: Sendable, Equatable {
    /// Where the call is.
    public private(set) var state: CallState

    /// A call that was just accepted, or one that is known to be in a state.
    public init(_ state: CallState = .waiting) { self.state = state }

    /// Lets an event happen; false, and nothing changes, when it cannot in this state.
    public mutating func apply(_ event: CallEvent) -> Bool {
        guard let next = Self.next(state, event) else { return false }
        state = next
        return true
    }

    private static func next(_ state: CallState, _ event: CallEvent) -> CallState? {
        switch (state, event) {
        case (.waiting, .taken): .running
        case (.running, .released), (.running, .retried): .waiting
        case (.running, .ended(.succeeded)): .succeeded
        case (.running, .ended(.failed)): .failed
        case (.running, .ended(.dead)), (.waiting, .functionDeleted): .dead
        case (.waiting, .cancelled), (.running, .cancelled): .cancelled
        case (.waiting, .expired): .expired
        case (_, .sentAgain) where state.isFinished: .waiting
        default: nil
        }
    }
}
