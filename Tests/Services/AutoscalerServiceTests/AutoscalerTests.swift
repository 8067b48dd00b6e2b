// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import InvocationEngine
import Logging
import PrometheusClient
import ProviderConformance
import ProviderContract
import Synchronization
import TestSupport
import Testing

@testable import AutoscalerService

/// The autoscaler over a provider in memory, beat by beat.
struct AutoscalerTests {
    /// A platform whose load is what a test says.
    private final class Stage: Sendable {
        let provider: InMemoryProvider
        let table = RoutingTable { _, _ in }
        let loads = Mutex<[FunctionID: FunctionActivity]>([:])
        let backlog = Mutex<[FunctionID: Int]>([:])

        init(_ abilities: ProviderCapabilities = InMemoryProvider.usual) {
            provider = InMemoryProvider(abilities: abilities)
        }

        func autoscaler(_ other: (any FunctionProvider)? = nil) -> Autoscaler {
            Autoscaler(
                provider: other ?? provider,
                sources: Autoscaler.Sources(
                    routes: { [table] in table.scalingRoutes },
                    activity: { _ in self.loads.withLock { $0 } },
                    backlog: { self.backlog.withLock { $0 } },
                    prometheus: nil
                ),
                logger: Logger(label: "test")
            )
        }

        func deploy(_ name: String, _ labels: [String: String]) async throws -> FunctionID {
            try await provider.create(
                FunctionDeployment(service: name, image: "host", envProcess: "cat", labels: labels)
            )
            await follow()
            return FunctionID(name: name, namespace: NameRule.defaultNamespace)
        }

        /// Lets the table know what the provider has now.
        func follow() async {
            for await event in provider.watch() {
                table.apply(event)
                break
            }
        }

        func call(_ id: FunctionID, _ count: UInt64) {
            loads.withLock { $0[id, default: FunctionActivity()].started += count }
        }

        /// One beat, with everything that follows from it.
        @discardableResult
        func beat(_ autoscaler: Autoscaler, second: Int) async -> [Autoscaler.Change] {
            let (changes, questions) = await autoscaler.look(now: .seconds(second))
            for change in changes { await autoscaler.carryOut(change) }
            for question in questions { await autoscaler.readings.ask(question) { .seconds(second) } }
            await follow()
            return changes
        }
    }

    private let stage = Stage()

    @Test func `a load is followed up and down, and each change is told with its reason`() async throws {
        let id = try await stage.deploy("fn", ["com.openfaas.scale.target": "50", "com.openfaas.scale.max": "10"])
        let autoscaler = stage.autoscaler()
        await stage.beat(autoscaler, second: 1)
        stage.call(id, 180)
        #expect(await stage.beat(autoscaler, second: 2) == [Autoscaler.Change(id: id, from: 1, to: 4)])
        #expect(try await stage.provider.function(id, includingUsage: false).replicas == 4)
        for second in 3...60 { await stage.beat(autoscaler, second: second) }
        #expect(try await stage.provider.function(id, includingUsage: false).replicas == 1)
        let told = try #require(await autoscaler.description(of: id))
        #expect(told.decisions.map(\.to) == [1, 4] && told.decisions.map(\.from) == [4, 1], "\(told.decisions)")
        #expect(told.decisions.last?.reason == "180 calls/s at 45 each need 4.", "\(told.decisions)")
        #expect(told.mode == "rps" && told.min == 1 && told.max == 10 && told.target == 50 && told.proportion == 0.9)
    }

    @Test func `a function without a label of the autoscaler is left alone`() async throws {
        let id = try await stage.deploy("fn", ["com.openfaas.scale.max": "10"])
        let autoscaler = stage.autoscaler()
        stage.call(id, 1000)
        #expect(await stage.beat(autoscaler, second: 1).isEmpty)
        #expect(await autoscaler.description(of: id) == nil)
    }

