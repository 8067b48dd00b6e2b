// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How many connections to one replica may be on their way at a time, over all event loops of a router.
///
/// A server takes connections from a line that may be short (five have room in Python's), and the system drops what finds
/// it full without a word and tries it again after a second. So a connection counts from its first packet until the
/// server has shown that it was taken: by an answer, or, where calls are slow, by not being in anybody's way for a while.
/// As with TCP's own slow start, what succeeds makes room for more, and what is dropped halves the room.
///
/// Thread-safe; asked only by those who open a connection. Moments are nanoseconds of any clock that only goes forward.
public final class ConnectionOpenings: Sendable {
    /// The right to open one connection; given back by exactly one of the `note…` functions that end it.
    public struct Slot: Sendable, Hashable {
        fileprivate let number: Int
    }

    fileprivate struct State {
        var window = ConnectionOpenings.firstWindow
        /// From here on the window grows by one a round, below it by one a success.
        var threshold = Int.max
        var successes = 0
        /// The most that have been in flight at once since connections were dropped.
        var most = 0
        var patience: UInt64 = 0
        var shrankAt: UInt64?
        var lastNumber = 0
        /// When the connections in flight were established; the end of time for those that are not.
        var inFlight: [Int: UInt64] = [:]
        /// Who waits for a slot, the oldest first.
        var line: [@Sendable (Slot) -> Void] = []
    }

    /// Fewer than the shortest lines that servers ask for; with less, each that is dropped would leave the server idle.
    fileprivate static let firstWindow = 4
    /// More than any server has in its line.
    fileprivate static let widestWindow = 65_536
    /// After so long without an answer a connection is a slow call's, not one that waits to be taken.
    fileprivate static let slowAfter: UInt64 = 10_000_000

    private let state = Mutex(State())

    /// Nothing is in flight.
    public init() {}

    /// Connections that may be in flight at the same time now, at least 4.
    public var window: Int { state.withLock { $0.window } }

    /// What the network has shown to be a reasonable time for a connection to come about, in nanoseconds; 0 at first.
    public var patience: UInt64 { state.withLock { $0.patience } }

    /// Takes a slot; nil when there is none, or others wait for one.
    public func take(at now: UInt64) -> Slot? {
        change { state in
            if state.inFlight.count >= state.window { state.letGoOfSlow(at: now) }
            return state.line.isEmpty && state.inFlight.count < state.window ? state.newSlot() : nil
        }
    }

    /// Stands in line for a slot; `taken` is called once, on any thread, with one that is the caller's.
    public func enlist(_ taken: @escaping @Sendable (Slot) -> Void) {
        change { $0.line.append(taken) }
    }

    /// Makes room for those in line when calls have turned out to be slow.
    public func renew(at now: UInt64) {
        change { $0.letGoOfSlow(at: now) }
    }

    /// The connection was established after so long; its slot is taken until it answers.
    public func noteConnected(_ slot: Slot, after duration: UInt64, at now: UInt64) {
        state.withLock { state in
            state.patience = duration &* 4
            if state.inFlight[slot.number] != nil { state.inFlight[slot.number] = now }
        }
    }

    /// The connection brought its first answer: the slot is free, and there may be more of them.
    public func noteAnswered(_ slot: Slot) {
        change { $0.succeed(slot.number) }
    }

    /// The connection failed, was closed, or is not needed.
    public func noteEnded(_ slot: Slot) {
        change { $0.inFlight[slot.number] = nil }
    }

    /// The connection did not come about in a reasonable time: what was sent for it has been dropped.
    ///
    /// Several that were dropped at the same time count once.
    public func noteDropped(_ slot: Slot, after duration: UInt64, at now: UInt64) {
        change { state in
            state.inFlight[slot.number] = nil
            if let shrankAt = state.shrankAt, now < shrankAt &+ duration { return }
            state.shrankAt = now
            state.patience = duration &* 2
            state.threshold = max(ConnectionOpenings.firstWindow, state.window / 2)
            state.window = state.threshold
            (state.successes, state.most) = (0, 0)
        }
    }

    /// Changes the state and gives what has become free to those in line, outside the lock.
    private func change<Value: Sendable>(_ body: (inout State) -> Value) -> Value {
        let (value, taken) = state.withLock { state -> (Value, [(Slot, @Sendable (Slot) -> Void)]) in
            let value = body(&state)
            guard !state.line.isEmpty else { return (value, []) }
            return (value, state.serveLine())
        }
        for (slot, take) in taken { take(slot) }
        return value
    }
}

extension ConnectionOpenings.State {
    mutating func newSlot() -> ConnectionOpenings.Slot {
        lastNumber &+= 1
        inFlight[lastNumber] = .max
        most = max(most, inFlight.count)
        return ConnectionOpenings.Slot(number: lastNumber)
    }

    mutating func serveLine() -> [(ConnectionOpenings.Slot, @Sendable (ConnectionOpenings.Slot) -> Void)] {
        var taken: [(ConnectionOpenings.Slot, @Sendable (ConnectionOpenings.Slot) -> Void)] = []
        while !line.isEmpty, inFlight.count < window { taken.append((newSlot(), line.removeFirst())) }
        return taken
    }

    mutating func letGoOfSlow(at now: UInt64) {
        for (number, since) in inFlight {
            if now > since, now - since >= ConnectionOpenings.slowAfter { succeed(number) }
        }
    }

    /// Frees a slot; the window grows only where it has been used, since nothing else shows that it is not too wide.
    mutating func succeed(_ number: Int) {
        guard inFlight.removeValue(forKey: number) != nil else { return }
        guard window < most &* 2, window < ConnectionOpenings.widestWindow else { return }
        successes += 1
        guard window < threshold || successes >= window else { return }
        window += 1
        successes = 0
    }
}
