// SPDX-License-Identifier: Apache-2.0

import DequeModule
package import FunctionModel
import HeapModule

/// Hears which calls are in flight, in the order in which that changes.
package protocol LeaseObserver: AnyObject, Sendable {
    /// A call was leased.
    func began(_ number: Int64)
    /// Its lease has ended.
    func ended(_ number: Int64)
}

/// Which waiting call is next, and which are in flight: the part of a queue that lives in memory.
///
/// Calls are known by numbers in the order of their acceptance. Moments are nanoseconds of a clock that never jumps; a
/// moment of the wall clock is turned into one when the call comes in, and again when the wall clock was set.
package struct CallSchedule: Sendable {
    /// A call in flight.
    package struct Lease: Sendable, Equatable {
        /// The call.
        package let number: Int64
        /// The call's function.
        package let function: FunctionID
        /// When it ends unless it is renewed.
        package fileprivate(set) var expiry: Int64
        /// The lane it was taken from, which is there as long as the call is in flight.
        fileprivate let lane: Int
    }

    /// One wait of a call in a lane.
    private struct Ticket {
        let number: Int64
        /// Tells it from other waits of the same call.
        let serial: UInt64
    }

    private struct Later: Comparable {
        let due: Int64
        let ticket: Ticket
        let followsWallClock: Bool

        static func < (left: Later, right: Later) -> Bool {
            (left.due, left.ticket.serial) < (right.due, right.ticket.serial)
        }

        static func == (left: Later, right: Later) -> Bool {
            (left.due, left.ticket.serial) == (right.due, right.ticket.serial)
        }
    }

    /// What is known of a call with tickets in a lane that hold no longer.
    private struct Stale {
        var tickets = 1
        /// The one that holds; nil when the call does not wait.
        var valid: UInt64?
    }

    private struct Lane {
        /// Those that are due.
        var ready = Deque<Ticket>()
        var later = Heap<Later>()
        var waiting = 0
        var running = 0

        /// Returns whether it is the next of those that wait for their time, or one that waits for nothing.
        mutating func add(_ ticket: Ticket, _ later: Later?) -> Bool {
            waiting += 1
            guard let later else {
                ready.append(ticket)
                return true
            }
            self.later.insert(later)
            return self.later.min == later
        }
    }

    /// The lanes; what a function's name leads to is looked up once, and changed in its place.
    private var lanes: [Lane] = []
    private var places: [FunctionID: Int] = [:]
    private var freePlaces: [Int] = []
    private var leases: [UInt64: Lease] = [:]
    private var tokens: [Int64: UInt64] = [:]
    /// Calls that were taken out of a lane in which they still stand.
    private var stale: [Int64: Stale] = [:]
    private var lastSerial: UInt64 = 0
    private var lastToken: UInt64 = 0
    /// Who is told which calls are in flight.
    package var observer: (any LeaseObserver)?

    /// Nothing waits.
    package init() {}

    /// Nothing waits, and no lease of an earlier schedule is taken for one of this one.
    package init(after earlier: CallSchedule) { (lastToken, observer) = (earlier.lastToken, earlier.observer) }

    // MARK: Waiting

    /// Lets a call wait; `due` may be past.
    ///
    /// Returns whether the lane may be looked at earlier because of it: false for one behind another that waits for its
    /// time, since whoever took from the lane knows when that is.
    @discardableResult package mutating func add(
        _ number: Int64,
        of function: FunctionID,
        due: Int64,
        now: Int64,
        followsWallClock: Bool = false
    ) -> Bool {
        let ticket = ticket(number)
        let later = due > now ? Later(due: due, ticket: ticket, followsWallClock: followsWallClock) : nil
        return lanes[place(of: function)].add(ticket, later)
    }

    private mutating func place(of function: FunctionID) -> Int {
        if let place = places[function] { return place }
        if let place = freePlaces.popLast() {
            places[function] = place
            return place
        }
        lanes.append(Lane())
        places[function] = lanes.count - 1
        return lanes.count - 1
    }

    /// Takes a waiting call out.
    package mutating func remove(_ number: Int64, of function: FunctionID) {
        if stale[number] == nil {
            stale[number] = Stale()
        } else {
            stale[number]?.tickets += 1
            stale[number]?.valid = nil
        }
        if let place = places[function] { lanes[place].waiting -= 1 }
    }

    private mutating func ticket(_ number: Int64) -> Ticket {
        lastSerial += 1
        if stale[number] != nil { stale[number]?.valid = lastSerial }
        return Ticket(number: number, serial: lastSerial)
    }

    /// Whether a ticket that leaves its lane still holds.
    private mutating func holds(_ ticket: Ticket) -> Bool {
        guard let known = stale[ticket.number] else { return true }
        if known.valid == ticket.serial { return true }
        if known.tickets == 1 { stale[ticket.number] = nil } else { stale[ticket.number]?.tickets -= 1 }
        return false
    }

    /// Moves those that follow the wall clock, which was set forward by so much.
    package mutating func wallClockMoved(by shift: Int64) {
        for place in lanes.indices where lanes[place].later.unordered.contains(where: \.followsWallClock) {
            let moved = lanes[place].later.unordered.map { entry in
                entry.followsWallClock
                    ? Later(
                        due: entry.due.clampedDifference(from: shift),
                        ticket: entry.ticket,
                        followsWallClock: true
                    ) : entry
            }
            lanes[place].later = Heap(moved)
        }
    }

    // MARK: Taking

    /// Leases calls that are due, in the order in which they became so; tells when the next one will be.
    package mutating func take(
        from function: FunctionID,
        atMost count: Int,
        now: Int64,
        expiry: Int64
    ) -> (taken: [(number: Int64, token: UInt64)], nextDue: Int64?) {
        guard let place = places[function] else { return ([], nil) }
        while let next = lanes[place].later.min, next.due <= now {
            lanes[place].ready.append(next.ticket)
            lanes[place].later.removeMin()
        }
        var taken: [(number: Int64, token: UInt64)] = []
        taken.reserveCapacity(min(count, lanes[place].ready.count))
        while taken.count < count, let ticket = lanes[place].ready.popFirst() {
            guard stale.isEmpty || holds(ticket) else { continue }
            let number = ticket.number
            lanes[place].waiting -= 1
            taken.append((number, lease(number, of: function, in: place, expiry: expiry)))
        }
        while !stale.isEmpty, let next = lanes[place].later.min, !holds(next.ticket) { lanes[place].later.removeMin() }
        return (taken, lanes[place].ready.isEmpty ? lanes[place].later.min?.due : now)
    }

    /// Leases one call that waits, whether or not it is due; nil when it is leased already.
    package mutating func take(_ number: Int64, of function: FunctionID, expiry: Int64) -> UInt64? {
        guard tokens[number] == nil, let place = places[function] else { return nil }
        remove(number, of: function)
        return lease(number, of: function, in: place, expiry: expiry)
    }

    private mutating func lease(_ number: Int64, of function: FunctionID, in place: Int, expiry: Int64) -> UInt64 {
        lanes[place].running += 1
        lastToken += 1
        leases[lastToken] = Lease(number: number, function: function, expiry: expiry, lane: place)
        tokens[number] = lastToken
        observer?.began(number)
        return lastToken
    }

    /// The lease of a token; nil when it has ended.
    package func lease(_ token: UInt64) -> Lease? { leases[token] }

    /// The token of a call in flight.
    package func token(of number: Int64) -> UInt64? { tokens[number] }

    /// Makes a lease last longer; false when it has ended.
    package mutating func renew(_ token: UInt64, expiry: Int64) -> Bool {
        guard leases[token] != nil else { return false }
        leases[token]?.expiry = expiry
        return true
    }

    /// Ends a lease; nil when it had ended.
    package mutating func end(_ token: UInt64) -> Lease? {
        guard let lease = leases.removeValue(forKey: token) else { return nil }
        tokens[lease.number] = nil
        lanes[lease.lane].running -= 1
        observer?.ended(lease.number)
        return lease
    }

    /// Gives a call back to the front of its lane.
    package mutating func release(_ token: UInt64) -> Lease? {
        guard let lease = end(token) else { return nil }
        lanes[lease.lane].waiting += 1
        let ticket = ticket(lease.number)
        lanes[lease.lane].ready.prepend(ticket)
        return lease
    }

    /// Gives calls back whose workers have not renewed their leases; returns the functions they are of.
    package mutating func releaseExpired(now: Int64) -> Set<FunctionID> {
        let expired = leases.filter { $0.value.expiry <= now }
        return Set(expired.keys.compactMap { release($0)?.function })
    }

    /// Forgets the lanes of functions that have no call.
    package mutating func dropEmptyLanes() {
        for (function, place) in places where lanes[place].waiting == 0 && lanes[place].running == 0 {
            for ticket in lanes[place].ready { _ = holds(ticket) }
            for later in lanes[place].later.unordered { _ = holds(later.ticket) }
            lanes[place] = Lane()
            places[function] = nil
            freePlaces.append(place)
        }
    }

    // MARK: Counting

    /// The functions that have calls waiting.
    package var waitingFunctions: [FunctionID] { places.filter { lanes[$0.value].waiting > 0 }.keys.sorted() }

    /// How many calls of each function wait and run.
    package var counts: [(function: FunctionID, waiting: Int, running: Int)] {
        places.map { ($0.key, lanes[$0.value].waiting, lanes[$0.value].running) }
    }

    /// How many calls of each function are due or in flight.
    package func backlog(now: Int64) -> [FunctionID: Int] {
        places.mapValues { lanes[$0].running + lanes[$0].waiting - early(lanes[$0], now) }.filter { $0.value > 0 }
    }

    /// How many calls of a lane wait for their time.
    private func early(_ lane: Lane, _ now: Int64) -> Int {
        if stale.isEmpty, lane.later.min.map({ $0.due > now }) ?? true { return lane.later.count }
        return lane.later.unordered.count { later in
            guard later.due > now else { return false }
            guard let known = stale[later.ticket.number] else { return true }
            return known.valid == later.ticket.serial
        }
    }

    /// The calls in flight.
    package var runningNumbers: Set<Int64> { Set(tokens.keys) }

    /// How many calls of a function wait.
    package func waiting(of function: FunctionID) -> Int { places[function].map { lanes[$0].waiting } ?? 0 }
}
