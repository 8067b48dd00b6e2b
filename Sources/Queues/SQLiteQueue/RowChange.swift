// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import QueueContract

/// A change of rows that needs nothing of the rows that are there: it can be kept in the journal first, and be made in
/// the tables later.
enum RowChange: Sendable {
    case accepted(AcceptedCall)
    case ended(EndedAttempt)

    /// Makes the change in the tables.
    func make(_ batch: inout Batch) throws {
        switch self {
        case .accepted(let call): try call.make(&batch)
        case .ended(let attempt): if !attempt.isInRow { _ = try attempt.make(&batch) }
        }
    }

    /// Prepares changes that are made together: a call that was accepted and ended meanwhile is one row from the start.
    static func join(_ changes: [RowChange]) {
        var accepted: [Int64: AcceptedCall] = [:]
        for change in changes {
            switch change {
            case .accepted(let call): accepted[call.number] = call
            case .ended(let attempt):
                // Only the first attempt: what an earlier one left in the row would be missing.
                guard let call = accepted.removeValue(forKey: attempt.number), attempt.isLast else { continue }
                call.end = attempt
            }
        }
    }
}

/// A call that is kept, as its rows have it.
///
/// What a worker reads of it (`call`, `id`, `number`) is not changed any more when it gets there; its end is the tables'.
final class AcceptedCall: @unchecked Sendable {  // each member is changed by one thread at a time
    let call: NewCall
    /// Where its body is, if that is too large for a row.
    let file: String?
    /// Its own id.
    var id: String
    var number: Int64
    var notBefore: Int64
    /// See `CallRows.Waiting`.
    var delayedBy: Int64
    /// How it ended, if that is known before its row is made.
    var end: EndedAttempt? {
        didSet {
            oldValue?.isInRow = false
            end?.isInRow = true
        }
    }

    init(_ call: NewCall, file: String?, id: String, number: Int64 = 0, notBefore: Int64 = 0, delayedBy: Int64 = 0) {
        var call = call
        // What is in a file need not be in memory.
        if file != nil { call.body = ByteBuffer() }
        self.call = call
        self.file = file
        self.id = id
        self.number = number
        self.notBefore = notBefore
        self.delayedBy = delayedBy
    }

    /// Makes the rows; one that is there already is left as it is.
    fileprivate func make(_ batch: inout Batch) throws {
        guard try CallRows.insert(self, batch.statements) else {
            end = nil
            return
        }
        batch.count(call.function) { $0.accepted += 1 }
        guard let end else { return }
        try end.makeResult(batch)
        end.count(&batch)
    }
}

/// An attempt that has ended, and what becomes of its call.
final class EndedAttempt: @unchecked Sendable {  // handed from thread to thread, and touched by one at a time
    let number: Int64
    let function: FunctionID
    let attempt: CallAttempt
    let verdict: CallVerdict
    /// Where the answer's body is, if that is too large for a row.
    let file: String?
    /// Whether only the beginning of the answer's body is kept.
    let isTruncated: Bool
    /// When that was, by the wall clock.
    let moment: Int64
    /// Until when the answer is kept.
    let expiresAt: Int64
    /// Whether the row of the call is made with this end.
    fileprivate(set) var isInRow = false

    init(
        _ attempt: CallAttempt,
        of number: Int64,
        _ function: FunctionID,
        _ verdict: CallVerdict,
        file: String?,
        isTruncated: Bool? = nil,
        moment: Int64,
        expiresAt: Int64
    ) {
        self.isTruncated = isTruncated ?? verdict.result?.isTruncated ?? false
        self.attempt = attempt
        self.number = number
        self.function = function
        self.verdict = verdict
        self.file = file
        self.moment = moment
        self.expiresAt = expiresAt
    }

    /// Whether its call is over.
    var isLast: Bool { if case .end = verdict { true } else { false } }

    /// How its call is over; nil when it is not.
    var end: (state: CallState, reason: String?)? {
        if case .end(let end, let reason, _) = verdict { (end.state, reason) } else { nil }
    }

    /// Changes the rows; false, and nothing changes, where the call waits no more.
    func make(_ batch: inout Batch) throws -> Bool {
        if case .retry(let wait) = verdict { return try CallRows.retry(self, after: wait.nanoseconds, batch.database) }
        guard try CallRows.end(self, batch.statements) else { return false }
        try makeResult(batch)
        count(&batch)
        return true
    }

    fileprivate func makeResult(_ batch: Batch) throws {
        guard let result = verdict.result else { return }
        try CallRows.insert(result, of: self, batch.statements)
    }

    func count(_ batch: inout Batch) {
        if let (state, _) = end { batch.count(function) { $0[state] += 1 } }
    }
}
