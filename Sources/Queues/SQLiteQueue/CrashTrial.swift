// SPDX-License-Identifier: Apache-2.0

import DequeModule
import FunctionModel
import ProcessControl
import QueueContract

/// A call, or the callback of one, as something that is in flight.
struct InFlight: Hashable, Sendable {
    let number: Int64
    let isCallback: Bool

    init(_ number: Int64, isCallback: Bool) {
        self.number = number
        self.isCallback = isCallback
    }

    /// As the marker notes it.
    var entry: Int64 { number &* 2 &+ (isCallback ? 1 : 0) }

    init(entry: Int64) { self.init(entry >> 1, isCallback: entry & 1 == 1) }
}

/// Keeps the marker's note of what is in flight.
final class InFlightNotes: LeaseObserver {
    private let marker: DeathMarker

    init(_ marker: DeathMarker) { self.marker = marker }

    func began(_ number: Int64) { marker.began(InFlight(number, isCallback: false).entry) }
    func ended(_ number: Int64) { marker.ended(InFlight(number, isCallback: false).entry) }
    func beganCallback(_ number: Int64) { marker.began(InFlight(number, isCallback: true).entry) }
    func endedCallback(_ number: Int64) { marker.ended(InFlight(number, isCallback: true).entry) }
}

/// What was in flight when the last life of the platform ended by a fault of its own: it is tried one at a time, while all
/// else waits, so that the next such death names who was alone.
///
/// Moments are nanoseconds of a clock that never jumps.
struct CrashTrial: Sendable {
    struct Suspect: Sendable {
        let what: InFlight
        let function: FunctionID
    }

    private var suspects = Deque<Suspect>()
    /// When the first of all had its turn, and when the present one.
    private var begun: Int64?
    private var since: Int64?
    /// Whoever has had so long a turn is not what ends the platform, or cannot be tried now.
    static let turn: Int64 = 30_000_000_000
    /// So long all else waits at most.
    static let limit: Int64 = 300_000_000_000
    /// When whoever had to wait looks again.
    static let pause = Duration.milliseconds(100)

    init(_ suspects: [Suspect] = []) { self.suspects = Deque(suspects) }

    /// Whose turn it is; nil when all had theirs.
    mutating func suspect(now: Int64) -> Suspect? {
        if let begun, now - begun > Self.limit { suspects.removeAll() }
        if let since, now - since > Self.turn, !suspects.isEmpty { next() }
        guard let suspect = suspects.first else { return nil }
        begun = begun ?? now
        since = since ?? now
        return suspect
    }

    /// The same, while it is still to be tried or is being tried.
    func suspect(_ what: InFlight) -> InFlight? { suspects.contains { $0.what == what } ? what : nil }

    /// One has ended, and so has the trial for it, if it was one of them.
    mutating func ended(_ what: InFlight) {
        guard !suspects.isEmpty, let place = suspects.firstIndex(where: { $0.what == what }) else { return }
        if place == 0 { next() } else { suspects.remove(at: place) }
    }

    private mutating func next() {
        suspects.removeFirst()
        since = nil
    }
}

extension QueueMemory {
    /// Takes the call whose turn it is, if it is one of this function's; nil when nobody is tried.
    mutating func takeSuspect(
        from function: FunctionID,
        now: Int64,
        expiry: Int64
    ) -> (taken: [(number: Int64, token: UInt64)], nextDue: Int64?)? {
        guard let suspect = trial.suspect(now: now) else { return nil }
        let again = now + CrashTrial.pause.nanoseconds
        guard !suspect.what.isCallback, suspect.function == function,
            let token = schedule.take(suspect.what.number, of: function, expiry: expiry)
        else { return ([], again) }
        return ([(suspect.what.number, token)], again)
    }
}
