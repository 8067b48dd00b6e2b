// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import FunctionProcesses
import Glibc
import InvocationEngine
import NIOCore
import NIOPosix
import ProcessControl
import ProviderContract
import Synchronization
import Telemetry

/// The engine with exactly one function behind it: what runs in a function's image (contract §15).
public enum Watchdog {
    /// The version that it says it is.
    public static let version = Release.number

    /// Runs until it is told to stop or its function has ended; returns the exit code.
    public static func run(environment: [String: String]) async -> Int32 {
        let settings: WatchdogSettings
        do throws(WatchdogSettings.Problems) { settings = try WatchdogSettings(environment) } catch {
            return fail("Error loading config: \(error.sentences.joined(separator: "; "))")
        }
        let signals = TerminationSignals()
        let log = WatchdogLog(settings)
        let code = await RunningWatchdog(settings, log).run(until: signals)
        await log.close()
        return code
    }

    /// Whether a watchdog of this container listens (contract §15.1, `-run-healthcheck`).
    public static func checkHealth(environment: [String: String]) -> Int32 {
        LockFile(environment).exists ? 0 : fail("unable to find lock file.")
    }

    private static func fail(_ text: String) -> Int32 {
        let line = text + "\n"
        _ = write(2, line, line.utf8.count)
        return 1
    }
}

/// One run, from the first socket to the last answer (contract §15.8).
private final class RunningWatchdog: Sendable {
    private let settings: WatchdogSettings
    private let log: WatchdogLog
    private let group: MultiThreadedEventLoopGroup
    private let spawner: ProcessSpawner
    private let marks = ProcessMarks(owner: "fwatchdog-\(UInt64.random(in: 0 ... .max))")
    private let table: RoutingTable
    private let lock: LockFile
    private let isDraining = Atomic<Bool>(false)
    private let replica = Mutex<Replica?>(nil)

    init(_ settings: WatchdogSettings, _ log: WatchdogLog) {
        self.settings = settings
        self.log = log
        let threads = max(1, min(System.coreCount, 4))
        HeapMemory.keepSmall(threads: threads)
        group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        // As the first process of a container it inherits whatever loses its parent.
        spawner = ProcessSpawner(threads: settings.mode == .http ? 1 : 2, adoptsOrphans: getpid() == 1)
        table = RoutingTable(defaultNamespace: Self.namespace, activate: { _, _ in })
        lock = LockFile(settings.environment)
    }

    func run(until signals: TerminationSignals) async -> Int32 {
        let (door, metricsDoor) = makeDoors()
        let child: RunningChild?
        do {
            table.apply(.snapshot([route(WatchdogFunction.calls, []), route(WatchdogFunction.probes, [])]))
            try await listen(door, metricsDoor)
            child = try await startFunction()
        } catch let error as SpawnError {
            log.say("Unable to start the function: \(error.message)")
            return 1
        } catch {
            log.say("Unable to start: \(error)")
            return 1
        }
        guard writeLock() else { return 1 }
        if !ProcessTable.showsThisProcess {
            log.say("Warning: /proc is not that of this container, and without it the watchdog may die; mount it")
        }
        let code = await waitForEnd(signals, child)
        await door.drain(within: code == 0 ? settings.writeTimeout : .seconds(1))
        if code == 0 { await child?.stop(within: settings.writeTimeout) }
        await metricsDoor.drain(within: .milliseconds(100))
        marks.withdrawAll()
        await marks.endStrays()
        lock.remove()
        return code
    }

    // MARK: Start

    private func makeDoors() -> (FrontDoor, FrontDoor) {
        let engine = EngineSettings(
            profile: .watchdog,
            upstreamTimeout: nil,
            headTimeout: settings.headerTimeout,
            readTimeout: settings.readTimeout,
            writeTimeout: settings.writeTimeout,
            headLimit: settings.headLimit,
            bodyFolder: settings.environment["TMPDIR"] ?? "/tmp",
            servedBy: "of-watchdog",
            accessLog: log,
            health: { [self] in health($0) }
        )
        let door = FrontDoor(group: group, settings: engine, table: table, responder: NoResponder())
        let metricsDoor = FrontDoor(
            group: group,
            settings: EngineSettings(servedBy: "fwatchdog/\(Watchdog.version)"),
            table: .withoutFunctions(),
            responder: MetricsResponder {
                // Fails only while the event loops are being shut down.
                let all = (try? await door.metrics()) ?? []
                let calls = all.first { $0.id.name == WatchdogFunction.calls }
                return WatchdogMetrics.families(calls) + ProcessMetrics.families()
            }
        )
        return (door, metricsDoor)
    }

    private func listen(_ door: FrontDoor, _ metricsDoor: FrontDoor) async throws {
        let port = try await listen(door, on: settings.port)
        log.say("Listening on port: \(port)")
        let metricsPort = try await listen(metricsDoor, on: settings.metricsPort)
        log.say("Metrics listening on port: \(metricsPort).")
    }

    /// All addresses, those of IPv6 too where there are any.
    private func listen(_ door: FrontDoor, on port: Int) async throws -> Int {
        guard settings.address.isEmpty else {
            return try await door.listen(host: settings.address, port: port).port ?? 0
        }
        do { return try await door.listen(host: "::", port: port).port ?? 0 } catch let error as IOError {
            guard error.errnoCode == EAFNOSUPPORT || error.errnoCode == EADDRNOTAVAIL else { throw error }
            return try await door.listen(host: "0.0.0.0", port: port).port ?? 0
        }
    }

