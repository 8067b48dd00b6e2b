// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import ProviderContract

/// One function as one event loop sees it.
final class FunctionEntry {
    let id: FunctionID
    /// `name.namespace`.
    let name: String
    let room: AdmissionQueue
    let counters = FunctionCounters()
    let cell: (any InvocationCell)?
    private(set) var policy: CallPolicy
    /// The policy's limit of a call, as the event loop's clock has it.
    private(set) var execLimit: TimeAmount?
    private(set) var replicas: [LocalReplica] = []
    /// Asked before a call is let in; nil costs nothing.
    private(set) var admission: (any AdmissionHook)?
    private let makeAdmission: @Sendable (FunctionRoute) -> (any AdmissionHook)?

    init(
        _ route: FunctionRoute,
        room: AdmissionQueue,
        cell: (any InvocationCell)?,
        admission: @escaping @Sendable (FunctionRoute) -> (any AdmissionHook)?
    ) {
        id = route.id
        name = route.id.description
        policy = route.policy
        execLimit = route.policy.deadline.map { TimeAmount($0) }
        makeAdmission = admission
        self.room = room
        self.cell = cell
    }

    /// Takes over a route; connections to replicas that stay are kept.
    func update(_ route: FunctionRoute) {
        policy = route.policy
        execLimit = route.policy.deadline.map { TimeAmount($0) }
        admission = makeAdmission(route)
        let old = replicas
        replicas = route.replicas.map { replica in
            old.first { $0.replica === replica } ?? LocalReplica(replica)
        }
        for gone in old where !route.replicas.contains(where: { $0 === gone.replica }) { gone.retire() }
    }

    /// Closes what is kept open for a function that is gone.
    func retire() {
        for replica in replicas { replica.retire() }
        replicas = []
    }

    /// Takes a slot at the less loaded of two random replicas; at any that has one when both are full.
    @inline(__always)
    func enter(_ random: UInt64) -> LocalReplica? {
        if room.hasWaiting { return nil }
        let count = replicas.count
        guard count > 1 else {
            guard count == 1 else { return nil }
            let only = replicas[0]
            return only.replica.enter() ? only : nil
        }
        return enterOneOfMany(
            Int(truncatingIfNeeded: random >> 33) % count,
            Int(truncatingIfNeeded: random & 0xFFFF_FFFF) % count
        )
    }

    private func enterOneOfMany(_ first: Int, _ second: Int) -> LocalReplica? {
        let (one, other) = (replicas[first], replicas[second])
        let (better, worse) = one.replica.inFlight <= other.replica.inFlight ? (one, other) : (other, one)
        if !better.isSuspect, better.replica.enter() { return better }
        if !worse.isSuspect, worse.replica.enter() { return worse }
        return replicas.first { !$0.isSuspect && $0.replica.enter() } ?? replicas.first { $0.replica.enter() }
    }

    /// This event loop's side of a replica that was entered elsewhere.
    func local(_ replica: Replica) -> LocalReplica {
        replicas.first { $0.replica === replica } ?? LocalReplica(replica, isRetired: true)
    }
}
