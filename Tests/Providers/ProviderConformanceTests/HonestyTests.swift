// SPDX-License-Identifier: Apache-2.0

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
