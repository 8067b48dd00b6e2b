// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import ProviderContract

/// One function as one event loop sees it, or a variant of one whose calls are split.
final class FunctionEntry {
    let id: FunctionID
    /// `name.namespace`.
    let name: String
    let queue: AdmissionQueue
    let counters: FunctionCounters
    let cell: (any InvocationCell)?
    private(set) var policy: CallPolicy
    /// The policy's limit of a call, as the event loop's clock has it.
    private(set) var execLimit: TimeAmount?
    /// Where its calls go; none where they are split.
    private(set) var replicas: [LocalReplica] = []
    /// The variants among which calls are split; none where one gets all, as mostly.
    private(set) var variants: [FunctionEntry] = []
    /// The function that this is a variant of; nil for a whole one, and where that is gone.
    private(set) weak var whole: FunctionEntry?
    /// Whether it is a variant, of a function that may be gone.
    let isVariant: Bool
    /// The share of a variant.
    private let weight: Int
    /// Further paths at which it is called.
    private(set) var paths: [String] = []
    /// Asked before a call is let in.
    private(set) var admission: (any AdmissionHook)?
    /// Whether anybody is asked: to look at the hook itself would copy it at each call.
    private(set) var isGuarded = false
    private let makeAdmission: @Sendable (FunctionRoute) -> (any AdmissionHook)?
    private let origins: OriginFactories

    init(
        _ route: FunctionRoute,
        queue: AdmissionQueue,
        cell: (any InvocationCell)?,
        admission: @escaping @Sendable (FunctionRoute) -> (any AdmissionHook)?,
        origins: OriginFactories
    ) {
        id = route.id
        name = route.id.description
        policy = route.policy
        execLimit = route.policy.deadline.map { TimeAmount($0) }
        makeAdmission = admission
        counters = FunctionCounters()
        weight = 1
        isVariant = false
        self.queue = queue
        self.cell = cell
        self.origins = origins
    }

    /// A variant: what is counted of its calls is counted of the whole function's.
    private init(_ variant: RouteVariant, of whole: FunctionEntry, queue: AdmissionQueue, _ replicas: [LocalReplica]) {
        id = whole.id
        name = whole.name
        policy = variant.policy
        execLimit = variant.policy.deadline.map { TimeAmount($0) }
        makeAdmission = whole.makeAdmission
        origins = whole.origins
        counters = whole.counters
        cell = whole.cell
        weight = min(variant.weight, Int(Int32.max))
        isVariant = true
        self.whole = whole
        self.queue = queue
        self.replicas = replicas
        guardBy(whole.makeAdmission(FunctionRoute(id: whole.id, variants: [variant], desiredReplicas: 1)))
    }

    /// Takes over a route; connections to replicas that stay are kept.
    ///
    /// `queues` are those of the variants that get calls, where these are several.
    func update(_ route: FunctionRoute, _ queues: [AdmissionQueue]) {
        policy = route.policy
        execLimit = route.policy.deadline.map { TimeAmount($0) }
        paths = route.paths
        let old = allReplicas
        func local(_ replica: Replica) -> LocalReplica {
            old.first { $0.replica === replica } ?? LocalReplica(replica, origins)
        }
        variants = zip(route.served, queues).map { variant, queue in
            FunctionEntry(variant, of: self, queue: queue, variant.replicas.map(local))
        }
        replicas = variants.isEmpty ? route.replicas.map(local) : []
        guardBy(makeAdmission(route))
        for gone in old where !route.replicas.contains(where: { $0 === gone.replica }) { gone.source.retire() }
    }

    /// Those of all variants; of the one where calls are not split.
    var allAdmissions: [any AdmissionHook] {
        isSplit ? variants.compactMap(\.admission) : [admission].compactMap(\.self)
    }

    private func guardBy(_ hook: (any AdmissionHook)?) {
        admission = hook
        isGuarded = hook != nil
    }

    /// Closes what is kept open for a function that is gone.
    func retire() {
        for replica in allReplicas { replica.source.retire() }
        replicas = []
        variants = []
    }

    /// Its replicas, or those of all its variants.
    var allReplicas: [LocalReplica] { variants.isEmpty ? replicas : variants.flatMap(\.replicas) }

    /// Whether its calls are split among variants.
    var isSplit: Bool { !variants.isEmpty }

    /// Whose a call is that begins now: a variant's by its share, among those that have a replica; the whole function's
    /// where none has.
    func drawn(_ random: UInt64) -> FunctionEntry {
        let ready = variants.filter { $0.replicas.contains { !$0.replica.isDraining } }
        let sum = ready.reduce(0) { $0 + $1.weight }
        guard sum > 0 else { return self }
        var mark = Int(random % UInt64(sum))
        for variant in ready {
            mark -= variant.weight
            if mark < 0 { return variant }
        }
        return self
    }

    /// Takes a slot at the less loaded of two random replicas; at any that has one when both are full.
    @inline(__always)
    func enter(_ random: UInt64, at now: NIODeadline) -> LocalReplica? {
        if queue.hasWaiting { return nil }
        let count = replicas.count
        guard count > 1 else {
            guard count == 1 else { return nil }
            let only = replicas[0]
            return only.replica.enter() ? only : nil
        }
        return enterOneOfMany(
            Int(truncatingIfNeeded: random >> 33) % count,
            Int(truncatingIfNeeded: random & 0xFFFF_FFFF) % count,
            at: now
        )
    }

    private func enterOneOfMany(_ first: Int, _ second: Int, at now: NIODeadline) -> LocalReplica? {
        let (one, other) = (replicas[first], replicas[second])
        let (better, worse) = one.replica.inFlight <= other.replica.inFlight ? (one, other) : (other, one)
        if !better.source.isSuspect(at: now), better.replica.enter() { return better }
        if !worse.source.isSuspect(at: now), worse.replica.enter() { return worse }
        return replicas.first { !$0.source.isSuspect(at: now) && $0.replica.enter() }
            ?? replicas.first { $0.replica.enter() }
    }

    /// This event loop's side of a replica that was entered elsewhere.
    func local(_ replica: Replica) -> LocalReplica {
        allReplicas.first { $0.replica === replica } ?? LocalReplica(replica, origins, isRetired: true)
    }
}
