// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import HTTPTypes
import Hummingbird
import ProviderContract

/// `/system/secrets` (contract §9).
struct SecretRoutes: Sendable {
    let provider: any FunctionProvider
    let namespace: NamespaceChoice

    func addRoutes(to routes: inout RouteList) {
        routes.add(.listSecrets, list)
        routes.add(.createSecret, create)
        routes.add(.updateSecret, update)
        routes.add(.deleteSecret, delete)
    }

    @Sendable private func list(_ request: Request, _ context: SystemContext) async throws -> Response {
        let namespace = namespace.of(request)
        let names = try await secrets().secrets(in: namespace)
        return try JSONBody.response(names.map { SecretRecord(name: $0, namespace: namespace) })
    }

    @Sendable private func create(_ request: Request, _ context: SystemContext) async throws -> Response {
        let secrets = try await secrets()
        let (secret, namespace) = try await secret(request)
        try await secrets.createSecret(secret.name, in: namespace, value: try value(secret))
        return .empty(.accepted)
    }

    @Sendable private func update(_ request: Request, _ context: SystemContext) async throws -> Response {
        let secrets = try await secrets()
        let (secret, namespace) = try await secret(request)
        let reach = try await secrets.updateSecret(secret.name, in: namespace, value: try value(secret))
        return .empty(.accepted, (SecretReach.field, reach.rawValue))
    }

    @Sendable private func delete(_ request: Request, _ context: SystemContext) async throws -> Response {
        let secrets = try await secrets()
        let (secret, namespace) = try await secret(request)
        try await secrets.deleteSecret(secret.name, in: namespace)
        return .empty(.accepted)
    }

    private func secrets() async throws -> any SecretFacet { try await provider.need(provider.secrets, or: .secrets) }

    /// Names are checked on every verb, deletion included (§28).
    private func secret(_ request: Request) async throws -> (SecretRecord, String) {
        let secret = try await JSONBody.decode(SecretRecord.self, from: request)
        try NameRule.checkSecret(secret.name)
        return (secret, namespace.of(request, body: secret.namespace))
    }

    /// The raw value wins when both are given.
    private func value(_ secret: SecretRecord) throws -> [UInt8] {
        if let raw = secret.rawValue {
            guard let data = Data(base64Encoded: raw) else {
                throw PlatformFault(.invalidValue, "The secret's rawValue is not base64.")
            }
            return [UInt8](data)
        }
        guard let value = secret.value else {
            throw PlatformFault(
                .invalidValue,
                "The secret has no value.",
                hint: "Send \"value\", or \"rawValue\" in base64."
            )
        }
        return [UInt8](value.utf8)
    }
}
