// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import QueueContract

/// What a queue has to know of a call to carry it on; each entry of the log tells all of it.
struct CallStanding: Sendable, Equatable {
    /// Where a call's callback is; what a newer worker says is kept as its word.
    struct Callback: RawRepresentable, Sendable, Hashable {
        let rawValue: String

        /// The call has none, or is cancelled.
        static let none = Callback(rawValue: "-")
        /// The call is not over.
        static let pending = Callback(rawValue: "pending")
        /// It is to be delivered.
        static let waiting = Callback(rawValue: "waiting")
        /// Somebody delivers it.
        static let taken = Callback(rawValue: "taken")
        /// It was delivered.
        static let delivered = Callback(rawValue: "delivered")
        /// It was given up.
        static let failed = Callback(rawValue: "failed")
    }

    var function: FunctionID
    var state = CallState.waiting
    /// Attempts that have ended since it was last sent.
    var attempts = 0
    var acceptedAt: Timestamp
    /// When its next attempt may begin.
    var due: Timestamp
    /// The sequence of its request in the stream of requests.
    var request: UInt64
    /// Its place in the order of acceptance: the sequence of its first entry in the log; 0 in that entry itself.
    var number: UInt64 = 0
    /// Who carries it out, or delivers its callback; empty for nobody.
    var worker = ""
    var callback = Callback.none
    var callbackAttempts = 0
    /// When its callback may be delivered next.
    var callbackDue = Timestamp(nanosecondsSinceEpoch: 0)
    /// Where its result goes; empty for nowhere.
    var callbackURL = ""
    /// The sequence of the entry that ended it; 0 while it is not over, and in that entry itself.
    var end: UInt64 = 0

    /// Whether a request is the one by which it is carried out.
    func isPresent(_ sequence: UInt64) -> Bool { !state.isFinished && request == sequence }

    /// Whether it is over by the entry with a sequence, and was not sent again since.
    func isOver(by sequence: UInt64) -> Bool { state.isFinished && end == sequence }

    /// Whether anything is still to be done about it.
    var isOpen: Bool { !state.isFinished || callback == .waiting || callback == .taken }
}

/// What happened to a call; of what only a newer worker knows, what holds since is taken over all the same.
struct LogEvent: RawRepresentable, Sendable, Hashable {
    let rawValue: String

    static let accepted = LogEvent(rawValue: "accepted")
    static let taken = LogEvent(rawValue: "taken")
    static let released = LogEvent(rawValue: "released")
    static let retried = LogEvent(rawValue: "retried")
    static let ended = LogEvent(rawValue: "ended")
    static let cancelled = LogEvent(rawValue: "cancelled")
    static let expired = LogEvent(rawValue: "expired")
    static let orphaned = LogEvent(rawValue: "orphaned")
    static let resent = LogEvent(rawValue: "resent")
    static let callbackTaken = LogEvent(rawValue: "callbackTaken")
    static let callbackRetried = LogEvent(rawValue: "callbackRetried")
    static let callbackEnded = LogEvent(rawValue: "callbackEnded")
    /// Nothing: said again, so that older entries can go.
    static let carried = LogEvent(rawValue: "carried")
    /// The id is spoken for by a call that is about to be accepted.
    static let reserved = LogEvent(rawValue: "reserved")
    /// The call is being forgotten: what is left of it is no call any more.
    static let forgotten = LogEvent(rawValue: "forgotten")
}

/// The header of an entry of the log: what happened, and what holds since.
struct LogEntry: Sendable, Equatable {
    /// The header's name.
    static let header = "Martlet-Call"

    var event: LogEvent
    /// The state before; nil for the first entry.
    var from: CallState?
    var facts: CallStanding
    var at: Timestamp

    /// As words, split by spaces.
    var text: String {
        let words: [String] = [
            event.rawValue, from?.rawValue ?? "-", facts.state.rawValue, facts.function.namespace, facts.function.name,
            String(facts.attempts), String(facts.acceptedAt.nanosecondsSinceEpoch),
            String(facts.due.nanosecondsSinceEpoch), String(facts.request), String(facts.number),
            facts.worker.isEmpty ? "-" : facts.worker, facts.callback.rawValue, String(facts.callbackAttempts),
            String(facts.callbackDue.nanosecondsSinceEpoch), String(facts.end), String(at.nanosecondsSinceEpoch),
            facts.callbackURL.isEmpty ? "-" : facts.callbackURL.replacing(" ", with: "%20"),
        ]
        return words.joined(separator: " ")
    }

    init(_ event: LogEvent, from: CallState?, _ facts: CallStanding, at: Timestamp = .now()) {
        self.event = event
        self.from = from
        self.facts = facts
        self.at = at
    }

