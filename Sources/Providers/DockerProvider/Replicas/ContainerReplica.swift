// SPDX-License-Identifier: Apache-2.0

import DockerEngineClient
import FunctionModel
import FunctionProcesses
import Logging
package import NIOCore
import ProcessControl
package import ProviderContract
import ReplicaSupervision

/// One replica as a container.
///
/// Confined to the supervision loop. It gets calls only while the engine is heard: an address of a container that has ended
/// is another one's at once.
package final class ContainerReplica: SupervisedReplica {
    package let name: String
    package let revision: ContainerRevision
    package private(set) var replica: Replica?
    package private(set) var readyAt: NIODeadline?

    private let order: ReplicaOrder<ContainerRevision>
    private let parts: DockerParts
    private let crowd: ProbeCrowd
    private let startedAt = NIODeadline.now()
    private var plan: ContainerPlan
    private var containerName: String?
    private(set) var container: String?
    /// What the engine said of it when it was last looked at.
    private var details: ContainerDetails?
    private var output: ContainerOutput?
    /// Where it was ready first; it stays there or is another one's.
    private var address: Upstream.Address?
    private var isReady = false
    private var probe: ReadinessProbe?
    private var liveness: LivenessProbe?
    private var timers: [Scheduled<Void>] = []
    /// Whether the engine's last answer to its start has come.
    private var hasLaunched = false
    /// An end that came before that.
    private var early: ContainerEnd?
    private var isStopping = false
    private var isKilled = false
    private var isEnding = false
    private var failure: String?

    private static let stopAgain = Duration.seconds(1)

    init(_ order: ReplicaOrder<ContainerRevision>, parts: DockerParts, crowd: ProbeCrowd) {
        self.order = order
        self.parts = parts
        self.crowd = crowd
        name = order.name
        revision = order.revision
        plan = parts.plan(order.revision, replica: order.name)
    }

    /// The secrets that its container has.
    var secrets: SecretFolder? { plan.secrets }

    private var watch: EngineWatch { parts.watch.value }

    // MARK: Starting

    package func start() {
        let leftover = parts.leftovers.value.claim(revision, shape: plan.shape, preferring: name)
        // One that is taken over has the secrets of its own name.
        if let leftover { plan = parts.plan(revision, replica: leftover.identity.replica) }
        let containerName = watch.claim(leftover?.name ?? plan.identity.containerName)
        self.containerName = containerName
        after(revision.run.startTimeout) { [self] in startIsOver() }
        let (loop, bound) = (parts.loop, NIOLoopBound(self, eventLoop: parts.loop))
        let launch = ContainerLaunch(
            parts: parts,
            plan: plan,
            name: containerName,
            leftover: leftover,
            isWanted: { await loop.run { bound.value.isWanted } },
            made: { id in await loop.run { bound.value.made(id) } }
        )
        // Ends with the engine's answers.
        Task {
            let outcome = await launch.run()
            loop.execute { bound.value.launched(outcome) }
        }
    }

    private var isWanted: Bool { !isStopping && failure == nil }

    /// False where nobody wants it any more.
    private func made(_ id: String) -> Bool {
        guard isWanted else { return false }
        container = id
        watch.follow(
            id,
            EngineWatch.Follower(
                ended: { [self] in ended($0) },
                lost: { [self] in lost() },
                seen: { [self] in seen($0) }
            )
        )
        return true
    }

    private func launched(_ outcome: ContainerLaunch.Outcome) {
        hasLaunched = true
        if let early { return ended(early) }
        switch outcome {
        case .abandoned: letGo(failure.map { .failed($0) } ?? .stopped)
        case .failed(let why): letGo(isStopping ? .stopped : .failed(failure ?? why))
        case .running(let details):
            self.details = details
            readOutput()
            if isKilled { return letGo(.stopped) }
            guard isWanted else { return terminate() }
            if watch.isHeard { watchForReadiness() }
        }
    }

    private func startIsOver() {
        guard readyAt == nil, !isStopping, !isEnding else { return }
        let rule = revision.run.readiness
        let what = rule.acceptsAnyStatus ? "answer" : "answer \(rule.path ?? "/") with 2xx"
        fail("did not \(what) on port \(revision.run.port) within \(GoDuration.format(revision.run.startTimeout))")
    }

    // MARK: Serving

    private func watchForReadiness() {
        guard let details, let address = parts.upstream(details, port: revision.run.port) else {
            return fail("cannot be reached: its container has no address that leads there from here")
        }
        if let before = self.address, before != address {
            return fail("is at another address since the engine was lost")
        }
        let probe = ReadinessProbe(address, probe: revision.run.readiness, among: crowd, on: parts.loop) { [self] in
            guard !isEnding, !isStopping, watch.isHeard else { return }
            becomeReady(address)
        }
        self.probe = probe
        probe.start()
    }

    private func becomeReady(_ address: Upstream.Address) {
        readyAt = readyAt ?? .now()
        self.address = address
        replica =
            replica
            ?? Replica(
                id: name,
                revision: revision.number,
                target: Upstream(address),
                maxInFlight: revision.spec.calls.maxInFlight
            )
        isReady = true
        watchForLife(address)
        order.onReady()
    }

    private func watchForLife(_ address: Upstream.Address) {
        guard let rule = revision.run.liveness else { return }
        let liveness = LivenessProbe(address, probe: rule, on: parts.loop) { [self] in
            fail("did not answer \(rule.path ?? "") with 2xx, \(rule.failureThreshold) times in a row")
        }
        self.liveness = liveness
        liveness.start()
    }

    /// The engine is not heard: whether the container still runs, and is still what has its address, is not known.
    private func lost() {
        cancelProbes()
        guard isReady, !isStopping, !isEnding else { return }
        isReady = false
        order.onUnready()
    }

    /// The engine is heard again, and the container runs.
    private func seen(_ now: ContainerDetails) {
        guard let before = details, !isEnding else { return }
        details = now
        if now.state.startedAt != before.state.startedAt { return fail("was started again by somebody else") }
        readOutput()
        if isStopping { return terminate() }
        if !isReady { watchForReadiness() }
    }

    private func readOutput() {
        guard let container else { return }
        output =
            output
            ?? ContainerOutput(
                engine: parts.engine,
                container: container,
                log: order.log,
                replica: name,
                lineLimit: revision.run.logLineLimit
            )
        output?.read()
    }

    // MARK: Ending

    package func stop() {
        guard !isEnding, !isStopping else { return }
        isStopping = true
        cancelProbes()
        // Otherwise it is just being started, and ends as soon as that is known.
        if hasLaunched { terminate() }
    }

    package func kill() {
        guard !isEnding else { return }
        isStopping = true
        isKilled = true
        cancelProbes()
        if hasLaunched { letGo(.stopped) }
    }

    /// Ends it for a reason of its own.
    private func fail(_ why: String) {
        guard !isEnding, !isStopping, failure == nil else { return }
        failure = why
        cancelProbes()
        // No new call goes to it while it is being ended.
        replica?.drain {}
        if hasLaunched { terminate() }
    }

    /// Where the engine does not answer, it is told again.
    private func terminate() {
        guard !isEnding else { return }
        guard let container else { return letGo(.stopped) }
        let (engine, grace) = (parts.engine, revision.run.gracePeriod)
        let (loop, bound) = (parts.loop, NIOLoopBound(self, eventLoop: parts.loop))
        // Ends with the engine's answer.
        Task {
            let isStopped = (try? await engine.stop(container, grace: grace)) != nil
            loop.execute { bound.value.told(isStopped) }
        }
    }

    private func told(_ isStopped: Bool) {
        guard !isEnding else { return }
        guard isStopped else { return after(Self.stopAgain) { [self] in terminate() } }
        letGo(failure.map { .failed($0) } ?? .stopped)
    }

    private func ended(_ end: ContainerEnd) {
        guard hasLaunched else { return early = end }
        let seconds = Double((NIODeadline.now() - startedAt).nanoseconds) / 1e9
        let limit = revision.spec.deployment.limits?.memory
        let why = failure ?? end.sentence(afterSeconds: seconds, memoryLimit: limit)
        letGo(isStopping && failure == nil ? .stopped : .failed(why))
    }

    /// Whatever is left of the container goes, and then it is over.
    private func letGo(_ end: ReplicaEnd) {
        guard !isEnding else { return }
        isEnding = true
        cancelProbes()
        for timer in timers { timer.cancel() }
        timers = []
        // Whoever has its address next is not the function.
        replica?.drain {}
        if let container { watch.forget(container) }
        let (parts, container, output, secrets) = (parts, container, output, plan.secrets)
        let bound = NIOLoopBound(self, eventLoop: parts.loop)
        // Ends with the engine's answer; what could not be removed is removed when the engine is heard again.
        Task {
            await output?.end()
            if let container { try? await parts.engine.remove(container, force: true) }
            if let secrets { try? await parts.onFolders { secrets.remove() } }
            parts.loop.execute { bound.value.over(end) }
        }
    }

    private func over(_ end: ReplicaEnd) {
        if let containerName { watch.release(containerName) }
        order.onEnd(end)
    }

    private func cancelProbes() {
        probe?.cancel()
        liveness?.cancel()
    }

    private func after(_ delay: Duration, _ work: @escaping () -> Void) {
        timers.append(parts.loop.assumeIsolated().scheduleTask(in: TimeAmount(delay), work))
    }
}