    private func startFunction() async throws -> RunningChild? {
        log.say("Watchdog mode: \(settings.mode.rawValue)  fprocess: \"\(settings.command.joined(separator: " "))\"")
        switch settings.mode {
        case .files:
            publish(FolderTarget(path: settings.staticPath))
            return nil
        case .streaming, .serializing:
            publish(ProcessTarget(makeLauncher()))
            return nil
        case .http:
            guard let upstream = settings.upstream else { return nil }
            let child = ServerChild(
                settings,
                upstream,
                spawner: spawner,
                mark: marks.issue(),
                loop: group.next(),
                log: log
            )
            let processID = try await child.start { [self] in publish(upstream) }
            return RunningChild(child: child, processID: processID)
        }
    }

    private func makeLauncher() -> ForkLauncher {
        let spec = ProcessSpec(
            arguments: settings.command,
            environment: settings.environment.map { ($0.key, $0.value) },
            workingDirectory: ".",
            streams: .allPiped
        )
        return ForkLauncher(
            spec: spec,
            contentType: settings.contentType,
            collectsOutput: settings.mode == .serializing,
            spawner: spawner,
            marks: marks,
            takeErrors: { [log, group] in log.read($0, from: .errors, on: group.next()) }
        )
    }

    private func writeLock() -> Bool {
        guard settings.writesLock else {
            log.say("Warning: \"suppress_lock\" is enabled. No automated health-checks will be in place.")
            return true
        }
        guard lock.create() else {
            log.say(
                "Cannot write \(lock.path): \(String(cString: strerror(errno))). To disable: set suppress_lock=true"
            )
            return false
        }
        log.say("Writing lock-file to: \(lock.path)")
        return true
    }

    // MARK: The one function

    private static let namespace = "watchdog"

    private func publish(_ target: any InvocationTarget) {
        let calls = Replica(id: "function", target: target, maxInFlight: settings.maxInFlight)
        replica.withLock { $0 = calls }
        let probes = Replica(id: "probes", target: target, maxInFlight: nil)
        table.apply(.changed(route(WatchdogFunction.calls, [calls])))
        table.apply(.changed(route(WatchdogFunction.probes, [probes])))
    }

    private func route(_ name: String, _ replicas: [Replica]) -> FunctionRoute {
        FunctionRoute(
            id: FunctionID(name: name, namespace: Self.namespace),
            revision: 1,
            desiredReplicas: 1,
            policy: CallPolicy(
                deadline: settings.execTimeout,
                maxInFlight: name == WatchdogFunction.calls ? settings.maxInFlight : nil,
                // A full watchdog says so at once (contract §15.6); only a server that is just being started is waited
                // for.
                queueDepth: 0,
                buffersRequestBody: settings.buffersBody
            ),
            replicas: replicas
        )
    }

    // MARK: Health (contract §15.3)

    private func health(_ question: HealthQuestion) -> HealthAnswer {
        guard !isDraining.load(ordering: .relaxed), lock.exists else { return .status(503, "") }
        guard question == .ready else { return .status(200, "OK") }
        guard let replica = replica.withLock({ $0 }) else { return .status(503, "") }
        guard replica.inFlight < replica.maxInFlight else { return .status(429, "") }
        return settings.readyPath.map { .askFunction(path: $0) } ?? .status(200, "")
    }

    // MARK: End (contract §15.8)

    private enum End {
        case stopped
        case childEnded(String)
        case intervalPassed
    }

    /// Returns the exit code when no call is to be taken any more.
    private func waitForEnd(_ signals: TerminationSignals, _ child: RunningChild?) async -> Int32 {
        if case .childEnded(let how) = await first(signals.first, child, limit: nil) { return failed(how) }
        signals.endAtNext()
        isDraining.store(true, ordering: .relaxed)
        lock.remove()
        log.say("SIGTERM: no new connections in \(GoDuration.format(settings.healthcheckInterval))")
        let end = await first({}, child, limit: settings.healthcheckInterval)
        if case .childEnded(let how) = end { return failed(how) }
        log.say("No new connections allowed, draining: \(replica.withLock { $0?.inFlight ?? 0 }) requests")
        return 0
    }

    private func failed(_ how: String) -> Int32 {
        log.say("Forked function has terminated: \(how)")
        isDraining.store(true, ordering: .relaxed)
        lock.remove()
        return 1
    }

    /// Whatever comes first: the stop, or a time limit instead, or the end of the function's server.
    private func first(
        _ stopped: @escaping @Sendable () async -> Void,
        _ child: RunningChild?,
        limit: Duration?
    ) async -> End {
        let (ends, continuation) = AsyncStream.makeStream(of: End.self)
        // Unowned, as the next: both are cancelled before this returns, and need not end with it.
        let waits = Task {
            guard let limit else {
                await stopped()
                return continuation.yield(.stopped)
            }
            // Ends early only when it is not needed any more.
            try? await Task.sleep(for: limit)
            return continuation.yield(.intervalPassed)
        }
        // The same.
        let watches = child.map { child in Task { continuation.yield(.childEnded(await child.child.ended.value())) } }
        defer {
            waits.cancel()
            watches?.cancel()
        }
        for await end in ends { return end }
        return .stopped
    }
}

private struct RunningChild {
    let child: ServerChild
    let processID: Int32

    func stop(within limit: Duration) async { await child.stop(processID, within: limit) }
}

/// Nothing but calls and health comes to a watchdog's door.
private struct NoResponder: LocalResponder {
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        // A client that has gone need not be told.
        try? await writer.writeHead(status: 404, headers: [("Content-Length", "0")])
    }
}
