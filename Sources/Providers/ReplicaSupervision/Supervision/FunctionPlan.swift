// SPDX-License-Identifier: Apache-2.0

/// Decides, for one function, which replicas to start, drain and stop.
///
/// Pure: it is told what happened and answers what to do.
///
/// Two revisions matter: the newest, and the *serving* one, which answers calls until the newest has all its replicas
/// ready. A newest revision that fails leaves the serving one alone. At zero replicas nothing serves: the newest one is
/// woken, and the serving one only if that fails.
struct FunctionPlan: Equatable {
    /// Where a replica is in its life.
    enum Phase: Equatable {
        case starting
        case ready
        /// Was ready, and nobody knows whether it is: it gets no new call.
        case unknown
        /// Gets no new call; ends those it has.
        case draining
        /// Was told to end.
        case stopping
    }

    /// One replica.
    struct Member: Equatable {
        let id: Int
        let revision: Int
        var phase: Phase

        var isLive: Bool { phase == .starting || phase == .ready || phase == .unknown }
    }

    /// What to do.
    enum Action: Equatable {
        /// Start a replica of a revision; it was given this id.
        case start(id: Int, revision: Int)
        /// Let no call in and report when none is left.
        case drain(id: Int)
        /// Wait for the calls of a draining replica no longer than a call may take.
        case boundDrain(id: Int)
        /// End the process: politely, then by force.
        case stop(id: Int)
    }

    private(set) var newest: Int
    /// The revision that answers calls; 0 before any was ready.
    private(set) var serving: Int
    private(set) var desired: Int
    private(set) var members: [Member] = []
    /// Whether two replicas cannot be up at once, since both need the same port.
    private(set) var isExclusive: Bool
    /// Revisions that may not be started at the moment, because their last starts failed.
    private(set) var heldBack: Set<Int> = []
    /// The newest revision, if it failed to start while another one can serve; on a fixed port that one takes its place.
    private(set) var rejected: Int?
    /// Whether the serving revision was scaled to zero and none of its replicas has been ready since.
    private var servingSleeps = false
    private var nextID: Int

    init(newest: Int, serving: Int, desired: Int, isExclusive: Bool, firstID: Int = 1) {
        nextID = firstID
        self.newest = newest
        self.serving = serving
        self.desired = desired
        self.isExclusive = isExclusive
    }

    /// The revision that answers calls, or will when it is ready.
    var answering: Int { serving == 0 || (servingSleeps && rejected != newest) ? newest : serving }

    /// Replicas that calls may be sent to.
    var published: [Int] {
        members.filter { $0.revision == answering && $0.phase == .ready }.map(\.id)
    }

    /// Whether nothing is left to be done.
    var isSettled: Bool {
        members.allSatisfy { $0.phase == .ready && $0.revision == newest } && members.count == desired
    }

    // MARK: What happened

    mutating func setDesired(_ count: Int) -> [Action] {
        desired = count
        defer { if count == 0 { servingSleeps = true } }
        return reconcile()
    }

    mutating func setNewest(_ revision: Int, isExclusive: Bool) -> [Action] {
        newest = revision
        self.isExclusive = isExclusive
        rejected = nil
        heldBack.remove(revision)
        return reconcile()
    }

    mutating func becameReady(_ id: Int) -> [Action] {
        setPhase(.ready, of: id, from: [.starting, .unknown])
        if ready(serving) > 0 { servingSleeps = false }
        return reconcile()
    }

    /// It is not known whether a replica that was ready takes calls.
    mutating func becameUnready(_ id: Int) -> [Action] {
        setPhase(.unknown, of: id, from: [.ready])
        return reconcile()
    }

    /// The last call of a draining replica has ended, or its time is up.
    mutating func drained(_ id: Int) -> [Action] {
        guard setPhase(.stopping, of: id, from: [.draining]) else { return [] }
        return [.stop(id: id)]
    }

    /// A replica's process is gone.
    ///
    /// One of the newest revision that failed to start makes room for the revision that served before.
    mutating func ended(_ id: Int) -> [Action] {
        guard let index = members.firstIndex(where: { $0.id == id }) else { return [] }
        let member = members.remove(at: index)
        let failedToStart = member.phase == .starting
        if failedToStart, member.revision == newest, serving != 0, serving != newest { rejected = newest }
        return reconcile()
    }

