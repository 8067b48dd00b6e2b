// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import HeapModule
import QueueContract

/// The calls that something is still to be done about, and how many there were of each kind: the log, read to a point.
struct CallIndex: Sendable {
    /// What is known of a call.
    struct Entry: Sendable {
        var facts: CallStanding
        /// The sequence of its last entry in the log.
        var last: UInt64
        var lastAt: Timestamp
        /// Whether it stands among those that wait for their time.
        fileprivate var isEarly = false
    }

    /// What somebody has to be told of.
    enum News: Sendable, Equatable {
        case due(FunctionID)
        case callbackDue
        /// A call was cancelled while somebody had it.
        case cancelled(id: String, taken: UInt64)
        /// A call was taken from somebody who did not renew the lease.
        case lost(taken: UInt64)
    }

    /// Moments of the future, each with a call that is due then.
    private struct Later: Comparable {
        let due: Timestamp
        let id: String
        static func < (left: Later, right: Later) -> Bool { left.due < right.due }
    }

    /// How many calls of a function are in which state right now.
    private struct Lane {
        var early = 0
        var later = Heap<Later>()
    }

    private(set) var entries: [String: Entry] = [:]
    private(set) var counts: [FunctionID: CallCounts]
    private(set) var callbacks: Set<String> = []
    private var lanes: [FunctionID: Lane] = [:]
    /// How far the log was read.
    private(set) var position: UInt64
    /// Up to where the counts were known before.
    private let counted: UInt64
    /// Whether the counts are of a log that was longer: it has lost its end.
    private(set) var isTorn: Bool

    /// Begins at a point whose counts are known; entries up to there are read once more for what they say of open calls.
    init(counts: [FunctionID: CallCounts], counted: UInt64, position: UInt64, isTorn: Bool = false) {
        self.counts = counts
        self.counted = counted
        self.position = position
        self.isTorn = isTorn
    }

    /// Makes counts of a torn log agree with what is there: what waits and runs is known, and all that was accepted is
    /// that and what has ended.
    mutating func mend() {
        guard isTorn else { return }
        var open: [FunctionID: CallCounts] = [:]
        for entry in entries.values where !entry.facts.state.isFinished {
            open[entry.facts.function, default: CallCounts()][entry.facts.state] += 1
        }
        for function in Set(counts.keys).union(open.keys) {
            var row = open[function] ?? CallCounts()
            for state in CallState.known where state.isFinished { row[state] = counts[function]?[state] ?? 0 }
            row.accepted = -row.drift
            counts[function] = row
        }
    }

    /// The mended counts were noted: from now on they are as good as any.
    mutating func countsNoted() { isTorn = false }

    /// Reads the next entry of the log.
    mutating func read(_ line: LogEntry, id: String, sequence: UInt64) -> [News] {
        position = sequence
        guard line.event != .reserved else { return [] }
        if line.event == .forgotten {
            forget(id, entries[id])
            return []
        }
        var facts = line.facts
        if line.event == .accepted { facts.number = sequence }
        if facts.state.isFinished, facts.end == 0 { facts.end = sequence }
        let before = entries[id]
        if sequence > counted { count(line, before) }
        forget(id, before)
        guard facts.isOpen else { return loss(line, id, before) }
        enter(id, Entry(facts: facts, last: sequence, lastAt: line.at), now: .now())
        return news(line, facts, id, before)
    }

    /// The server has no entry before this one any more, or nothing happened for a while.
    mutating func skip(to sequence: UInt64) { position = max(position, sequence) }

    private mutating func count(_ line: LogEntry, _ before: Entry?) {
        guard line.event != .carried else { return }
        var counts = counts[line.facts.function] ?? CallCounts()
        if let from = line.from { counts[from] -= 1 } else { counts.accepted += 1 }
        counts[line.facts.state] += 1
        self.counts[line.facts.function] = counts
    }

