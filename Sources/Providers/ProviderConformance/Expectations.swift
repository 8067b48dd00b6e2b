// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import PromiseChecks
import ProviderContract

extension ProviderUnderTest {
    var logs: any LogFacet { get throws { try facet(provider.logs, "logs") } }

    var secrets: any SecretFacet { get throws { try facet(provider.secrets, "secrets") } }

    var namespaces: any NamespaceFacet { get throws { try facet(provider.namespaces, "namespaces") } }

    var images: any ImageFacet { get throws { try facet(provider.images, "images") } }

    private func facet<Facet>(_ facet: Facet?, _ name: String) throws -> Facet {
        try required(facet, "the facet \(name) has gone")
    }

    func id(_ name: String) -> FunctionID { FunctionID(name: name, namespace: defaultNamespace) }

    /// Waits for what the provider does by itself, but no longer than it may take; `lack` is what is wrong then, or where
    /// nothing comes of it.
    ///
    /// What takes many steps may take some times as long.
    func inTime<Value: Sendable>(
        _ lack: String,
        times: Int = 1,
        _ work: @escaping @Sendable () async throws -> Value?
    ) async throws -> Value {
        try await within(patience * times, lack, work)
    }

    /// What somebody who follows the provider is told next.
    func next(of updates: AsyncStream<RouteUpdate>, _ what: String) async throws -> RouteUpdate {
        try await inTime("\(what) was not told in time") {
            // Each iterator of a stream goes on where the last one was.
            var iterator = updates.makeAsyncIterator()
            return await iterator.next()
        }
    }

    /// Waits for a route of a function, as a router would.
    func awaitRoute(
        _ name: String,
        _ what: String,
        until holds: @escaping @Sendable (FunctionRoute) -> Bool
    ) async throws -> FunctionRoute {
        let (provider, id) = (provider, id(name))
        return try await inTime("no route of \(name) was pushed in time: \(what)") {
            await Self.route(provider, id, holds)
        }
    }

    private static func route(
        _ provider: any FunctionProvider,
        _ id: FunctionID,
        _ holds: (FunctionRoute) -> Bool
    ) async -> FunctionRoute? {
        for await update in provider.watch() {
            if let route = update.routes.first(where: { $0.id == id }), holds(route) { return route }
        }
        return nil
    }

    func awaitReady(_ name: String, replicas: Int = 1) async throws {
        _ = try await awaitRoute(name, "ready") { !$0.replicas.isEmpty && $0.desiredReplicas == replicas }
    }
}