    /// A revision's starts failed lately; none is tried until `release`.
    mutating func holdBack(_ revision: Int) { heldBack.insert(revision) }

    mutating func release(_ revision: Int) -> [Action] {
        heldBack.remove(revision)
        return reconcile()
    }

    /// Nothing is to run any more.
    mutating func stopAll() -> [Action] {
        desired = 0
        let actions = reconcile()
        return actions + members.filter { $0.phase == .draining }.map { .boundDrain(id: $0.id) }
    }

    // MARK: What to do

    private mutating func reconcile() -> [Action] {
        if ready(newest) >= neededToServe {
            serving = newest
            servingSleeps = false
        }
        return isExclusive ? reconcileExclusive() : reconcileTogether()
    }

    /// How many replicas of the newest revision have to be ready before calls go to it: the first one helps where
    /// nothing else answers.
    private var neededToServe: Int { answering == newest || isExclusive ? 1 : max(desired, 1) }

    private mutating func reconcileTogether() -> [Action] {
        var actions: [Action] = []
        let kept: Set<Int> = [newest, answering]
        for member in members where member.isLive && !kept.contains(member.revision) { actions += replace(member) }
        for revision in kept.sorted() { actions += adjust(revision, to: desired) }
        return actions
    }

    /// One at a time: the other revision's replica has to be gone before this one's is started.
    private mutating func reconcileExclusive() -> [Action] {
        let wanted = rejected == newest ? serving : newest
        var actions: [Action] = []
        for member in members where member.isLive && member.revision != wanted { actions += replace(member) }
        guard members.allSatisfy({ $0.revision == wanted && $0.isLive }) else {
            // Whatever is still draining stands in the way.
            return actions
                + members.filter { $0.phase == .draining && !actions.contains(.boundDrain(id: $0.id)) }
                .map { .boundDrain(id: $0.id) }
        }
        // Its successor needs the port: it cannot drain for as long as it likes.
        return actions
            + adjust(wanted, to: min(desired, 1)).flatMap { action in
                if case .drain(let id) = action { return [action, .boundDrain(id: id)] }
                return [action]
            }
    }

    private mutating func adjust(_ revision: Int, to count: Int) -> [Action] {
        let live = members.filter { $0.revision == revision && $0.isLive }
        if live.count > count {
            // Those that are not ready yet go first, then the youngest.
            let order = live.sorted { ($0.phase == .ready ? 0 : 1, $0.id) > ($1.phase == .ready ? 0 : 1, $1.id) }
            return order.prefix(live.count - count).map { retire($0) }
        }
        guard !heldBack.contains(revision) else { return [] }
        return (live.count..<count).map { _ in start(revision) }
    }

    private mutating func start(_ revision: Int) -> Action {
        let id = nextID
        nextID += 1
        members.append(Member(id: id, revision: revision, phase: .starting))
        return .start(id: id, revision: revision)
    }

    /// Ends a replica of a revision that is no longer wanted.
    private mutating func replace(_ member: Member) -> [Action] {
        let action = retire(member)
        return action == .drain(id: member.id) ? [action, .boundDrain(id: member.id)] : [action]
    }

    /// Ends a replica that is one too many: a ready one when its last call has ended, however long that takes.
    private mutating func retire(_ member: Member) -> Action {
        if member.phase != .starting {
            setPhase(.draining, of: member.id, from: [.ready, .unknown])
            return .drain(id: member.id)
        }
        setPhase(.stopping, of: member.id, from: [.starting])
        return .stop(id: member.id)
    }

    @discardableResult
    private mutating func setPhase(_ phase: Phase, of id: Int, from allowed: [Phase]) -> Bool {
        guard let index = members.firstIndex(where: { $0.id == id && allowed.contains($0.phase) }) else { return false }
        members[index].phase = phase
        return true
    }

    private func ready(_ revision: Int) -> Int {
        members.count { $0.revision == revision && $0.phase == .ready }
    }
}