    @Test func `a function that was woken is not put to sleep at once, and who woke it is told`() async throws {
        let labels = ["com.openfaas.scale.zero": "true", "com.openfaas.scale.zero-duration": "10s"]
        let id = try await stage.deploy("fn", labels)
        let autoscaler = stage.autoscaler()
        for second in 1...11 { await stage.beat(autoscaler, second: second) }
        #expect(try await stage.provider.function(id, includingUsage: false).replicas == 0)
        for second in 12...100 { await stage.beat(autoscaler, second: second) }
        try await stage.provider.scale(id, to: 1)
        await stage.follow()
        for second in 101...110 { #expect(await stage.beat(autoscaler, second: second).isEmpty) }
        #expect(await stage.beat(autoscaler, second: 111).map(\.to) == [0])
        let reasons = try #require(await autoscaler.description(of: id)).decisions.map(\.reason)
        #expect(reasons == ["No call for 10s.", "Woken by a call, or by hand.", "No call for 10s."])
    }

    @Test func `asynchronous calls are a load, and keep a function awake`() async throws {
        let labels = [
            "com.openfaas.scale.type": "queue", "com.openfaas.scale.target": "10",
            "com.openfaas.scale.target-proportion": "1", "com.openfaas.scale.zero": "true",
            "com.openfaas.scale.zero-duration": "5s",
        ]
        let id = try await stage.deploy("fn", labels)
        let autoscaler = stage.autoscaler()
        stage.backlog.withLock { $0[id] = 95 }
        for second in 1...20 { await stage.beat(autoscaler, second: second) }
        #expect(try await stage.provider.function(id, includingUsage: false).replicas == 10)
        stage.backlog.withLock { $0[id] = nil }
        for second in 21...25 { await stage.beat(autoscaler, second: second) }
        #expect(try await stage.provider.function(id, includingUsage: false).replicas == 0)
    }

    @Test func `what the provider cannot do is told once, and tried again`() async throws {
        let id = try await stage.deploy("fn", ["com.openfaas.scale.target": "10"])
        let provider = StubbornProvider(base: stage.provider, code: .providerFailed)
        let autoscaler = stage.autoscaler(provider)
        await stage.beat(autoscaler, second: 1)
        for second in 2...5 {
            stage.call(id, 100)
            #expect(await stage.beat(autoscaler, second: second).map(\.to) == [12], "second \(second)")
        }
        let told = try #require(await autoscaler.description(of: id))
        #expect(told.decisions.map(\.reason).filter { $0.contains("Nothing is possible today.") }.count == 1)
        #expect(told.current == 1 && told.desired == 12)
    }

    @Test func `a function that the provider did not find for a moment is scaled when it does`() async throws {
        let id = try await stage.deploy("fn", ["com.openfaas.scale.target": "10"])
        let autoscaler = stage.autoscaler(StubbornProvider(base: stage.provider, code: .functionNotFound))
        await stage.beat(autoscaler, second: 1)
        for second in 2...5 {
            stage.call(id, 100)
            #expect(await stage.beat(autoscaler, second: second).map(\.to) == [12], "second \(second)")
        }
    }

    @Test func `a load that only Prometheus knows is unknown where there is none, and says so`() async throws {
        let id = try await stage.deploy("fn", ["com.openfaas.scale.type": "ram"])
        let autoscaler = stage.autoscaler()
        for second in 1...3 { await stage.beat(autoscaler, second: second) }
        let told = try #require(await autoscaler.description(of: id))
        #expect(told.frozen && told.reason.contains("no Prometheus is configured"), "\(told)")
    }

    @Test func `rules that change hold from the next beat on`() async throws {
        let id = try await stage.deploy("fn", ["com.openfaas.scale.target": "50", "com.openfaas.scale.max": "10"])
        let autoscaler = stage.autoscaler()
        await stage.beat(autoscaler, second: 1)
        try await stage.provider.update(
            FunctionDeployment(
                service: "fn",
                image: "host",
                envProcess: "cat",
                labels: [
                    "com.openfaas.scale.target": "50", "com.openfaas.scale.min": "3", "com.openfaas.scale.max": "3",
                ]
            )
        )
        await stage.follow()
        await stage.beat(autoscaler, second: 2)
        #expect(try await stage.provider.function(id, includingUsage: false).replicas == 3)
    }

    @Test func `a provider that cannot sleep or run several is asked for neither, and the reason says so`() async throws
    {
        let stage = Stage(.none)
        let id = try await stage.deploy(
            "fn",
            [
                "com.openfaas.scale.target": "50", "com.openfaas.scale.max": "10", "com.openfaas.scale.zero": "true",
                "com.openfaas.scale.zero-duration": "5s",
            ]
        )
        let autoscaler = stage.autoscaler()
        await stage.beat(autoscaler, second: 1)
        stage.call(id, 1000)
        for second in 2...60 { #expect(await stage.beat(autoscaler, second: second).isEmpty, "second \(second)") }
        let reason = try #require(await autoscaler.description(of: id)).reason
        #expect(reason.hasSuffix("The provider runs one replica of each function."), "\(reason)")
        #expect(reason.contains("The provider cannot do without a replica of a function."), "\(reason)")
    }

    @Test func `a provider that tells no usage is not asked for it`() async throws {
        let stage = Stage(.none)
        let id = try await stage.deploy(
            "fn",
            ["com.openfaas.scale.type": "cpu", "com.openfaas.scale.target": "50", "com.openfaas.scale.max": "10"]
        )
        let readings = await stage.autoscaler().readings
        let question = LoadReadings.Question(id: id, mode: .cpu)
        _ = await readings.look([question], now: .seconds(1))
        await readings.ask(question) { .seconds(1) }
        let known = await readings.look([question], now: .seconds(1)).readings
        #expect(known == [id: .unknown("the provider does not tell what functions use")])
    }
}

/// Loads that somebody else knows.
struct LoadReadingsTests {
    @Test func `a Prometheus that says nothing is told of with the moment, and believed again when it answers`()
        async throws
    {
        let body = #"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"7"]}}"#
        let speaks = Atomic(false)
        let origin = try await ScriptedOrigin { _ in
            guard speaks.load(ordering: .acquiring) else { return [] }
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        let url = "http://127.0.0.1:\(origin.port)"
        func readings(_ timeout: Duration) -> LoadReadings {
            let client = PrometheusClient(baseURL: url, http: RunningMartlet.http, timeout: timeout)
            return LoadReadings(provider: InMemoryProvider(), prometheus: client)
        }
        let id = FunctionID(name: "fn", namespace: NameRule.defaultNamespace)
        let question = LoadReadings.Question(id: id, mode: .query("up"))
        func ask(_ readings: LoadReadings, second: Int) async -> LoadReadings.Reading? {
            _ = await readings.look([question], now: .seconds(second))
            await readings.ask(question) { .seconds(second) }
            return await readings.look([question], now: .seconds(second)).readings[id]
        }
        let hasty = readings(.milliseconds(50))
        guard case .unknown(let why)? = await ask(hasty, second: 1) else {
            Issue.record("there is a value")
            return
        }
        #expect(why.contains(" did not answer at \(url) within 0.05 seconds. It is so since 2"), "\(why)")
        #expect(await ask(hasty, second: 6) == .unknown(why), "the moment stays")
        speaks.store(true, ordering: .releasing)
        #expect(await ask(readings(.seconds(60)), second: 11) == .value(7))
    }
}

/// Scales nothing.
private struct StubbornProvider: FunctionProvider {
    let base: InMemoryProvider
    let code: FaultCode

    var behaviours: ProviderBehaviours { base.behaviours }
    func info() async throws(PlatformFault) -> ProviderInfo { try await base.info() }
    func checkHealth() async throws(PlatformFault) { try await base.checkHealth() }
    func namespaceNames() async throws(PlatformFault) -> [String] { try await base.namespaceNames() }
    func functions(in namespace: String) async throws(PlatformFault) -> [FunctionStatus] {
        try await base.functions(in: namespace)
    }
    func function(_ id: FunctionID, includingUsage: Bool) async throws(PlatformFault) -> FunctionStatus {
        try await base.function(id, includingUsage: includingUsage)
    }
    func create(_ spec: FunctionSpec) async throws(PlatformFault) { try await base.create(spec) }
    func update(_ spec: FunctionSpec, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        try await base.update(spec, forced: forced)
    }
    func restart(_ id: FunctionID) async throws(PlatformFault) { try await base.restart(id) }
    func delete(_ id: FunctionID) async throws(PlatformFault) { try await base.delete(id) }
    func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) -> Int {
        throw PlatformFault(code, "Nothing is possible today.")
    }
    func wake(_ id: FunctionID, atLeast replicas: Int) async throws(PlatformFault) -> Int {
        try await scale(id, to: replicas)
    }
    func watch() -> AsyncStream<RouteUpdate> { base.watch() }
}
