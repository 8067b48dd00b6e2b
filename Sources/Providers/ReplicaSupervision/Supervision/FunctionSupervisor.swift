// SPDX-License-Identifier: Apache-2.0

package import FunctionModel
import FunctionProcesses
import Logging
import NIOCore
import ProcessControl
import ProviderContract
import StoreContract

/// Keeps one function as it is desired: carries out what `FunctionPlan` decides, and tells it what happens.
///
/// Confined to the supervision loop. Costs next to nothing while the function has no replica: no task, timer
/// or open file; an empty folder waits for the next one.
package final class FunctionSupervisor<Home: ReplicaHome> {
    package let id: FunctionID
    let createdAt: Timestamp
    /// Found by the function itself, never by its name, which may be another one's by now.
    let log: FunctionLog
    package private(set) var newest: Home.Revision
    /// Digest and deployment of the newest revision, to tell a change from none.
    private(set) var stored: StoredRevision
    private(set) var state: MartletStatus.State = .starting
    private(set) var reason = ""
    private(set) var since = Timestamp.now()
    private(set) var isDeleting = false

    private let home: Home
    private let parts: SupervisionParts
    private let logger: Logger
    private let onServing: (FunctionID, Int) -> Void
    private var plan: FunctionPlan
    package private(set) var serving: Home.Revision?
    package private(set) var replicas: [Int: Home.Running] = [:]
    private var failures: [Int: Int] = [:]
    private var lastFailure: [Int: String] = [:]
    private var retries: [Int: Scheduled<Void>] = [:]
    private var drainLimits: [Int: Scheduled<Void>] = [:]
    private var whenEmpty: [() -> Void] = []
    private var lastUsage: (at: NIODeadline, cpuNanoseconds: UInt64, milliCPU: Double)?
    /// Over less time the use of CPU would be noise; who asks so soon gets the answer of the one before.
    private static var shortestUsageInterval: TimeAmount { .milliseconds(200) }
    /// What replicas had used when they were last looked at, and what those that have ended had.
    private var usedCPU: [Int: UInt64] = [:]
    private var usedByEnded: UInt64 = 0
    /// Whether a replica was desired when a successor was given the function, which has one then; nil where none was.
    private var wasDesired: Bool?

    init(
        _ function: StoredFunction,
        newest: Home.Revision,
        serving: Home.Revision?,
        home: Home,
        parts: SupervisionParts,
        log: FunctionLog,
        logger: Logger,
        onServing: @escaping (FunctionID, Int) -> Void
    ) {
        id = function.id
        createdAt = function.createdAt
        stored = function.revision
        self.newest = newest
        self.serving = serving
        self.home = home
        self.parts = parts
        self.log = log
        self.logger = logger
        self.onServing = onServing
        plan = FunctionPlan(
            newest: newest.number,
            serving: serving?.number ?? 0,
            desired: 0,
            isExclusive: newest.isExclusive || serving?.isExclusive == true,
            firstID: home.firstNumber(of: function.id)
        )
    }

    /// Whether no replica is left.
    package var isGone: Bool { replicas.isEmpty }

    /// The further paths of the newest revision and of one that serves meanwhile.
    var paths: [String] { [newest, serving].compactMap { $0 }.flatMap(\.spec.paths) }

    /// Whether there are any.
    var hasPaths: Bool { !newest.spec.paths.isEmpty || serving?.spec.paths.isEmpty == false }

    /// The replicas that were given a secret.
    func replicas(holding secret: String) -> [Home.Running] {
        replicas.values.filter { $0.revision.holds(secret) }
    }

    /// Whether a replica may yet be started that needs a secret.
    func mayStart(with secret: String) -> Bool { newest.holds(secret) || serving?.holds(secret) == true }

    // MARK: What is desired

    var desired: Int { plan.desired }

    func setDesired(_ count: Int) {
        carryOut(plan.setDesired(count))
    }

    func setNewest(_ revision: Home.Revision, _ stored: StoredRevision) {
        let isExclusive = revision.isExclusive || newest.isExclusive
        newest = revision
        self.stored = stored
        carryOut(plan.setNewest(revision.number, isExclusive: isExclusive))
    }

    /// Whether a replica may have a port of its own.
    var mayHoldPort: Bool { newest.isExclusive || serving?.isExclusive == true }

    /// A successor has the function from now on; here its last calls end.
    func handOver() { wasDesired = desired > 0 }

    /// Ends everything; calls back when nothing is left.
    func stopAll(deleting: Bool, whenDone: @escaping () -> Void) {
        isDeleting = deleting
        if deleting { home.forget(log) }
        for retry in retries.values { retry.cancel() }
        retries = [:]
        carryOut(plan.stopAll())
        if replicas.isEmpty { whenDone() } else { whenEmpty.append(whenDone) }
    }

    /// Ends at once what is left.
    func killAll() {
        for replica in replicas.values { replica.kill() }
    }

    // MARK: Carrying out

    private func carryOut(_ actions: [FunctionPlan.Action]) {
        for action in actions {
            switch action {
            case .start(let id, let revision): start(id, revision)
            case .drain(let id): drain(id)
            case .boundDrain(let id): boundDrain(id)
            case .stop(let id): replicas[id]?.stop()
            }
        }
        noteServing()
        publish()
    }

    private func start(_ number: Int, _ revisionNumber: Int) {
        guard let revision = revision(revisionNumber) else { return }
        let replica = home.replica(
            ReplicaOrder(
                revision: revision,
                name: "\(id.name)-\(revisionNumber)-\(number)\(parts.generation.suffix)",
                log: log,
                isBorrowed: isSuccessors(revision),
                onReady: { [unowned self] in becameReady(number) },
                onUnready: { [unowned self] in carryOut(plan.becameUnready(number)) },
                onEnd: { [unowned self] end in ended(number, end) }
            )
        )
        replicas[number] = replica
        replica.start()
    }

    /// Whether a replica that is to be started on a port of its own is the successor's, which has that port or will.
    private func isSuccessors(_ revision: Home.Revision) -> Bool {
        guard let wasDesired, let port = revision.fixedPort else { return false }
        return wasDesired || !home.canHavePort(port)
    }

    private func revision(_ number: Int) -> Home.Revision? {
        if number == newest.number { return newest }
        return number == serving?.number ? serving : nil
    }

    /// A replica gets no call from now on; when its last one has ended it is stopped.
    private func drain(_ number: Int) {
        guard let replica = replicas[number]?.replica else { return }
        let supervisor = NIOLoopBound(self, eventLoop: parts.loop)
        let loop = parts.loop
        replica.drain { loop.execute { supervisor.value.drained(number) } }
    }

    /// A draining replica is stopped after the longest that a call may take: streams and upgraded connections may last
    /// for ever.
    private func boundDrain(_ number: Int) {
        guard let process = replicas[number] else { return }
        guard drainLimits[number] == nil else { return }
        let limit = process.revision.spec.calls.deadline ?? .seconds(300)
        drainLimits[number] = parts.loop.assumeIsolated().scheduleTask(in: TimeAmount(limit)) { [self] in
            drained(number)
        }
    }

    private func drained(_ number: Int) { carryOut(plan.drained(number)) }

    private func becameReady(_ number: Int) {
        guard let revision = replicas[number]?.revision.number else { return }
        lastFailure[revision] = nil
        carryOut(plan.becameReady(number))
    }

    private func ended(_ number: Int, _ end: ReplicaEnd) {
        guard let process = replicas.removeValue(forKey: number) else { return }
        drainLimits.removeValue(forKey: number)?.cancel()
        usedByEnded += usedCPU.removeValue(forKey: number) ?? 0
        process.replica?.drain {}
        if case .failed(let why) = end { noteFailure(of: process, why) }
        // Files of replicas that are not known here may be those of living ones.
        if !parts.otherRun.isThere { log.prune(living: Set(replicas.values.map(\.name))) }
        carryOut(plan.ended(number))
        guard replicas.isEmpty, !whenEmpty.isEmpty else { return }
        let waiting = whenEmpty
        whenEmpty = []
        for callback in waiting { callback() }
    }

    // MARK: Failures

    /// A replica that lived for long is replaced at once; one that fails soon, with a back-off that doubles.
    private func noteFailure(of process: Home.Running, _ why: String) {
        let number = process.revision.number
        lastFailure[number] = why
        log.note("martlet: \(process.name) \(why)", replica: process.name)
        logger.warning("replica failed", metadata: ["replica": "\(process.name)", "reason": "\(why)"])
        if let readyAt = process.readyAt, NIODeadline.now() - readyAt > .seconds(10) {
            failures[number] = 0
            return
        }
        let count = failures[number, default: 0]
        failures[number] = count + 1
        plan.holdBack(number)
        let delay = min(TimeAmount.seconds(30), .milliseconds(100 << Int64(min(count, 10))))
        retries[number] = parts.loop.assumeIsolated().scheduleTask(in: delay) { [self] in
            retries[number] = nil
            carryOut(plan.release(number))
        }
    }

    // MARK: Telling

    /// Remembers which revision serves, so that a restart begins with it.
    private func noteServing() {
        guard plan.serving == newest.number, serving?.number != newest.number else { return }
        serving = newest
        failures = failures.filter { $0.key == newest.number }
        lastFailure = lastFailure.filter { $0.key == newest.number }
        onServing(id, newest.number)
    }

    private func publish() {
        updateState()
        guard !isDeleting else { return }
        let ready = plan.published.compactMap { replicas[$0]?.replica }
        let spec = (revision(plan.answering) ?? newest).spec
        parts.feed.publish(
            FunctionRoute(
                id: id,
                variants: [
                    RouteVariant(revision: ready.isEmpty ? 0 : plan.answering, replicas: ready, policy: spec.calls)
                ],
                desiredReplicas: plan.desired,
                scaling: spec.scaling,
                paths: spec.paths,
                annotations: spec.annotations,
                state: state,
                notReadyReason: ready.isEmpty ? reason : ""
            )
        )
    }

    private func updateState() {
        let (newState, newReason) = describe()
        guard newState != state || newReason != reason else { return }
        if newState != state { since = .now() }
        (state, reason) = (newState, newReason)
    }

    private func describe() -> (MartletStatus.State, String) {
        if isDeleting { return (.deleting, "") }
        if let why = lastFailure[newest.number] {
            let old = plan.serving != 0 && plan.serving != newest.number ? "; revision \(plan.serving) serves on" : ""
            return (.failing, "revision \(newest.number) \(why)\(old)")
        }
        if plan.desired == 0 { return (.idle, "") }
        if plan.serving != 0, plan.serving != newest.number {
            return (.updating, "revision \(newest.number) is being started")
        }
        if plan.published.count >= plan.desired { return (.ready, "") }
        return (.starting, "")
    }

    /// The status as the API has it; without usage.
    func status() -> FunctionStatus {
        var status = FunctionStatus(newest.spec.deployment, namespace: id.namespace, createdAt: createdAt)
        status.replicas = plan.desired
        status.availableReplicas = plan.published.count
        status.martlet = MartletStatus(
            revision: newest.number,
            readyRevision: plan.serving,
            state: state,
            reason: reason,
            since: since,
            limitsEnforced: home.keepsLimits(of: newest)
        )
        return status
    }

    // MARK: Usage

    /// What the replicas use: memory now, and CPU over the time since the last reading.
    func usage() async -> FunctionUsage {
        let readings = await home.usage(of: replicas)
        var memory: UInt64 = 0
        for (number, reading) in readings {
            guard replicas[number] != nil else { continue }
            memory += reading.memoryBytes
            // Processes that have ended take their share of a group's time with them; what was used stays used.
            usedCPU[number] = max(usedCPU[number] ?? 0, reading.cpuNanoseconds)
        }
        let cpu = usedCPU.values.reduce(usedByEnded, +)
        return FunctionUsage(
            cpu: milliCPU(cpu),
            totalMemoryBytes: Double(memory),
            cpuSecondsTotal: Double(cpu) / 1e9
        )
    }

    private func milliCPU(_ cpu: UInt64) -> Double {
        let now = NIODeadline.now()
        guard let last = lastUsage else {
            lastUsage = (now, cpu, 0)
            return 0
        }
        guard now - last.at >= Self.shortestUsageInterval else { return last.milliCPU }
        let milli = Double(cpu - last.cpuNanoseconds) / Double((now - last.at).nanoseconds) * 1000
        lastUsage = (now, cpu, milli)
        return milli
    }
}