    /// Nil for what is none of ours; words for events and states that this version does not know are kept.
    init?(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count >= 17,
            let attempts = OutsideNumber.count(words[5]), let acceptedAt = Timestamp(word: words[6]),
            let due = Timestamp(word: words[7]), let request = OutsideNumber.sequence(words[8]),
            let number = OutsideNumber.sequence(words[9]),
            let callbackAttempts = OutsideNumber.count(words[12]), let callbackDue = Timestamp(word: words[13]),
            let end = OutsideNumber.sequence(words[14]), let at = Timestamp(word: words[15])
        else { return nil }
        event = LogEvent(rawValue: String(words[0]))
        from = words[1] == "-" ? nil : CallState(rawValue: String(words[1]))
        facts = CallStanding(
            function: FunctionID(name: String(words[4]), namespace: String(words[3])),
            state: CallState(rawValue: String(words[2])),
            attempts: attempts,
            acceptedAt: acceptedAt,
            due: due,
            request: request,
            number: number,
            worker: words[10] == "-" ? "" : String(words[10]),
            callback: CallStanding.Callback(rawValue: String(words[11])),
            callbackAttempts: callbackAttempts,
            callbackDue: callbackDue,
            callbackURL: words[16] == "-" ? "" : String(words[16]),
            end: end
        )
        self.at = at
    }
}

extension Timestamp {
    fileprivate init?(word: Substring) {
        guard let nanoseconds = Int64(word) else { return nil }
        self.init(nanosecondsSinceEpoch: nanoseconds)
    }
}

// MARK: - What can happen

extension CallStanding {
    /// The line of something that happens to this call in its life; nil where it cannot.
    ///
    /// `sequence` is that of the entry that these facts are from.
    func line(_ event: LogEvent, _ cycle: CallEvent, change: (inout CallStanding) -> Void = { _ in }) -> LogEntry? {
        var life = CallLifeCycle(state)
        guard life.apply(cycle) else { return nil }
        var next = self
        next.state = life.state
        next.worker = ""
        change(&next)
        return LogEntry(event, from: state, next)
    }

    /// Somebody takes it; from another's hands only when that one does not have it any more.
    func taken(by worker: String) -> LogEntry? {
        guard state == .running || state == .waiting else { return nil }
        var next = self
        next.state = .running
        next.worker = worker
        return LogEntry(.taken, from: state, next)
    }

    func retried(after wait: Duration) -> LogEntry? {
        line(.retried, .retried) { next in
            next.attempts += 1
            next.due = Timestamp.now().later(by: wait)
        }
    }

    func ended(_ end: CallEnd) -> LogEntry? {
        line(.ended, .ended(end)) { next in
            next.attempts += 1
            if next.callback == .pending {
                next.callback = .waiting
                next.callbackDue = .now()
            }
        }
    }

    /// Its end without an attempt: it calls nobody back.
    func stopped(_ event: LogEvent, _ cycle: CallEvent) -> LogEntry? {
        line(event, cycle) { next in next.callback = .none }
    }

    /// What becomes of its callback, which is in flight.
    func calledBack(_ verdict: CallbackVerdict) -> LogEntry {
        var next = self
        next.worker = ""
        switch verdict {
        case .delivered: next.callback = .delivered
        case .failed: next.callback = .failed
        case .retry(let wait, _):
            next.callback = .waiting
            next.callbackAttempts += 1
            next.callbackDue = Timestamp.now().later(by: wait)
        }
        return LogEntry(next.callback == .waiting ? .callbackRetried : .callbackEnded, from: state, next)
    }

    /// Whoever has it, or its callback, is gone.
    func letGo() -> LogEntry? {
        var next = self
        next.worker = ""
        if state == .running {
            next.state = .waiting
        } else if callback == .taken {
            next.callback = .waiting
        } else {
            return nil
        }
        return LogEntry(.released, from: state, next)
    }

    /// Its request was lost, and stands in the stream again.
    func restored(request: UInt64) -> LogEntry {
        var next = self
        next.request = request
        return LogEntry(.carried, from: state, next)
    }

    /// It is over, and nobody is to know of it any more.
    func forgotten() -> LogEntry? {
        state.isFinished ? LogEntry(.forgotten, from: state, self) : nil
    }

    func resent(request: UInt64) -> LogEntry? {
        line(.resent, .sentAgain) { next in
            next.attempts = 0
            next.due = .now()
            next.request = request
            next.end = 0
            next.callback = next.callbackURL.isEmpty ? .none : .pending
            next.callbackAttempts = 0
        }
    }
}