    private func news(_ line: LogEntry, _ facts: CallStanding, _ id: String, _ before: Entry?) -> [News] {
        var news = loss(line, id, before)
        if facts.state == .waiting { news.append(.due(facts.function)) }
        if facts.callback == .waiting { news.append(.callbackDue) }
        return news
    }

    /// Whoever had the call has it no longer.
    private func loss(_ line: LogEntry, _ id: String, _ before: Entry?) -> [News] {
        guard let before, before.facts.state == .running else { return [] }
        switch line.event {
        case .cancelled: return [.cancelled(id: id, taken: before.last)]
        case .taken, .released: return [.lost(taken: before.last)]
        default: return []
        }
    }

    // MARK: Entries

    private mutating func enter(_ id: String, _ entry: Entry, now: Timestamp) {
        var entry = entry
        let facts = entry.facts
        if facts.state == .waiting, facts.due > now {
            entry.isEarly = true
            lanes[facts.function, default: Lane()].early += 1
            lanes[facts.function]?.later.insert(Later(due: facts.due, id: id))
        }
        if facts.callback == .waiting || facts.callback == .taken { callbacks.insert(id) }
        entries[id] = entry
    }

    private mutating func forget(_ id: String, _ entry: Entry?) {
        guard let entry else { return }
        if entry.isEarly { lanes[entry.facts.function]?.early -= 1 }
        callbacks.remove(id)
        entries[id] = nil
    }

    /// Lets those be due whose time has come.
    mutating func advance(to now: Timestamp, of function: FunctionID) {
        guard var line = lanes.removeValue(forKey: function) else { return }
        while let next = line.later.min {
            let entry = entries[next.id]
            let holds = entry?.isEarly == true && entry?.facts.due == next.due
            guard !holds || next.due <= now else { break }
            line.later.removeMin()
            guard holds else { continue }
            entries[next.id]?.isEarly = false
            line.early -= 1
        }
        if line.early > 0 || !line.later.isEmpty { lanes[function] = line }
    }

    // MARK: Answers

    /// Calls of a function that may be taken now.
    func dueCount(of function: FunctionID) -> Int {
        (counts[function]?.waiting ?? 0) - (lanes[function]?.early ?? 0)
    }

    /// Calls of a function that are due since a moment, the longest first.
    func due(
        of function: FunctionID,
        since moment: Timestamp,
        atMost count: Int
    ) -> [(id: String, entry: Entry)] {
        let found = entries.filter { _, entry in
            let facts = entry.facts
            return facts.function == function && facts.state == .waiting && max(facts.due, entry.lastAt) < moment
        }
        return found.map { ($0.key, $0.value) }.sorted { $0.1.facts.due < $1.1.facts.due }.prefix(count).map(\.self)
    }

    /// When the next call of a function will be due that is not yet.
    func nextDue(of function: FunctionID) -> Timestamp? { lanes[function]?.later.min?.due }

    /// How many calls of each function are due or in flight.
    mutating func backlog(now: Timestamp) -> [FunctionID: Int] {
        for function in lanes.keys { advance(to: now, of: function) }
        return counts.compactMapValues { $0 }.reduce(into: [:]) { backlog, row in
            let count = dueCount(of: row.key) + row.value.running
            if count > 0 { backlog[row.key] = count }
        }
    }

    /// The functions that have calls waiting, or in flight: those may be left by whoever has them.
    var openFunctions: [FunctionID] { counts.filter { $0.value.waiting + $0.value.running > 0 }.keys.sorted() }

    /// How long the oldest waiting call has waited.
    func oldest(now: Timestamp) -> Duration? {
        entries.values.lazy.filter { $0.facts.state == .waiting }.map(\.facts.acceptedAt).min()
            .map { max(.zero, now.distance(from: $0)) }
    }

    /// The calls in a state that is not over.
    func open(_ state: CallState) -> [(id: String, entry: Entry)] {
        entries.filter { $0.value.facts.state == state }.map { ($0.key, $0.value) }
    }

    /// The first entry of the log that is needed to know all this again.
    var floor: UInt64 { entries.values.lazy.map(\.last).min() ?? position + 1 }
}
