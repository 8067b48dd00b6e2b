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
    private var replicas: [FunctionID: (replica: Replica, maxInFlight: Int?)] = [:]
    private var known: Set<FunctionID> = []
    private static let longestPause = Duration.seconds(10)

    init(client: SystemClient, upstream: HTTPUpstream, pollInterval: Duration) {
        self.client = client
        self.upstream = upstream
        self.pollInterval = pollInterval
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
        let functions = record.functions ?? []
        switch record.kind {
        case .heartbeat:
            return []
        case .snapshot:
            return [.snapshot(routes(functions))]
        case .changed:
            return functions.map { .changed(route($0)) }
        case .removed:
            return functions.map { .removed(forget(FunctionID(name: $0.name, namespace: $0.namespace))) }
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
            all += try await client.functions(in: namespace).map { WatchRecord.Function($0, namespace: namespace) }
        }
        return all
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

    /// What a plain OpenFaaS provider's list says.
    fileprivate init(_ status: FunctionStatus, namespace: String) {
        self.init(
            name: status.name,
            namespace: status.namespace.isEmpty ? namespace : status.namespace,
            revision: 1,
            replicas: status.replicas,
            availableReplicas: status.availableReplicas,
            execTimeoutSeconds: nil,
            maxInFlight: nil,
            queueDepth: CallPolicy.usualQueueDepth,
            minReplicas: max(1, status.labels?["com.openfaas.scale.min"].flatMap { Int($0) } ?? 1),
            maxReplicas: status.labels?["com.openfaas.scale.max"].flatMap { Int($0) },
            // What another provider let pass may be no rule of ours: such a function is left alone.
            scaling: (try? ScalingRules(labels: status.labels ?? [:], annotations: status.annotations ?? [:]))?.labels,
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
            retry: function.retry?.policy ?? Retry()
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
