// SPDX-License-Identifier: Apache-2.0

package import FaultModel
package import FunctionModel
import Logging
import ProviderContract
import StoreContract

extension SupervisingProvider: SecretFacet {
    /// See the contract's `secrets`.
    package func secrets(in namespace: String) async throws(PlatformFault) -> [String] {
        try checkNamespace(namespace)
        return parts.secrets.names(in: namespace)
    }

    /// See the contract's `createSecret`.
    package func createSecret(
        _ name: String,
        in namespace: String,
        value: [UInt8]
    ) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            try self.checkNamespace(namespace)
            try NameRule.checkSecret(name)
            guard !self.parts.secrets.exists(name, in: namespace) else {
                throw PlatformFault(
                    .alreadyExists,
                    "The secret \(name) exists already.",
                    hint: "Replace its value: martlet secret update \(name)"
                )
            }
            try await self.writeSecret(value, name, namespace)
        }
    }

    /// See the contract's `updateSecret`.
    @discardableResult
    package func updateSecret(
        _ name: String,
        in namespace: String,
        value: [UInt8]
    ) async throws(PlatformFault) -> SecretReach {
        try await change { () throws(PlatformFault) in
            try self.checkNamespace(namespace)
            try NameRule.checkSecret(name)
            guard self.parts.secrets.exists(name, in: namespace) else { throw Self.noSecret(name, namespace) }
            try await self.writeSecret(value, name, namespace)
            return await self.replaceSecret(name, in: namespace, by: value)
        }
    }

    /// Gives running replicas the new value.
    private func replaceSecret(_ name: String, in namespace: String, by value: [UInt8]) async -> SecretReach {
        let replicas = (Array(functions.values) + leaving).filter { $0.id.namespace == namespace }
            .flatMap { $0.replicas(holding: name) }
        guard !replicas.isEmpty else { return .runningReplicas }
        let failures = await home.replaceSecret(name, by: value, in: replicas)
        guard failures > 0 else { return .runningReplicas }
        logger.warning(
            "running replicas keep a secret's old value",
            metadata: ["secret": "\(name)", "namespace": "\(namespace)", "replicas": "\(failures)"]
        )
        return .laterReplicas
    }

    /// See the contract's `deleteSecret`.
    package func deleteSecret(_ name: String, in namespace: String) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            try self.checkNamespace(namespace)
            try NameRule.checkSecret(name)
            guard self.parts.secrets.exists(name, in: namespace) else { throw Self.noSecret(name, namespace) }
            let user = self.functions.values.first {
                $0.id.namespace == namespace && $0.mayStart(with: name)
            }
            if let user {
                throw PlatformFault(
                    .conflict,
                    "The function \(user.id) uses the secret \(name).",
                    hint: "Deploy it without the secret first, or remove it: martlet remove \(user.id.name)"
                )
            }
            let secrets = self.parts.secrets
            try await Self.onDisk(self.parts.disk) { () throws(PlatformFault) in
                try secrets.remove(name, in: namespace)
            }
        }
    }

    private func writeSecret(_ value: [UInt8], _ name: String, _ namespace: String) async throws(PlatformFault) {
        let secrets = parts.secrets
        try await Self.onDisk(parts.disk) { () throws(PlatformFault) in
            try secrets.write(value, as: name, in: namespace)
        }
    }

    private static func noSecret(_ name: String, _ namespace: String) -> PlatformFault {
        PlatformFault(
            .notFound,
            "There is no secret \(name) in the namespace \(namespace).",
            hint: "List them: martlet secret list --namespace \(namespace)"
        )
    }
}
