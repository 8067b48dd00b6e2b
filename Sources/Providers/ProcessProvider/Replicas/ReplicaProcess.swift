// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import FunctionProcesses
package import NIOCore
import ProcessControl
package import ProviderContract
import ReplicaSupervision

/// One replica on this machine: a long-lived process with a port, or a slot that starts a process per call.
///
/// Confined to the supervision loop. It reports what happens to it by `onReady` and `onEnd`, each at most once, `onEnd`
/// always after everything it held has been let go.
package final class ReplicaProcess: SupervisedReplica {
    /// Unique within its function.
    package var name: String { order.name }
    /// What it runs.
    package var revision: FunctionRevision { order.revision }
    /// What routers call; there once it is ready.
    package private(set) var replica: Replica?
    private(set) var processID: Int32?
    private(set) var group: ControlGroup?
    let startedAt = NIODeadline.now()
    /// When it became ready.
    package private(set) var readyAt: NIODeadline?

    private let order: ReplicaOrder<FunctionRevision>
    private let parts: ReplicaParts
    private let crowd: ProbeCrowd
    let folder: ReplicaFolder
    private let onTidied: (ReplicaFolder) -> Void
    /// Tells it from every other replica that there ever was.
    private let title: String
    /// By which what its server started is found.
    private var mark: ProcessMarks.Mark?
    private var port: Int?
    private var logDescriptor: Int32 = -1
    private var probe: ReadinessProbe?
    private var liveness: LivenessProbe?
    private var isStopping = false
    private var isEnding = false
    private var isBorrowing = false
    private var failure: String?
    private var timers: [Scheduled<Void>] = []
    private var launcher: ForkLauncher?

    init(
        _ order: ReplicaOrder<FunctionRevision>,
        parts: ReplicaParts,
        spareFolder: ReplicaFolder?,
        crowd: ProbeCrowd,
        onTidied: @escaping (ReplicaFolder) -> Void
    ) {
        self.order = order
        self.parts = parts
        self.crowd = crowd
        self.onTidied = onTidied
        title = "\(order.name)-\(UInt32.random(in: 0 ... .max))"
        folder = spareFolder ?? ReplicaFolder(path: "\(parts.runFolder)/\(title)")
    }

    /// Whether what it uses can only be read from the table of all processes.
    var isInTableAlone: Bool { group == nil && processID != nil }

    // MARK: Starting

    /// Makes its folder, then starts its process.
    package func start() {
        let names = revision.spec.run.secrets
        let (folder, secrets, namespace) = (folder, parts.secrets, revision.id.namespace)
        let loop = parts.loop
        let bound = NIOLoopBound(self, eventLoop: loop)
        parts.folders.async {
            let outcome = Result { try folder.create(secrets: names, from: secrets, namespace: namespace) }
            loop.execute { bound.value.folderMade(outcome) }
        }
    }

    private func folderMade(_ outcome: Result<Void, any Error>) {
        guard !isStopping else { return letGo(.stopped) }
        do {
            try outcome.get()
            if order.isBorrowed { return borrow() }
            try makeGroup()
            if revision.run.mode.startsProcessPerCall { try startSlot() } else { try startServer() }
        } catch let error as SpawnError {
            letGo(.failed(error.message))
        } catch {
            letGo(.failed("its folder or its secrets could not be made ready"))
        }
    }

    private func makeGroup() throws(SpawnError) {
        guard let groups = parts.groups, !revision.limits.isEmpty else { return }
        group = try groups.make(title, limits: revision.limits)
    }

    private func spec(_ environment: ReplicaEnvironment, _ streams: ProcessSpec.Streams) -> ProcessSpec {
        ProcessSpec(
            arguments: revision.run.command,
            environment: environment.variables,
            workingDirectory: workingDirectory,
            streams: streams,
            controlGroup: group,
            mount: folder.mount(hasSecrets: !revision.spec.run.secrets.isEmpty)
        )
    }

    private func environment(port: Int?) -> ReplicaEnvironment {
        ReplicaEnvironment(revision, folder: folder, port: port, platformURL: parts.platformURL)
    }

    private var workingDirectory: String {
        guard let bundleFolder = revision.bundleFolder else { return folder.empty }
        guard let inner = revision.bundle?.workdir, !inner.isEmpty else { return bundleFolder }
        return "\(bundleFolder)/\(inner)"
    }

    // MARK: A slot

    /// Ready as soon as its program can be executed (martlet-api "A function's port").
    private func startSlot() throws(SpawnError) {
        let environment = environment(port: nil)
        _ = try ExecutableLookup.find(revision.run.command[0], path: environment.path, in: workingDirectory)
        let launcher = ForkLauncher(
            spec: spec(environment, .allPiped),
            contentType: revision.run.contentType,
            collectsOutput: revision.run.mode == .serializing,
            spawner: parts.spawner,
            marks: parts.marks,
            takeErrors: { [log = order.log, name, lineLimit = revision.run.logLineLimit] in
                log.read($0, replica: name, lineLimit: lineLimit)
            }
        )
        self.launcher = launcher
        become(ProcessTarget(launcher))
    }

    private func become(_ target: any InvocationTarget) {
        readyAt = .now()
        replica = Replica(
            id: name,
            revision: revision.number,
            target: target,
            maxInFlight: revision.spec.calls.maxInFlight
        )
        order.onReady()
    }

    // MARK: A server

    private func startServer() throws(SpawnError) {
        guard let port = choosePort() else { return letGo(.failed("no free port was found for it")) }
        if isExclusive, !parts.ports.take(port), parts.otherRun.isEnding { return awaitPort() }
        self.port = port
        try openLog()
        let mark = parts.marks.issue()
        self.mark = mark
        var spec = spec(environment(port: port), .combined(descriptor: logDescriptor))
        spec.arguments = spec.arguments.map { ReplicaEnvironment.filled($0, port) }
        spec.mark = mark
        let bound = NIOLoopBound(self, eventLoop: parts.loop)
        let loop = parts.loop
        parts.spawner.start(
            spec,
            started: { outcome in loop.execute { bound.value.processStarted(outcome) } },
            ended: { exit in loop.execute { bound.value.processEnded(exit) } }
        )
    }

    /// Its port is still the one of the replica that it follows, which ends with its calls.
    private func awaitPort() {
        after(.milliseconds(20)) { [self] in
            guard !isStopping else { return letGo(.stopped) }
            do throws(SpawnError) { try startServer() } catch { letGo(.failed(error.message)) }
        }
    }

    /// Calls that came before the successor go to its replica, as soon as that listens on the port that both are to have.
    private func borrow() {
        guard let port = choosePort() else { return letGo(.stopped) }
        isBorrowing = true
        watchForReadiness(of: port) {}
    }

    private func openLog() throws(SpawnError) {
        let (readEnd, writeEnd) = try ProcessPipe.open()
        logDescriptor = writeEnd
        order.log.read(readEnd, replica: name, lineLimit: revision.run.logLineLimit)
    }

    private var isExclusive: Bool { revision.fixedPort != nil }

    private func choosePort() -> Int? {
        if case .fixed(let port) = revision.run.port { return port }
        return parts.ports.claim()
    }

    private func processStarted(_ outcome: Result<StartedProcess, SpawnError>) {
        switch outcome {
        case .failure(let error):
            letGo(.failed(error.message))
        case .success(let process):
            processID = process.processID
            closeLog()
            if isStopping { return terminate() }
            watchForReadiness()
        }
    }

    private func watchForReadiness() {
        guard let port else { return }
        watchForReadiness(of: port) { [self] in watchForLife(port) }
        after(revision.run.startTimeout) { [self] in
            guard readyAt == nil, !isStopping, !isEnding else { return }
            let what = revision.run.readiness.path.map { "answer \($0) with 2xx" } ?? "listen on port \(port)"
            failure = "did not \(what) within \(GoDuration.format(revision.run.startTimeout))"
            terminate()
        }
    }

    private func watchForReadiness(of port: Int, whenReady: @escaping () -> Void) {
        let rule = revision.run.readiness
        let probe = ReadinessProbe(Self.address(port), probe: rule, among: crowd, on: parts.loop) { [self] in
            guard !isEnding, !isStopping else { return }
            become(Upstream(Self.address(port), pathPrefix: revision.run.pathPrefix))
            whenReady()
        }
        self.probe = probe
        probe.start()
    }

    private static func address(_ port: Int) -> Upstream.Address { .tcp(host: "127.0.0.1", port: port) }

    private func watchForLife(_ port: Int) {
        guard let rule = revision.run.liveness else { return }
        let liveness = LivenessProbe(Self.address(port), probe: rule, on: parts.loop) { [self] in
            guard !isEnding, !isStopping else { return }
            failure = "did not answer \(rule.path ?? "") with 2xx, \(rule.failureThreshold) times in a row"
            // No new call goes to it while it is being ended.
            replica?.drain {}
            terminate()
        }
        self.liveness = liveness
        liveness.start()
    }

    private func processEnded(_ exit: ProcessExit) {
        processID = nil
        let reason = failure ?? describe(exit)
        letGo(isStopping && failure == nil ? .stopped : .failed(reason))
    }

    private func describe(_ exit: ProcessExit) -> String {
        if let group, group.outOfMemoryKills > 0 {
            return "ran out of memory (limit \(revision.spec.deployment.limits?.memory ?? ""))"
        }
        let lived = Double((NIODeadline.now() - startedAt).nanoseconds) / 1e9
        let seconds = "\((lived * 10).rounded() / 10)"
        return switch exit {
        case .exited(let code): "exited with status \(code) after \(seconds) s"
        case .signalled(let number): "was ended by signal \(number) after \(seconds) s"
        }
    }

    // MARK: Stopping

    /// Ends the replica: politely, after the grace period by force.
    ///
    /// `onEnd` follows.
    package func stop() {
        guard !isEnding, !isStopping else { return }
        isStopping = true
        cancelProbes()
        if processID != nil {
            terminate()
        } else if launcher != nil || isBorrowing {
            letGo(.stopped)
        }
        // Otherwise it is just being started, and ends as soon as that is known.
    }

    /// Ends the process now, or those of a slot's calls.
    package func kill() {
        launcher?.retire()
        if isBorrowing { return letGo(.stopped) }
        guard let processID else { return }
        parts.spawner.signalGroup(of: processID, SIGKILL)
        group?.killAll()
    }

    /// Ends a replica that uses more memory than it may, where no control group does so.
    func killForMemory() {
        failure = "ran out of memory (limit \(revision.spec.deployment.limits?.memory ?? ""))"
        kill()
    }

    private func terminate() {
        guard let processID else { return }
        parts.spawner.signalGroup(of: processID, SIGTERM)
        after(revision.run.gracePeriod) { [self] in kill() }
    }

    /// No process of its own is left: what those have left goes, and then it is over.
    private func letGo(_ end: ReplicaEnd) {
        guard !isEnding else { return }
        isEnding = true
        cancelProbes()
        for timer in timers { timer.cancel() }
        timers = []
        // Whoever still listens on its port is not the function.
        replica?.drain {}
        launcher?.retire()
        closeLog()
        guard mark != nil || group != nil else { return over(end) }
        let (group, loop) = (group, parts.loop)
        let bound = NIOLoopBound(self, eventLoop: loop)
        if let mark { parts.marks.withdraw(mark) }
        parts.marks.endStrays {
            guard let group else { return loop.execute { bound.value.over(end) } }
            DispatchQueue.global(qos: .utility).async {
                group.killAll()
                group.remove()
                loop.execute { bound.value.over(end) }
            }
        }
    }

    private func over(_ end: ReplicaEnd) {
        if let port { isExclusive ? parts.ports.giveBack(port) : parts.ports.release(port) }
        let bound = NIOLoopBound(self, eventLoop: parts.loop)
        parts.tidying.tidy(folder) { bound.value.onTidied($0) }
        order.onEnd(end)
    }

    private func cancelProbes() {
        probe?.cancel()
        liveness?.cancel()
    }

    private func closeLog() {
        guard logDescriptor >= 0 else { return }
        close(logDescriptor)
        logDescriptor = -1
    }

    private func after(_ delay: Duration, _ work: @escaping () -> Void) {
        timers.append(parts.loop.assumeIsolated().scheduleTask(in: TimeAmount(delay), work))
    }
}
