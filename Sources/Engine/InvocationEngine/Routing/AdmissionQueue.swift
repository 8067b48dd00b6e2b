// SPDX-License-Identifier: Apache-2.0

import DequeModule
import FaultModel
import FunctionModel
import NIOCore
import ProviderContract
import Synchronization

/// A call that waits for a slot, on one event loop.
///
/// Exactly one of its outcomes is reported, unless it gives up.
final class WaitingCall: Sendable {
    let loop: any EventLoop
    /// Called on `loop`, once.
    let resume: @Sendable (Outcome) -> Void

    /// What becomes of it.
    enum Outcome: Sendable {
        /// A replica was entered for it.
        case entered(Replica)
        /// It is turned away.
        case refused(PlatformFault)
        /// What it waits for will not be: the variant gets no calls any more. It has to be drawn anew.
        case moved
    }

    init(loop: any EventLoop, resume: @escaping @Sendable (Outcome) -> Void) {
        self.loop = loop
        self.resume = resume
    }
}

/// One function as all event loops share it: its ready replicas, and the calls that wait for one.
///
/// A call takes a slot straight from a replica where it can; only when there is none does it come here. Waiting is
/// ended by events: a replica became ready, a slot became free. Nobody polls.
final class AdmissionQueue: Sendable {
    private struct State {
        var replicas: [Replica] = []
        var desired = 0
        var minimum = 1
        var depth = 100
        var reason = ""
        var isActivating = false
        /// What becomes of whoever comes late: the function, or the variant, is gone.
        var end: WaitingCall.Outcome?
        var waiting: [ObjectIdentifier: WaitingCall] = [:]
        /// Oldest first; holds calls that have given up until they come to the front.
        var order = Deque<ObjectIdentifier>()
    }

    /// What becomes of a call that asks for a slot.
    enum Admission {
        case entered(Replica)
        case waiting
        /// All replicas are full, and the line for a slot is, too.
        case full
        /// There is no replica, and as many calls wait for one as may.
        case crowded
        /// There will be none any more.
        case ended(WaitingCall.Outcome)
    }

    let id: FunctionID
    private let state = Mutex(State())
    private let waitingCount = Atomic<Int>(0)
    private let activate: @Sendable (FunctionID, Int) -> Void
    /// Those whose calls wait for the same replicas: the variants of a function, and the whole of it.
    private let neighbours = Mutex<[AdmissionQueue]>([])
    private let hasNeighbours = Atomic<Bool>(false)

    init(id: FunctionID, activate: @escaping @Sendable (FunctionID, Int) -> Void) {
        self.id = id
        self.activate = activate
    }

    /// Whether calls wait, so that a new one has to stand in line.
    var hasWaiting: Bool { waitingCount.load(ordering: .sequentiallyConsistent) > 0 }

    /// Why no replica is ready.
    var notReadyReason: String { state.withLock { $0.reason } }

    /// Takes over a route and lets in whom it has slots for.
    func update(_ route: FunctionRoute) {
        let minimum = state.withLock { state in
            state.replicas = route.replicas
            state.desired = route.desiredReplicas
            state.end = nil
            state.minimum = route.scaling.min
            state.depth = route.policy.queueDepth
            state.reason = route.notReadyReason
            if route.desiredReplicas > 0 { state.isActivating = false }
            // Scaled to zero while calls were waiting: they need a replica all the same.
            return state.waiting.isEmpty ? nil : activation(&state)
        }
        if let minimum { activate(id, minimum) }
        admitWaiting()
    }

    /// Takes over a variant and lets in whom it has slots for; where it has no replica the waiting calls are others'.
    func update(_ variant: RouteVariant) {
        state.withLock { state in
            state.replicas = variant.replicas
            state.desired = 1
            state.end = nil
            state.depth = variant.policy.queueDepth
        }
        if variant.replicas.isEmpty { moveWaiting() } else { admitWaiting() }
    }

    /// Sends the waiting calls away to be drawn anew, and those that come later.
    func moveWaiting() { endWaiting(.moved, forGood: true) }

    /// Names those whose calls wait for the same replicas.
    func meet(_ others: [AdmissionQueue]) {
        neighbours.withLock { $0 = others }
        hasNeighbours.store(!others.isEmpty, ordering: .sequentiallyConsistent)
    }

    /// How many replicas have to be asked for; nil when none or when they have been.
    private func activation(_ state: inout State) -> Int? {
        guard state.desired == 0, state.replicas.isEmpty, !state.isActivating else { return nil }
        state.isActivating = true
        return state.minimum
    }

    /// Whether calls still wait for a replica that has been asked for and is not desired yet; otherwise the next call
    /// that finds none asks anew.
    var isStillActivating: Bool {
        state.withLock { state in
            let isNeeded = state.desired == 0 && state.replicas.isEmpty && !state.waiting.isEmpty
            if !isNeeded { state.isActivating = false }
            return isNeeded
        }
    }

