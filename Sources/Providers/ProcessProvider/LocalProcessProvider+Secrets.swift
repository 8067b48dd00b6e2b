// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel
import Logging
public import ProviderContract
import StoreContract

extension LocalProcessProvider: SecretFacet {
    /// See the contract's `secrets`.
    public func secrets(in namespace: String) async throws(PlatformFault) -> [String] {
        try checkNamespace(namespace)
        return parts.secrets.names(in: namespace)
    }

    /// See the contract's `createSecret`.
    public func createSecret(
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
    public func updateSecret(
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
    ///
    /// On the queue on which replicas' folders are made: those that copied the old one are known by now and done with
    /// it; those that come later copy the new one.
    private func replaceSecret(_ name: String, in namespace: String, by value: [UInt8]) async -> SecretReach {
        let folders = (Array(functions.values) + leaving).filter { $0.id.namespace == namespace }
            .flatMap { $0.folders(holding: name) }
        guard !folders.isEmpty else { return .runningReplicas }
        let failures = await withCheckedContinuation { continuation in
            parts.folders.async {
                continuation.resume(returning: folders.count { !$0.replaceSecret(name, by: Data(value)) })
            }
        }
        guard failures > 0 else { return .runningReplicas }
        logger.warning(
            "running replicas keep a secret's old value",
            metadata: ["secret": "\(name)", "namespace": "\(namespace)", "replicas": "\(failures)"]
        )
        return .laterReplicas
    }

    /// See the contract's `deleteSecret`.
    public func deleteSecret(_ name: String, in namespace: String) async throws(PlatformFault) {
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

extension LocalProcessProvider: NamespaceFacet {
    func checkNamespace(_ name: String) throws(PlatformFault) {
        guard namespaceRecords[name] != nil else {
            throw PlatformFault(
                .namespaceMissing,
                "There is no namespace \"\(NameRule.printable(name))\".",
                hint: "List them: martlet namespace list"
            )
        }
    }

    /// See the contract's `namespaceNames`.
    public func namespaceNames() async throws(PlatformFault) -> [String] {
        let others = namespaceRecords.keys.filter { $0 != settings.defaultNamespace }
        return [settings.defaultNamespace] + others.sorted()
    }

    /// See the contract's `namespace`.
    public func namespace(_ name: String) async throws(PlatformFault) -> NamespaceRecord {
        guard let record = namespaceRecords[name] else { throw Self.noNamespace(name) }
        return record
    }

    /// See the contract's `createNamespace`.
    public func createNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            try NameRule.checkNamespace(record.name)
            guard self.namespaceRecords[record.name] == nil else {
                throw PlatformFault(.alreadyExists, "namespace \(record.name) already exists")
            }
            // What an earlier version left in the folder of a namespace of this name would come back.
            try await self.discardSecrets(in: record.name)
            try await self.store.put(record)
            self.namespaceRecords[record.name] = record
        }
    }

    /// See the contract's `updateNamespace`.
    public func updateNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            guard self.namespaceRecords[record.name] != nil else { throw Self.noNamespace(record.name) }
            try await self.store.put(record)
            self.namespaceRecords[record.name] = record
        }
    }

    /// See the contract's `deleteNamespace`.
    public func deleteNamespace(_ name: String) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            guard self.namespaceRecords[name] != nil else { throw Self.noNamespace(name) }
            guard name != self.settings.defaultNamespace else {
                throw PlatformFault(.conflict, "The default namespace cannot be removed.")
            }
            if let function = self.functions.keys.filter({ $0.namespace == name }).min() {
                throw PlatformFault(
                    .conflict,
                    "The namespace \(name) holds functions, \(function.name) among them.",
                    hint: "Remove them first: martlet remove \(function.name) --namespace \(name)"
                )
            }
            if let secret = self.parts.secrets.names(in: name).first {
                throw PlatformFault(
                    .conflict,
                    "The namespace \(name) holds secrets, \(secret) among them.",
                    hint: "Remove them first: martlet secret remove \(secret) --namespace \(name)"
                )
            }
            try await self.discardSecrets(in: name)
            try await self.store.deleteNamespace(name)
            self.namespaceRecords[name] = nil
        }
    }

    private func discardSecrets(in namespace: String) async throws(PlatformFault) {
        let secrets = parts.secrets
        try await Self.onDisk(parts.disk) { () throws(PlatformFault) in try secrets.removeAll(in: namespace) }
    }

    private static func noNamespace(_ name: String) -> PlatformFault {
        PlatformFault(.notFound, "namespace \(NameRule.printable(name)) not found")
    }
}
