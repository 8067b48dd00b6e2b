// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import NIOCore
import NIOFoundationCompat
import QueueContract

/// The body of an entry of the log: what only people and receivers of callbacks want to know.
struct LogDetails: Codable, Sendable {
    /// The call, in the entry that accepts it.
    struct Call: Codable, Sendable {
        var callID: String
        var method: String
        var path: String
        var query: String?
        var callbackURL: String?
    }

    /// An attempt that has ended.
    struct Attempt: Codable, Sendable {
        var number: Int
        var startedAt: Int64
        var finishedAt: Int64
        var status: Int
        var fault: String?
    }

    /// An answer; its body is here when it is short, else in parts in the stream of results.
    struct Answer: Codable, Sendable {
        var status: Int
        var fields: Data
        var size: Int
        var body: Data?
        /// Otherwise how many parts there are, the word that they are named by, and how long they are together.
        var parts: Int?
        var partsName: String?
        var partsBytes: Int?
    }

    var call: Call?
    var attempt: Attempt?
    /// All attempts so far, in the entry that accepts a call of another queue.
    var attempts: [Attempt]?
    var reason: String?
    var answer: Answer?
    /// The status of a callback's delivery.
    var callbackStatus: Int?
    /// At how many deaths of a worker by a fault of its own the call, or its callback, was alone in flight.
    var deaths: Int?
    /// Where a word about the message of the request goes, from whoever has to say it.
    var acknowledge: String?
    /// All of it, in an entry that carries older ones on.
    var all: StoredCall?

    var payload: ByteBuffer { (try? JSONEncoder().encode(self)).map { ByteBuffer(data: $0) } ?? ByteBuffer() }

    init() {}

    init(_ call: NewCall) {
        self.call = Call(
            callID: call.callID,
            method: call.method,
            path: call.path,
            query: call.query,
            callbackURL: call.callbackURL
        )
    }
}

/// A call, as all entries of the log tell it.
struct StoredCall: Codable, Sendable {
    /// The last entry's line.
    private var lineText: String
    /// The last entry's sequence.
    private(set) var last: UInt64
    private(set) var call: LogDetails.Call?
    private(set) var attempts: [LogDetails.Attempt] = []
    private(set) var reason: String?
    private(set) var answer: LogDetails.Answer?
    private(set) var finishedAt: Int64?
    private(set) var callbackStatus: Int?
    private(set) var callbackTries = 0
    private var crashes: Int?
    /// Deaths of workers at which it was alone in flight.
    var deaths: Int { crashes ?? 0 }

    /// Where the call is; nil for what no version of ours has written.
    var line: LogEntry? {
        guard var line = LogEntry(lineText) else { return nil }
        if line.facts.number == 0 { line.facts.number = last }
        if line.facts.state.isFinished, line.facts.end == 0 { line.facts.end = last }
        return line
    }

    /// Reads the entries of one call, oldest first; nil where there is no call.
    init?(_ entries: [StoredMessage]) {
        var made: StoredCall?
        for entry in entries {
            guard let text = entry.header(LogEntry.header), let line = LogEntry(text), line.event != .reserved else {
                continue
            }
            if line.event == .forgotten {
                made = nil
                continue
            }
            let details =
                (try? JSONDecoder().decode(LogDetails.self, from: entry.payload)) ?? LogDetails()
            if made == nil { made = details.all ?? StoredCall(text, entry.sequence) }
            made?.read(line, text, details, entry.sequence)
        }
        guard let made else { return nil }
        self = made
    }

    private init(_ lineText: String, _ last: UInt64) {
        self.lineText = lineText
        self.last = last
    }

    private mutating func read(_ line: LogEntry, _ text: String, _ details: LogDetails, _ sequence: UInt64) {
        (lineText, last) = (text, sequence)
        if let call = details.call { self.call = call }
        if let attempt = details.attempt { attempts.append(attempt) }
        if let deaths = details.deaths { crashes = self.deaths &+ deaths }
        if let earlier = details.attempts { attempts = earlier }
        switch line.event {
        case .ended, .cancelled, .expired, .orphaned:
            (reason, answer, finishedAt) = (details.reason, details.answer, line.at.nanosecondsSinceEpoch)
        case .resent:
            (reason, answer, finishedAt, callbackStatus, callbackTries, crashes) = (nil, nil, nil, nil, 0, nil)
            attempts = details.attempts ?? []
        case .callbackRetried, .callbackEnded:
            callbackStatus = details.callbackStatus
            callbackTries &+= 1
        case .accepted where line.facts.state.isFinished:
            (reason, finishedAt) = (details.reason, line.at.nanosecondsSinceEpoch)
        default: break
        }
    }

    // MARK: As others know it

    /// How long the last attempt took.
    var duration: Duration {
        attempts.last.map { .nanoseconds(max(0, $0.finishedAt.clampedDifference(from: $0.startedAt))) } ?? .zero
    }

    func record(id: String, _ line: LogEntry, resultRetention: Duration) -> CallRecord {
        CallRecord(
            id: id,
            callID: call?.callID ?? id,
            function: line.facts.function,
            state: line.facts.state,
            method: call?.method ?? "POST",
            path: call?.path ?? "",
            query: call?.query,
            createdAt: line.facts.acceptedAt,
            notBefore: line.facts.due,
            finishedAt: finishedAt.map(Timestamp.init(nanosecondsSinceEpoch:)),
            attempts: attempts.map(\.attempt),
            deadReason: line.facts.state == .dead || reason == MovedCall.reason ? reason : nil,
            callback: callback(line),
            result: result(resultRetention)
        )
    }

    private func callback(_ line: LogEntry) -> CallRecord.Callback? {
        guard let url = call?.callbackURL, line.facts.callback != .none else { return nil }
        let state = line.facts.callback == .taken ? "waiting" : line.facts.callback.rawValue
        return CallRecord.Callback(url: url, state: state, attempts: callbackTries, status: callbackStatus)
    }

    /// When the answer is thrown away.
    func expiry(_ retention: Duration) -> Timestamp {
        Timestamp(nanosecondsSinceEpoch: finishedAt ?? 0).later(by: retention)
    }

    private func result(_ retention: Duration) -> CallRecord.Result? {
        guard let answer, expiry(retention) > .now() else { return nil }
        let kept = answer.body?.count ?? answer.partsBytes ?? 0
        return CallRecord.Result(
            status: answer.status,
            headers: FieldLines.read(ByteBuffer(data: answer.fields)),
            size: answer.size,
            isTruncated: kept < answer.size,
            expiresAt: expiry(retention)
        )
    }
}

extension LogDetails.Attempt {
    init(_ attempt: CallAttempt) {
        self.init(
            number: attempt.number,
            startedAt: attempt.startedAt.nanosecondsSinceEpoch,
            finishedAt: attempt.finishedAt.nanosecondsSinceEpoch,
            status: attempt.status,
            fault: attempt.fault
        )
    }

    var attempt: CallAttempt {
        CallAttempt(
            number: number,
            startedAt: Timestamp(nanosecondsSinceEpoch: startedAt),
            finishedAt: Timestamp(nanosecondsSinceEpoch: finishedAt),
            status: status,
            fault: fault
        )
    }
}
