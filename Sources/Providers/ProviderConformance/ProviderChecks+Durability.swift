// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import PromiseChecks
import ProviderContract

/// What a provider promises that keeps its state: whatever it has acknowledged is there, though it ends that moment.
extension ProviderChecks {
    /// Those that a provider is killed for.
    public static let durability: [ProviderCheck] = [
        ProviderCheck("whatever is acknowledged is there though the provider ends behind the answer", when: \.isDurable)
        {
            subject in
            var provider = subject.provider
            for change in acknowledged(by: subject) where change.applies(provider.capabilities) {
                try await change.make(provider)
                guard let next = try await subject.startedAgain() else { return }
                provider = next
                try expect(try await change.isThere(provider), "\(change.name) was lost")
            }
        }
    ]

    /// Something that is asked of a provider, and how to see that it was done.
    private struct Acknowledged {
        let name: String
        var applies: @Sendable (ProviderCapabilities) -> Bool = { _ in true }
        let make: @Sendable (any FunctionProvider) async throws -> Void
        let isThere: @Sendable (any FunctionProvider) async throws -> Bool
    }

    /// One of each kind, in an order in which each finds what it needs.
    private static func acknowledged(by subject: any ProviderUnderTest) -> [Acknowledged] {
        functionChanges(subject) + namespaceChanges + [
            Acknowledged(name: "the end of a function") { provider in
                try await provider.delete(subject.id("fn"))
            } isThere: { provider in
                try await provider.functions(in: subject.defaultNamespace).isEmpty
            }
        ]
    }

    private static func functionChanges(_ subject: any ProviderUnderTest) -> [Acknowledged] {
        let id = subject.id("fn")
        @Sendable func status(_ provider: any FunctionProvider) async throws -> FunctionStatus {
            try await provider.function(id, includingUsage: false)
        }
        return [
            Acknowledged(name: "a deployment") { provider in
                try await provider.create(subject.healthy("fn", variant: "a"))
            } isThere: { provider in
                try await status(provider).envVars?["variant"] == "a"
            },
            Acknowledged(name: "an update") { provider in
                try await provider.update(subject.healthy("fn", variant: "b"))
            } isThere: { provider in
                let status = try await status(provider)
                return status.envVars?["variant"] == "b" && status.martlet?.revision == 2
            },
            Acknowledged(name: "a number of replicas", applies: \.runsSeveralReplicas) { provider in
                try await provider.scale(id, to: 3)
            } isThere: { provider in
                try await status(provider).replicas == 3
            },
            Acknowledged(name: "a number of replicas for calls that wait", applies: \.runsSeveralReplicas) { provider in
                try await provider.wake(id, atLeast: 4)
            } isThere: { provider in
                try await status(provider).replicas == 4
            },
        ]
    }

    private static let namespaceChanges: [Acknowledged] = [
        Acknowledged(name: "a namespace", applies: \.namespaces) { provider in
            try await provider.namespaces?.createNamespace(NamespaceRecord(name: "team", labels: ["of": "a"]))
        } isThere: { provider in
            try await provider.namespaces?.namespace("team").labels?["of"] == "a"
        },
        Acknowledged(name: "a namespace's labels", applies: \.namespaces) { provider in
            try await provider.namespaces?.updateNamespace(NamespaceRecord(name: "team", labels: ["of": "b"]))
        } isThere: { provider in
            try await provider.namespaces?.namespace("team").labels?["of"] == "b"
        },
        Acknowledged(name: "a secret", applies: \.hasSecretsInNamespaces) { provider in
            try await provider.secrets?.createSecret("token", in: "team", value: Array("x".utf8))
        } isThere: { provider in
            try await provider.secrets?.secrets(in: "team") == ["token"]
        },
        Acknowledged(name: "the end of a secret", applies: \.hasSecretsInNamespaces) { provider in
            try await provider.secrets?.deleteSecret("token", in: "team")
        } isThere: { provider in
            try await provider.secrets?.secrets(in: "team") == []
        },
        Acknowledged(name: "the end of a namespace", applies: \.namespaces) { provider in
            try await provider.namespaces?.deleteNamespace("team")
        } isThere: { provider in
            try await !provider.namespaceNames().contains("team")
        },
    ]
}

extension ProviderCapabilities {
    fileprivate var hasSecretsInNamespaces: Bool { secrets && namespaces }
}