    /// Gives a call a slot, or lets it wait, or turns it away.
    ///
    /// Those that wait because all replicas are full are bounded by the function's queue depth (martlet-api
    /// "Concurrency"), those that wait for a replica by `waitingLimit`; patient ones are bounded by others.
    func admit(_ call: WaitingCall, isPatient: Bool, waitingLimit: Int) -> Admission {
        let (admission, minimum) = state.withLock { state -> (Admission, Int?) in
            // Announced before looking for a slot: whoever leaves a replica after this sees a call waiting.
            waitingCount.add(1, ordering: .sequentiallyConsistent)
            if let end = state.end {
                waitingCount.subtract(1, ordering: .sequentiallyConsistent)
                return (.ended(end), nil)
            }
            if state.waiting.isEmpty, let replica = choose(from: state.replicas) {
                waitingCount.subtract(1, ordering: .sequentiallyConsistent)
                return (.entered(replica), nil)
            }
            // One that drains takes no calls, however few it has: they wait for its successor.
            let areFull = state.replicas.contains { !$0.isDraining }
            if !isPatient, state.waiting.count >= (areFull ? state.depth : waitingLimit) {
                waitingCount.subtract(1, ordering: .sequentiallyConsistent)
                // Whoever may not wait asks for a replica all the same, for those who come after.
                return areFull ? (.full, nil) : (.crowded, activation(&state))
            }
            state.waiting[ObjectIdentifier(call)] = call
            state.order.append(ObjectIdentifier(call))
            return (.waiting, activation(&state))
        }
        if let minimum { activate(id, minimum) }
        return admission
    }

    /// Takes a call out of the line; false when it was let in or refused already, and its outcome is on its way.
    func giveUp(_ call: WaitingCall) -> Bool {
        let wasWaiting = state.withLock { state in
            let wasWaiting = state.waiting.removeValue(forKey: ObjectIdentifier(call)) != nil
            // Those that gave up behind one that waits on are swept out when they are the most.
            if state.order.count > 2 * state.waiting.count + 64 {
                state.order.removeAll { [waiting = state.waiting] in waiting[$0] == nil }
            }
            return wasWaiting
        }
        if wasWaiting { waitingCount.subtract(1, ordering: .sequentiallyConsistent) }
        return wasWaiting
    }

    /// Gives a replica's slot back and lets the next call in.
    @inline(__always)
    func leave(_ replica: Replica) {
        replica.leave()
        if hasWaiting || hasNeighbours.load(ordering: .sequentiallyConsistent) { slotFellFree() }
    }

    @inline(never)
    private func slotFellFree() {
        if hasWaiting { admitWaiting() }
        for other in neighbours.withLock({ $0 }) where other.hasWaiting { other.admitWaiting() }
    }

    /// Turns all waiting calls away, as when activation failed; `forGood` those that come later, too, as when the function
    /// was deleted.
    func refuseWaiting(_ fault: PlatformFault, forGood: Bool = false) { endWaiting(.refused(fault), forGood: forGood) }

    /// What calls are told whose function is gone.
    static func deleted(_ id: FunctionID) -> PlatformFault {
        PlatformFault(.functionNotFound, "The function \(id) was deleted while the call waited for it.")
    }

    private func endWaiting(_ outcome: WaitingCall.Outcome, forGood: Bool) {
        let calls = state.withLock { state in
            if forGood { state.end = outcome }
            let calls = state.order.compactMap { state.waiting[$0] }
            state.waiting.removeAll()
            state.order.removeAll()
            state.isActivating = false
            return calls
        }
        waitingCount.subtract(calls.count, ordering: .sequentiallyConsistent)
        for call in calls { call.loop.execute { call.resume(outcome) } }
    }

    private func admitWaiting() {
        while let (call, replica) = nextAdmission() {
            call.loop.execute { call.resume(.entered(replica)) }
        }
    }

    private func nextAdmission() -> (WaitingCall, Replica)? {
        let next = state.withLock { state -> (WaitingCall, Replica)? in
            guard let call = firstWaiting(&state), let replica = choose(from: state.replicas) else { return nil }
            state.waiting[ObjectIdentifier(call)] = nil
            return (call, replica)
        }
        if next != nil { waitingCount.subtract(1, ordering: .sequentiallyConsistent) }
        return next
    }

    /// The oldest call that still waits; drops those before it that gave up.
    private func firstWaiting(_ state: inout State) -> WaitingCall? {
        while let oldest = state.order.first {
            if let call = state.waiting[oldest] { return call }
            state.order.removeFirst()
        }
        return nil
    }

    /// Enters the replica with the fewest calls.
    private func choose(from replicas: [Replica]) -> Replica? {
        let byLoad = replicas.count > 1 ? replicas.sorted { $0.inFlight < $1.inFlight } : replicas
        return byLoad.first { $0.enter() }
    }
}
