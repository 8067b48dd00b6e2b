// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import ProviderConformance
import ProviderContract
import Testing

/// The suite itself: who says more or less of a behaviour than is true does not pass it.
struct HonestyTests {
    private static let tooMuch: [@Sendable (inout ProviderBehaviours) -> Void] = [
        { $0.scalesToZero = true }, { $0.runsSeveralReplicas = true }, { $0.reportsUsage = true },
        { $0.isDurable = true }, { $0.replacesSecrets = true },
    ]

    private static let tooLittle: [@Sendable (inout ProviderBehaviours) -> Void] = [
        { $0.scalesToZero = false }, { $0.runsSeveralReplicas = false }, { $0.reportsUsage = false },
        { $0.isDurable = false }, { $0.replacesSecrets = false },
    ]

    @Test(arguments: tooMuch.indices)
    func `a provider that says too much fails`(index: Int) async throws {
        var abilities = ProviderCapabilities.none
        abilities.secrets = true
        var claims = abilities.behaviours
        Self.tooMuch[index](&claims)
        #expect(await passes(abilities, claims, keepsState: false) == false)
        #expect(await passes(abilities, abilities.behaviours, keepsState: false))
    }

    @Test(arguments: tooLittle.indices)
    func `a provider that says too little fails`(index: Int) async throws {
        var claims = ProviderBehaviours.all
        Self.tooLittle[index](&claims)
        #expect(await passes(.all, claims, keepsState: true) == false)
        #expect(await passes(.all, .all, keepsState: true))
    }

    @Test(.timeLimit(.minutes(2)), arguments: [0, 1])
    func `a provider that falls silent fails, and keeps nobody waiting`(updates: Int) async {
        var broken: [String] = []
        for check in ProviderChecks.all {
            do { try await check.run(on: Silent(updates: updates)) } catch { broken.append("\(check): \(error)") }
        }
        let first = updates == 0 ? ["readiness is pushed", "a removed function"] : []
        for words in first + ["a slow follower", "many functions at once"] {
            let complaint = broken.first { $0.contains(words) }
            #expect(complaint?.contains("in time") == true, "\(words): \(complaint ?? "it passed")")
        }
    }

    private func passes(
        _ abilities: ProviderCapabilities,
        _ claims: ProviderBehaviours,
        keepsState: Bool
    ) async -> Bool {
        for check in ProviderChecks.all {
            let subject = Claimant(
                memory: InMemoryProvider(abilities: abilities, claims: claims),
                keepsState: keepsState
            )
            guard (try? await check.run(on: subject)) != nil else { return false }
        }
        return true
    }
}

/// A provider in memory that says of itself what a test wants.
private struct Claimant: ProviderUnderTest {
    let memory: InMemoryProvider
    let keepsState: Bool
    let defaultNamespace = NameRule.defaultNamespace
    /// Everything happens at once.
    let patience = Duration.seconds(1)

    var provider: any FunctionProvider { memory }

    func healthy(_ name: String, variant: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "any", envProcess: "cat", envVars: ["variant": variant])
    }

    func failing(_ name: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "never-ready", envProcess: "cat")
    }

    func startedAgain() async throws -> (any FunctionProvider)? { keepsState ? memory : InMemoryProvider() }
}

/// A provider that tells those who follow it of so many things, and then of nothing.
private struct Silent: ProviderUnderTest, FunctionProvider {
    let memory = InMemoryProvider()
    let updates: Int
    let defaultNamespace = NameRule.defaultNamespace
    /// Everything else happens at once.
    let patience = Duration.milliseconds(100)

    var provider: any FunctionProvider { self }
    var behaviours: ProviderBehaviours { memory.behaviours }

    func healthy(_ name: String, variant: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "any", envProcess: "cat", envVars: ["variant": variant])
    }

    func failing(_ name: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "never-ready", envProcess: "cat")
    }

    func watch() -> AsyncStream<RouteUpdate> {
        let (told, continuation) = AsyncStream.makeStream(of: RouteUpdate.self)
        let (all, left) = (memory.watch(), updates)
        let telling = Task {
            for await update in all.prefix(left) { continuation.yield(update) }
            // Neither ends nor tells anything more.
            for await _ in all {}
        }
        continuation.onTermination = { _ in telling.cancel() }
        return told
    }

    func info() async throws(PlatformFault) -> ProviderInfo { try await memory.info() }
    func checkHealth() async throws(PlatformFault) {}
    func namespaceNames() async throws(PlatformFault) -> [String] { try await memory.namespaceNames() }
    func functions(in namespace: String) async throws(PlatformFault) -> [FunctionStatus] {
        try await memory.functions(in: namespace)
    }
    func function(_ id: FunctionID, includingUsage: Bool) async throws(PlatformFault) -> FunctionStatus {
        try await memory.function(id, includingUsage: includingUsage)
    }
    func create(_ spec: FunctionSpec) async throws(PlatformFault) { try await memory.create(spec) }
    func update(_ spec: FunctionSpec, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        try await memory.update(spec, forced: forced)
    }
    func restart(_ id: FunctionID) async throws(PlatformFault) { try await memory.restart(id) }
    func delete(_ id: FunctionID) async throws(PlatformFault) { try await memory.delete(id) }
    func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) -> Int {
        try await memory.scale(id, to: replicas)
    }
    func wake(_ id: FunctionID, atLeast replicas: Int) async throws(PlatformFault) -> Int {
        try await memory.wake(id, atLeast: replicas)
    }
}
