// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import QueueContract
import Synchronization

/// The memory of a queue, for one thread at a time.
///
/// Whoever looks sees all that was promised, though those who wait for an answer get it before the memory is changed.
struct SharedMemory: ~Copyable, Sendable {
    private let memory = Mutex(QueueMemory())

    func withLock<Value>(_ body: (inout sending QueueMemory) -> sending Value) -> sending Value {
        memory.withLock { memory in
            memory.makeNoted()
            return body(&memory)
        }
    }

    /// Lets changes that are on disk be true for whoever looks next.
    func note(_ outcome: Outcome) { memory.withLock { $0.note(outcome) } }
}

/// What the queue keeps in memory of what is on disk: changed only when the disk has it.
struct QueueMemory {
    var schedule: CallSchedule
    /// All but `waiting` and `running`, which the schedule knows.
    var counters: [FunctionID: CallCounts] = [:]
    /// What is true and was not made here yet.
    private var noted: [Outcome] = []
    /// What the listeners have to be told after the transaction.
    private var due: Set<FunctionID> = []
    private var lastDue: FunctionID?
    var cancelled: [CallLease] = []
    var areCallbacksDue = false
    /// Callbacks in flight, with the numbers of their calls.
    var callbacks: [CallbackKey: Int64] = [:]
    /// What the last death of the platform may be the fault of.
    var trial = CrashTrial()
    /// Calls in flight, or about to be, whose end somebody is told of.
    var toCallBack: Set<Int64> = []
    /// Calls that were accepted a moment ago and need not be read back to be carried out.
    private var fresh: [Int64: AcceptedCall] = [:]
    private var freshBytes = 0
    /// Most bytes of calls that are kept to spare reading them back.
    private static let freshLimit = 64 * 1_048_576

    /// Nothing waits; leases of an earlier schedule have ended.
    init(after earlier: CallSchedule = CallSchedule()) { schedule = CallSchedule(after: earlier) }

    // MARK: Changes

    fileprivate mutating func note(_ outcome: Outcome) { noted.append(outcome) }

    /// Makes what was noted.
    fileprivate mutating func makeNoted() {
        guard !noted.isEmpty else { return }
        for outcome in noted {
            add(outcome.deltas)
            for effect in outcome.effects { effect.apply(to: &self) }
        }
        noted.removeAll(keepingCapacity: true)
    }

    mutating func wait(_ number: Int64, _ function: FunctionID, due: Int64, now: Int64, followsWallClock: Bool = false)
    {
        let isNext = schedule.add(number, of: function, due: due, now: now, followsWallClock: followsWallClock)
        if isNext { noteDue(function) }
    }

    /// Mostly it is the same as before.
    private mutating func noteDue(_ function: FunctionID) {
        guard function != lastDue else { return }
        lastDue = function
        due.insert(function)
    }

    /// Takes the functions of which the listeners have to be told.
    mutating func takeDue() -> Set<FunctionID> {
        defer {
            due.removeAll(keepingCapacity: true)
            lastDue = nil
        }
        return due
    }

    /// A call that was carried out is over.
    mutating func end(_ number: Int64, of function: FunctionID) {
        if toCallBack.contains(number) { areCallbacksDue = true }
        finish(number, of: function)
    }

    /// A call waits or runs no more.
    mutating func finish(_ number: Int64, of function: FunctionID) {
        fresh.removeValue(forKey: number).map { freshBytes -= Self.size($0) }
        toCallBack.remove(number)
        trial.ended(InFlight(number, isCallback: false))
        guard let token = schedule.token(of: number) else { return schedule.remove(number, of: function) }
        _ = schedule.end(token)
    }

    private mutating func add(_ deltas: CountDeltas) {
        for (function, delta) in deltas.rows { counters[function, default: CallCounts()] += delta }
    }

    // MARK: Fresh calls

    mutating func keep(_ accepted: AcceptedCall) {
        guard freshBytes + Self.size(accepted) <= Self.freshLimit else { return }
        freshBytes += Self.size(accepted)
        fresh[accepted.number] = accepted
        if accepted.call.callbackURL != nil { toCallBack.insert(accepted.number) }
    }

    mutating func takeFresh(_ number: Int64) -> AcceptedCall? {
        guard let entry = fresh.removeValue(forKey: number) else { return nil }
        freshBytes -= Self.size(entry)
        return entry
    }

    private static func size(_ entry: AcceptedCall) -> Int {
        entry.call.body.readableBytes + entry.call.fields.readableBytes + 512
    }

    // MARK: Counting

    var counts: [FunctionID: CallCounts] {
        var counts = counters
        for (function, waiting, running) in schedule.counts {
            counts[function, default: CallCounts()].waiting = waiting
            counts[function, default: CallCounts()].running = running
        }
        return counts.filter { $0.value != CallCounts() }
    }
}

/// One end of a call; sent again, it has another one.
struct CallbackKey: Hashable, Sendable {
    let id: String
    /// When it ended.
    let end: Int64
}
