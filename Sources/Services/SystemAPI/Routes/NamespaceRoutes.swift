// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import ProviderContract

/// `/system/namespaces`, `/system/namespace/{name}` (contract §10).
struct NamespaceRoutes: Sendable {
    let provider: any FunctionProvider
    let namespace: NamespaceChoice

    func addRoutes(to routes: inout RouteList) {
        routes.add(.listNamespaces, list)
        routes.add(.createNamespace, create)
        routes.add(.createNamedNamespace, create)
        routes.add(.showNamespace, show)
        routes.add(.updateNamespace, update)
        routes.add(.deleteNamespace, delete)
    }

    @Sendable private func list(_ request: Request, _ context: SystemContext) async throws -> Response {
        try JSONBody.response(try await provider.namespaceNames())
    }

    @Sendable private func show(_ request: Request, _ context: SystemContext) async throws -> Response {
        let name = namespace.named(try context.parameters.require("name"))
        return try JSONBody.response(try await namespaces().namespace(name))
    }

    @Sendable private func create(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await namespaces().createNamespace(try await record(request, context))
        return .empty(.created)
    }

    @Sendable private func update(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await namespaces().updateNamespace(try await record(request, context))
        return .empty(.accepted)
    }

    @Sendable private func delete(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await namespaces().deleteNamespace(namespace.named(try context.parameters.require("name")))
        return .empty(.accepted)
    }

    private func namespaces() async throws -> any NamespaceFacet {
        try await provider.need(provider.namespaces, or: .namespaces)
    }

    /// The body's record; it must be marked as OpenFaaS' own, by a label or an annotation.
    private func record(_ request: Request, _ context: SystemContext) async throws -> NamespaceRecord {
        let record = try await JSONBody.decode(NamespaceRecord.self, from: request)
        guard !record.name.isEmpty else {
            throw PlatformFault(.invalidValue, "namespace not specified in request body")
        }
        if let path = context.parameters.get("name"), path != record.name {
            throw PlatformFault(.invalidValue, "namespace in request body does not match namespace in URL")
        }
        let mark = record.labels?["openfaas"] ?? record.annotations?["openfaas"]
        guard ["1", "true"].contains(mark) else {
            throw PlatformFault(.invalidValue, "request does not have openfaas=1 label")
        }
        return record
    }
}
