// SPDX-License-Identifier: Apache-2.0

package import FaultModel
package import FunctionModel
import ProviderContract
import StoreContract

extension SupervisingProvider: NamespaceFacet {
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
    package func namespaceNames() async throws(PlatformFault) -> [String] {
        let others = namespaceRecords.keys.filter { $0 != basis.defaultNamespace }
        return [basis.defaultNamespace] + others.sorted()
    }

    /// See the contract's `namespace`.
    package func namespace(_ name: String) async throws(PlatformFault) -> NamespaceRecord {
        guard let record = namespaceRecords[name] else { throw Self.noNamespace(name) }
        return record
    }

    /// See the contract's `createNamespace`.
    package func createNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
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
    package func updateNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            guard self.namespaceRecords[record.name] != nil else { throw Self.noNamespace(record.name) }
            try await self.store.put(record)
            self.namespaceRecords[record.name] = record
        }
    }

    /// See the contract's `deleteNamespace`.
    package func deleteNamespace(_ name: String) async throws(PlatformFault) {
        try await change { () throws(PlatformFault) in
            guard self.namespaceRecords[name] != nil else { throw Self.noNamespace(name) }
            guard name != self.basis.defaultNamespace else {
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
