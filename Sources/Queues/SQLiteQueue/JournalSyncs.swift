// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Synchronization

/// A group of changes that stands in the journal and is not on disk yet.
struct WrittenGroup: @unchecked Sendable {  // handed on when it was written, and only read from then on
    let group: JournalGroup
    /// Where its entry stands; nil where there was nothing to write.
    let entry: CallJournal.Written?
}

/// The groups of the journal that are on their way to the disk: one at a time, or two where syncs last long.
///
/// While the callers of one group are answered and come again, the disk is busy with the other. A group becomes true only
/// behind all before it, and fails with any of them: Linux tells of an error once, so that a sync behind one that failed
/// says nothing about what that one had to write.
final class JournalSyncs: Sendable {
    /// A group on its way; the thread that syncs it changes it, others look under the lock.
    private final class Flight: @unchecked Sendable {  // see above
        let written: WrittenGroup
        /// Until it is decided what became of that one.
        var previous: Flight?
        /// Whether it was written behind a failure that its writer had not heard of.
        let isTooLate: Bool
        /// Whether nobody knows yet if it is kept.
        var isOpen = true
        var isKept = false
        let decision = DispatchGroup()
        let end = DispatchGroup()

        init(_ written: WrittenGroup, behind previous: Flight?, isTooLate: Bool) {
            self.written = written
            self.previous = previous
            self.isTooLate = isTooLate
            decision.enter()
            end.enter()
        }
    }

    private struct State {
        var flights: [Flight] = []
        var hasFailed = false
    }

    private let state = Mutex(State())
    private let threads = DispatchQueue(label: "martlet.calls.syncs", attributes: .concurrent)

    /// Syncs a group, on another thread where others may follow it meanwhile.
    ///
    /// `decided` is called in the order of the groups, with what the system says, 0 for success; `ended` behind it.
    func sync(
        _ written: WrittenGroup,
        whileOthersFollow: Bool,
        decided: @escaping @Sendable (Int32) -> Void,
        ended: @escaping @Sendable (Bool) -> Void
    ) {
        let flight = state.withLock { state in
            let flight = Flight(written, behind: state.flights.last, isTooLate: state.hasFailed)
            state.flights.append(flight)
            return flight
        }
        let work = { @Sendable [self] in
            let code = sync(flight)
            decided(code)
            decide(flight, isKept: code == 0)
            ended(code == 0)
            state.withLock { $0.flights.removeAll { $0 === flight } }
            flight.end.leave()
        }
        if whileOthersFollow { threads.async(execute: work) } else { work() }
    }

    private func sync(_ flight: Flight) -> Int32 {
        let code = flight.isTooLate ? EIO : flight.written.entry?.sync() ?? 0
        guard let previous = flight.previous else { return code }
        previous.decision.wait()
        flight.previous = nil
        return previous.isKept ? code : EIO
    }

    private func decide(_ flight: Flight, isKept: Bool) {
        state.withLock { state in
            flight.isOpen = false
            flight.isKept = isKept
            if !isKept { state.hasFailed = true }
        }
        flight.decision.leave()
    }

    /// Returns when no more than so many groups are on their way.
    func wait(leaving count: Int) {
        while let oldest = state.withLock({ $0.flights.count > count ? $0.flights.first : nil }) { oldest.end.wait() }
    }

    /// Waits for all that are on their way; whether all are kept.
    func areAllKept() -> Bool {
        wait(leaving: 0)
        return state.withLock { !$0.hasFailed }
    }

    /// Whether a group has failed since this was last asked; until then every other fails as well.
    func takeFailure() -> Bool {
        state.withLock { state in
            defer { state.hasFailed = false }
            return state.hasFailed
        }
    }

    // MARK: What is on its way

    /// Whether a group on its way accepts a call with an id.
    ///
    /// To be asked before the backlog is: what is not here any more is there.
    func accepts(_ id: String) -> Bool {
        isAnyOpen { group in
            group.changes.contains { if case .accepted(let call) = $0 { call.id == id } else { false } }
        }
    }

    /// Whether a group on its way settles a lease; to be asked before the schedule is.
    func settles(_ token: UInt64) -> Bool { isAnyOpen { $0.settled.contains(token) } }

    private func isAnyOpen(_ holds: (JournalGroup) -> Bool) -> Bool {
        state.withLock { state in state.flights.contains { $0.isOpen && holds($0.written.group) } }
    }
}
