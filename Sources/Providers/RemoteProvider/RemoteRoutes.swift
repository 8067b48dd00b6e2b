// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import ProviderContract
import SystemClient

/// Follows what can be called at a provider elsewhere.
///
/// While the provider cannot be reached the last known routes stay: its functions may well be there.
actor RemoteRoutes {
    private let client: SystemClient
    private let upstream: HTTPUpstream
    private let pollInterval: Duration
    private let learned: LearnedCapabilities
    private let warn: @Sendable (FunctionID, String) -> Void
    /// Functions whose deployments were complained about.
    private var warned: Set<FunctionID> = []
    private var replicas: [FunctionID: (replica: Replica, maxInFlight: Int?)] = [:]
    private var known: Set<FunctionID> = []
    private static let longestPause = Duration.seconds(10)

    init(
        client: SystemClient,
        upstream: HTTPUpstream,
        pollInterval: Duration,
        learned: LearnedCapabilities,
        warn: @escaping @Sendable (FunctionID, String) -> Void
    ) {
        self.client = client
        self.upstream = upstream
        self.pollInterval = pollInterval
        self.learned = learned
        self.warn = warn
    }

    /// Follows until the task is cancelled.
    func follow(_ yield: @Sendable (RoutingEvent) -> Void) async {
        var pause = Duration.milliseconds(100)
        while !Task.isCancelled {
            do throws(PlatformFault) {
                if try await followPushes(yield) { pause = .milliseconds(100) }
            } catch {
                if error.code == .notFound || error.code == .notSupported { await poll(yield) }
            }
            // Ends early when the task is cancelled, which the loop looks at.
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    // MARK: Pushes

    /// Follows `/system/watch` until the connection ends; true when anything came.
    private func followPushes(_ yield: @Sendable (RoutingEvent) -> Void) async throws(PlatformFault) -> Bool {
        let records = try await client.watch()
        var hasSeen = false
        do {
            for try await record in records {
                hasSeen = true
                for event in events(record) { yield(event) }
            }
        } catch {
            // The connection broke: `follow` opens another.
        }
        return hasSeen
    }

    private func events(_ record: WatchRecord) -> [RoutingEvent] {
        if let told = record.capabilities { learned.learn(told) }
        let functions = record.functions ?? []
        switch record.kind {
        case .snapshot:
            return [.snapshot(routes(functions))]
        case .changed:
            return functions.map { .changed(route($0)) }
        case .removed:
            return functions.map { .removed(forget(FunctionID(name: $0.name, namespace: $0.namespace))) }
        default:
            // A heartbeat, or what a newer provider tells to those who know it.
            return []
        }
    }

    private func routes(_ functions: [WatchRecord.Function]) -> [FunctionRoute] {
        let routes = functions.map(route)
        for gone in known.subtracting(routes.map(\.id)) { _ = forget(gone) }
        return routes
    }

    // MARK: Polling

    /// Asks again and again, for providers that do not push, until the task is cancelled.
    private func poll(_ yield: @Sendable (RoutingEvent) -> Void) async {
        learned.learn(await CapabilityQuestions(client: client).ask())
        while !Task.isCancelled {
            do throws(PlatformFault) {
                yield(.snapshot(routes(try await list())))
            } catch {
                // Not reachable just now: the last known routes stay.
            }
            try? await Task.sleep(for: pollInterval)
        }
    }

    private func list() async throws(PlatformFault) -> [WatchRecord.Function] {
        var all: [WatchRecord.Function] = []
        for namespace in try await client.namespaces() {
            all += try await client.functions(in: namespace).map { record($0, namespace) }
        }
        return all
    }

    /// What a plain OpenFaaS provider's list says.
    ///
    /// What another provider let pass may be unknown here, and counts as absent.
    private func record(_ told: FunctionStatus, _ namespace: String) -> WatchRecord.Function {
        var status = told
        if status.namespace.isEmpty { status.namespace = namespace }
        var faults: [String] = []
        let spec = FunctionSpec(received: status) { faults.append($0) }
        if !faults.isEmpty, warned.insert(spec.id).inserted { warn(spec.id, faults.joined(separator: " ")) }
        return WatchRecord.Function(status, spec)
    }

    // MARK: Routes

    private func route(_ told: WatchRecord.Function) -> FunctionRoute {
        let function = told.clamped
        let id = FunctionID(name: function.name, namespace: function.namespace)
        known.insert(id)
        return FunctionRoute(
            id: id,
            revision: function.revision,
            desiredReplicas: function.replicas,
            policy: CallPolicy(function),
            scaling: ScalingSpec(function),
            replicas: function.availableReplicas > 0 ? [replica(id, function.maxInFlight)] : withdraw(id),
            notReadyReason: function.notReadyReason
        )
    }

    /// One replica stands for all that the provider has; it stays the same while nothing about it changes.
    private func replica(_ id: FunctionID, _ maxInFlight: Int?) -> Replica {
        if let kept = replicas[id], kept.maxInFlight == maxInFlight { return kept.replica }
        _ = withdraw(id)
        var target = upstream
        target.pathPrefix += "/function/\(id)"
        let made = Replica(id: "\(id)", target: .http(target), maxInFlight: maxInFlight)
        replicas[id] = (made, maxInFlight)
        return made
    }

    private func withdraw(_ id: FunctionID) -> [Replica] {
        replicas.removeValue(forKey: id)?.replica.drain {}
        return []
    }

    private func forget(_ id: FunctionID) -> FunctionID {
        _ = withdraw(id)
        known.remove(id)
        return id
    }
}

extension WatchRecord.Function {
    /// The same with numbers that can be counted with, whatever the other side says.
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
