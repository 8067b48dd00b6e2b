// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Logging
import ProcessControl
import QueueContract
import Synchronization

/// What was in flight here when the last life of this process ended by a fault of its own: for a while this worker carries
/// out one call at a time.
struct CrashTrial: Sendable {
    private(set) var suspects: Set<String> = []
    private var end = ContinuousClock.now
    /// When the last one was taken; nil while none is.
    private var since: ContinuousClock.Instant?
    /// Whether somebody is about to take one.
    private var isTaking = false
    /// Whoever has had so long a turn is not what ends the process.
    private static let turn = Duration.seconds(30)
    private static let limit = Duration.seconds(300)
    /// When whoever had to wait looks again.
    static let pause = Duration.milliseconds(100)

    init(_ suspects: Set<String> = []) {
        self.suspects = suspects
        end = .now + Self.limit
    }

    /// Whether anything is still to be tried.
    func isInFlight(now: ContinuousClock.Instant) -> Bool { !suspects.isEmpty && now < end }

    /// Takes the one place there is; false where somebody has it.
    mutating func enter(now: ContinuousClock.Instant, isIdle: Bool) -> Bool {
        if isTaking { return false }
        if let since, now < since + Self.turn, !isIdle { return false }
        (since, isTaking) = (now, true)
        return true
    }

    /// Whoever had the place has taken one, or found none.
    mutating func leave() { isTaking = false }

    /// Only those are left that something is still to be done about.
    mutating func keep(_ open: Set<String>) { suspects.formIntersection(open) }

    /// One of them has ended.
    mutating func ended(_ id: String) { if !suspects.isEmpty { suspects.remove(id) } }
}

extension JetStreamQueue {
    /// Whether calls are tried one at a time at the moment.
    func isTrying(_ follower: LogFollower) -> Bool {
        let suspects = trial.withLock { $0.suspects }
        guard !suspects.isEmpty else { return false }
        let open = follower.withIndex { index in suspects.filter { index.entries[$0] != nil } }
        return trial.withLock { trial in
            trial.keep(open)
            return trial.isInFlight(now: .now)
        }
    }

    /// Takes the one place there is while calls are tried.
    func hasTurn() -> Bool {
        let isIdle = held.withLock { $0.all.isEmpty } && heldCallbacks.withLock { $0.all.isEmpty }
        return trial.withLock { $0.enter(now: .now, isIdle: isIdle) }
    }

    /// From now on a death of this process by a fault of its own is noted with what it has in flight.
    ///
    /// For the one queue of a process that works.
    public func watchForCrashes() { marker?.watch() }

    /// So many deaths alone are no accident.
    private static let mostDeaths = 2

    /// Whether this process died by a fault of its own while it had what an entry of the log took, and nothing else.
    func wasAlone(_ taken: UInt64, at death: DeathMarker.Death?) -> Bool {
        guard let death, death.total == 1 else { return false }
        return death.entries.prefix(1) == [Int64(clamping: taken)]
    }

    /// Notes that a call, or its callback, was alone at one more death; true when it is given up for that.
    func giveUp(_ id: String, _ entry: CallIndex.Entry) async throws(PlatformFault) -> Bool {
        guard let (stored, _) = try await look(id), stored.deaths + 1 >= Self.mostDeaths else { return false }
        logger.error("alone in flight at two deaths of the platform; it is given up", metadata: ["id": "\(id)"])
        if entry.facts.callback == .taken {
            var details = LogDetails()
            details.callbackStatus = 0
            _ = try await write(entry.facts.calledBack(.failed(status: 0)), details, of: id, expected: entry.last)
            return true
        }
        guard let released = entry.facts.letGo(), let last = try await write(released, of: id, expected: entry.last),
            let dead = released.facts.stopped(.orphaned, .functionDeleted)
        else { return true }
        _ = try await stop(id, released.facts, last, dead, isDead: true, reason: CallEnd.crashReason)
        return true
    }
}
