// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import ProviderContract
import SystemClient

/// Follows what can be called at a provider elsewhere.
///
/// While the provider cannot be reached the last known routes stay: its functions may well be there. A function that
/// a list leaves out stays, too, until there is evidence that it is gone.
actor RemoteRoutes {
    private let client: SystemClient
    private let upstream: Upstream
    /// What calls have to bring besides, to get in there.
    private var credentials: Upstream.Header?
    private let pollInterval: Duration
    private let learned: LearnedCapabilities
    private let time: RemoteTime
    private let feed: RouteFeed
    private var warner: RemoteWarner
    private var replicas: [FunctionID: Replica] = [:]
    /// What was last told of the functions that are known.
    private var known: [FunctionID: WatchRecord.Function] = [:]
    /// Known functions that complete lists have left out, and since when.
    private var missing: [FunctionID: Duration] = [:]
    private var hasList = false
    private var isLost = false
    /// The wait before the provider is turned to again.
    private var pause = shortestPause
    private static let shortestPause = Duration.milliseconds(100)
    private static let longestPause = Duration.seconds(10)
    /// Two complete lists so far apart that leave a function out are evidence that it is gone.
    private static let evidenceSpan = Duration.seconds(10)
    /// A provider that does not push may do so later, and may be able to do more or less: it is found out so often.
    private static let pollingSpan = Duration.seconds(60)

    init(
        client: SystemClient,
        upstream: Upstream,
        pollInterval: Duration,
        learned: LearnedCapabilities,
        time: RemoteTime,
        feed: RouteFeed,
        warner: RemoteWarner
    ) {
        self.client = client
        self.upstream = upstream
        self.pollInterval = pollInterval
        self.learned = learned
        self.time = time
        self.feed = feed
        self.warner = warner
    }

    /// Follows until the task is cancelled.
    func follow() async {
        while !Task.isCancelled {
            do throws(PlatformFault) { try await listen() } catch { lose(error) }
            await time.pause(pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    /// Hears of the functions for a while: by pushes or, where there are none, by questions.
    private func listen() async throws(PlatformFault) {
        do throws(PlatformFault) { try await followPushes() } catch {
            guard error.code == .notFound || error.code == .notSupported else { throw error }
            try await poll()
        }
    }

    // MARK: Contact

    private func lose(_ fault: PlatformFault) {
        guard !isLost, !Task.isCancelled else { return }
        isLost = true
        feed.lose(fault)
    }

    private func hear() {
        pause = Self.shortestPause
        guard isLost else { return }
        isLost = false
        feed.hearAgain()
    }

    // MARK: Pushes

    /// Follows `/system/watch` until the connection ends.
    ///
    /// Its end is no loss of contact, which the next attempt shows; one that brought nothing is.
    private func followPushes() async throws(PlatformFault) {
        let records = try await client.watch()
        // Whoever tells so is a Martlet, which keeps its own login from its functions.
        try await learnCredentials(isKept: true)
        var hasSeen = false
        do {
            for try await record in records {
                hasSeen = true
                take(record)
            }
        } catch let fault as PlatformFault {
            throw fault
        } catch {
            guard !hasSeen else { return }
            throw PlatformFault(.providerUnreachable, "The provider broke its answer off.", cause: error)
        }
        guard hasSeen else { throw PlatformFault(.providerUnreachable, "The provider tells nothing.") }
    }

    /// Whatever stands before the provider may want a login for calls too.
    private func learnCredentials(isKept: Bool) async throws(PlatformFault) {
        var header: Upstream.Header?
        let wanted = try await client.withinSilenceLimit { [client] in try await client.loginOfCalls(isKept: isKept) }
        switch wanted {
        case .none: break
        case .authorization(let value): header = Upstream.Header(name: "Authorization", value: value)
        case .withheld: warner.tellOfLogin()
        }
        guard header != credentials else { return }
        credentials = header
        for id in Array(replicas.keys) { renew(id) }
    }

    /// Lets calls go by what holds now; told at once, since the next list may say that nothing about it has changed.
    private func renew(_ id: FunctionID) {
        _ = withdraw(id)
        if let function = known[id] { feed.publish(route(function)) }
    }

    private func take(_ record: WatchRecord) {
        if let told = record.capabilities { learned.learn(told) }
        // The provider stands in front of another that it does not hear.
        if let fault = record.fault { return lose(PlatformFault(fault)) }
        hear()
        let functions = callable(record.functions ?? [])
        switch record.kind {
        case .snapshot: take(functions)
        case .changed: for function in functions { tell(function) }
        case .removed: for function in functions { forget(function.id) }
        // A heartbeat: what was told is complete until now. Or what a newer provider tells to those who know it.
        default: forgetMissing()
        }
    }

    // MARK: Polling

    /// Asks again and again, for providers that do not push: for a while, or until the task is cancelled.
    private func poll() async throws(PlatformFault) {
        let end = time.now() + Self.pollingSpan
        let questions = CapabilityQuestions(client: client)
        try await learnCredentials(isKept: false)
        let found = try await client.withinSilenceLimit { try await questions.ask() }
        while !Task.isCancelled, time.now() < end {
            let list = try await client.withinSilenceLimit { [client] in try await Self.list(client) }
            hear()
            learned.learn(found)
            take(callable(list.map(record)))
            await time.pause(pollInterval)
        }
    }

    private static func list(_ client: SystemClient) async throws(PlatformFault) -> [FunctionStatus] {
        var all: [FunctionStatus] = []
        for namespace in try await client.namespaces() {
            for var status in try await client.functions(in: namespace) {
                if status.namespace.isEmpty { status.namespace = namespace }
                all.append(status)
            }
        }
        return all
    }

    /// What a plain OpenFaaS provider's list says.
    ///
    /// What another provider let pass may be unknown here, and counts as absent.
    private func record(_ status: FunctionStatus) -> WatchRecord.Function {
        var faults: [String] = []
        let spec = FunctionSpec(received: status) { faults.append($0) }
        if !faults.isEmpty { warner.tell(of: spec.id, faults.joined(separator: " ")) }
        return WatchRecord.Function(status, spec)
    }

    /// Those with a name that can stand in a request.
    private func callable(_ functions: [WatchRecord.Function]) -> [WatchRecord.Function] {
        functions.filter { function in
            do throws(PlatformFault) {
                _ = try FunctionID(validatingName: function.name, namespace: function.namespace)
                return true
            } catch {
                let (name, namespace) = (NameRule.printable(function.name), NameRule.printable(function.namespace))
                let id = FunctionID(name: name, namespace: namespace)
                warner.tell(of: id, "\(error.message) The function is left out.")
                return false
            }
        }
    }

    // MARK: Evidence

    /// Takes over a complete list.
    private func take(_ list: [WatchRecord.Function]) {
        let listed = Set(list.map(\.id))
        let now = time.now()
        for id in known.keys where !listed.contains(id) && missing[id] == nil { missing[id] = now }
        guard hasList else {
            hasList = true
            return feed.replace(with: list.map(route))
        }
        for function in list { tell(function) }
        forgetMissing()
    }

    private func forgetMissing() {
        let now = time.now()
        for (id, since) in missing where now - since >= Self.evidenceSpan { forget(id) }
    }

    private func tell(_ function: WatchRecord.Function) {
        missing[function.id] = nil
        guard known[function.id] != function.clamped else { return }
        feed.publish(route(function))
    }

    // MARK: Routes

    private func route(_ told: WatchRecord.Function) -> FunctionRoute {
        let function = told.clamped
        let id = function.id
        known[id] = function
        return FunctionRoute(
            id: id,
            variants: [
                RouteVariant(
                    revision: function.revision,
                    replicas: function.availableReplicas > 0 ? [replica(function)] : withdraw(id),
                    policy: CallPolicy(function)
                )
            ],
            desiredReplicas: function.replicas,
            scaling: ScalingSpec(function),
            paths: (function.paths ?? []).compactMap(PathRule.normalForm),
            annotations: function.annotations ?? [:],
            state: function.state.flatMap { MartletStatus.State(rawValue: $0) },
            notReadyReason: function.notReadyReason
        )
    }

    /// One replica stands for all that the provider has; it stays the same while nothing about it changes.
    private func replica(_ function: WatchRecord.Function) -> Replica {
        let (id, slots) = (function.id, function.maxInFlight ?? .max)
        if let kept = replicas[id], kept.maxInFlight == slots, kept.revision == function.revision { return kept }
        _ = withdraw(id)
        var target = upstream
        if let credentials { target.headers.append(credentials) }
        target.pathPrefix += "/function/\(id)"
        let made = Replica(
            id: "\(id)",
            revision: function.revision,
            target: target,
            maxInFlight: function.maxInFlight
        )
        replicas[id] = made
        return made
    }

    private func withdraw(_ id: FunctionID) -> [Replica] {
        replicas.removeValue(forKey: id)?.drain {}
        return []
    }

    private func forget(_ id: FunctionID) {
        _ = withdraw(id)
        known[id] = nil
        missing[id] = nil
        feed.remove(id)
    }
}

/// Tells once of what whoever runs the gateway should know.
struct RemoteWarner: Sendable {
    private let warn: @Sendable (FunctionID?, String) -> Void
    /// Functions whose deployments were complained about.
    private var warned: Set<FunctionID> = []
    private var hasToldOfLogin = false

    init(_ warn: @escaping @Sendable (FunctionID?, String) -> Void) { self.warn = warn }

    mutating func tell(of id: FunctionID, _ why: String) {
        if warned.insert(id).inserted { warn(id, why) }
    }

    mutating func tellOfLogin() {
        guard !hasToldOfLogin else { return }
        hasToldOfLogin = true
        warn(
            nil,
            "The provider refuses calls without a login. It is not told the gateway's, since it may tell functions; "
                + "a user and a password in the provider's address are told."
        )
    }
}

/// The time that contact is measured by.
struct RemoteTime: Sendable {
    private let clock: any Clock<Duration>
    /// Time since some moment.
    let now: @Sendable () -> Duration

    init<Kind: Clock<Duration>>(_ clock: Kind) {
        self.clock = clock
        let start = clock.now
        now = { start.duration(to: clock.now) }
    }

    /// Waits; ends early when the task is cancelled, which its loop looks at.
    func pause(_ duration: Duration) async { try? await clock.sleep(for: duration) }
}

extension WatchRecord.Function {
    fileprivate var id: FunctionID { FunctionID(name: name, namespace: namespace) }

    /// The same with numbers that can be counted with, and words that can be sent, whatever the other side says.
    fileprivate var clamped: WatchRecord.Function {
        func count(_ number: Int, from least: Int = 0) -> Int { min(max(number, least), Int(Int32.max)) }
        var function = self
        function.revision = max(0, revision)
        function.replicas = count(replicas)
        function.availableReplicas = count(availableReplicas)
        function.maxInFlight = maxInFlight.flatMap { $0 > 0 ? count($0) : nil }
        function.queueDepth = count(queueDepth)
        function.minReplicas = count(minReplicas, from: 1)
        function.maxReplicas = maxReplicas.map { count($0, from: 1) }
        // They are told on to whoever calls by another.
        function.methods = methods?.filter(NameRule.isMethod)
        return function
    }

    /// A function of a provider that does not push; its replicas answer as one.
    fileprivate init(_ status: FunctionStatus, _ spec: FunctionSpec) {
        let replicas = min(max(1, status.availableReplicas), Int(Int32.max))
        self.init(
            name: spec.id.name,
            namespace: spec.id.namespace,
            revision: 1,
            replicas: status.replicas,
            availableReplicas: status.availableReplicas,
            execTimeoutSeconds: spec.calls.deadline?.inSeconds,
            maxInFlight: spec.calls.maxInFlight.map { $0 * replicas },
            queueDepth: spec.calls.queueDepth,
            minReplicas: spec.scaling.min,
            maxReplicas: spec.scaling.max,
            scaling: spec.scaling.rules?.labels,
            retry: WatchRecord.Retry(spec.calls.retry),
            access: spec.calls.access == .public ? nil : spec.calls.access.rawValue,
            methods: spec.calls.methods,
            paths: spec.paths,
            annotations: spec.annotations,
            state: status.martlet?.state.rawValue,
            notReadyReason: status.martlet?.reason ?? ""
        )
    }
}

extension CallPolicy {
    /// What the other side says of calls; their bodies are its own affair.
    fileprivate init(_ function: WatchRecord.Function) {
        self.init(
            deadline: function.execTimeoutSeconds.map { .clamped(seconds: $0) },
            maxInFlight: function.maxInFlight,
            queueDepth: function.queueDepth,
            retry: function.retry?.policy ?? Retry(),
            access: function.access.map { AccessMode(rawValue: $0) } ?? .public,
            methods: function.methods
        )
    }
}

extension ScalingSpec {
    /// What the other side says of the number of replicas.
    fileprivate init(_ function: WatchRecord.Function) {
        self.init(
            min: function.minReplicas,
            max: function.maxReplicas ?? Self.usualMaximum,
            rules: try? ScalingRules(labels: function.scaling ?? [:], annotations: [:])
        )
    }
}
