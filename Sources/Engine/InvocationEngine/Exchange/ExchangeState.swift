// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Where one call stands, and what follows from what happens to it: the decisions, without anybody who carries them out.
///
/// Every event has a method here; what it returns is to be done.
struct ExchangeState {
    enum Stage {
        /// No call is in flight.
        case none
        /// It is being found out whether it is let in.
        case beginning
        /// Its body is read whole before anything else.
        case collecting
        /// It waits for a slot at a replica.
        case waiting
        /// It has let go of a replica that refused its connection, and rests before it tries again.
        case resting
        /// It has a slot, and an origin carries it out; nothing of an answer is out.
        case carriedOut
        /// The answer's head is out.
        case answering
        /// The client speaks another protocol with the function.
        case tunnel
    }

    /// What becomes of a call that cannot go on.
    enum Ending: Equatable {
        /// The client is told.
        case refuse
        /// Its answer has begun: it must not be taken for a whole one.
        case breakOff
    }

    private(set) var stage = Stage.none
    /// Tells one wait from the next: an outcome that comes late is nobody's.
    private(set) var turn: UInt32 = 0
    private(set) var retries = Retries()
    private(set) var deadline = CallDeadline()
    /// The status of the answer whose head is out; 0 before.
    private(set) var status = 0
    /// Whether the answer is a stream of events, which has no deadline.
    private(set) var isStream = false

    // MARK: The way to an origin

    /// A request has come at a moment.
    mutating func begin() {
        stage = .beginning
        retries = Retries()
        deadline = CallDeadline()
        status = 0
        isStream = false
    }

    /// The call may take no longer than so long from its beginning.
    mutating func limit(to limit: TimeAmount?, from begun: NIODeadline, by owner: CallDeadline.Owner) {
        deadline.shorten(to: limit, from: begun, by: owner)
    }

    /// Other limits than before count, still from its beginning.
    mutating func renewDeadline() { deadline = CallDeadline() }

    /// Its body has to be there whole first.
    mutating func collect() { stage = .collecting }

    /// It asks for a slot and has to wait for one; by the turn it knows its outcome.
    mutating func waitForSlot() -> UInt32 {
        stage = .waiting
        turn &+= 1
        return turn
    }

    /// The outcome of a wait has come; false where it is another call's, or the call is over.
    mutating func endWait(_ turn: UInt32) -> Bool {
        guard turn == self.turn, stage == .waiting || stage == .resting else { return false }
        stage = .beginning
        return true
    }

    /// It has a slot.
    mutating func takeSlot() {
        stage = .carriedOut
        retries.noteAttempt()
    }

    /// A piece of its body was handed to an origin.
    mutating func noteBody() {
        if stage != .collecting { retries.noteBody() }
    }

    /// The replica does not take its connection: how long it rests, with the turn of that; nil to refuse it.
    mutating func connectionRefused() -> (pause: TimeAmount, turn: UInt32)? {
        guard stage == .carriedOut, isUnanswered, let pause = retries.pauseAfterRefusal() else { return nil }
        stage = .resting
        turn &+= 1
        return (pause, turn)
    }

    /// The connection ended before a byte of an answer came: whether the call goes out again on a fresh one.
    mutating func goesOutAgain(isIdempotent: Bool) -> Bool {
        guard stage == .carriedOut, isUnanswered, retries.mayRepeat(isIdempotent: isIdempotent) else { return false }
        retries.noteAttempt()
        return true
    }

    // MARK: The answer

    /// Whether the client has not been told a word.
    var isUnanswered: Bool { status == 0 }

    /// The answer's head goes out.
    mutating func answer(_ status: Int, isStream: Bool) {
        stage = .answering
        self.status = status
        self.isStream = isStream
        if isStream { deadline.lift() }
    }

    /// Client and function speak another protocol from here on.
    mutating func upgrade() { stage = .tunnel }

    // MARK: The end

    /// The origin cannot go on, or the client's body breaks off.
    var ending: Ending { isUnanswered ? .refuse : .breakOff }

    /// Whether its time is up while it has no origin yet: then its function did not become ready in time.
    var isWithoutReplica: Bool { stage == .beginning || stage == .waiting || stage == .resting }

    /// It is over.
    mutating func end() {
        stage = .none
        turn &+= 1
    }
}
