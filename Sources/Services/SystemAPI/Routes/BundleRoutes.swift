// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import HTTPTypes
import Hummingbird
import ProviderContract

/// `/system/bundles` (martlet-api "Bundles").
struct BundleRoutes: Sendable {
    let provider: any FunctionProvider
    /// Most bytes of an uploaded archive.
    static let uploadLimit = 512 * 1_048_576

    func addRoutes(to routes: inout RouteList) {
        routes.add(.listBundles, list)
        routes.add(.storeBundle, upload)
        routes.add(.deleteBundle, delete)
    }

    @Sendable private func list(_ request: Request, _ context: SystemContext) async throws -> Response {
        try JSONBody.response(try await images().bundles())
    }

    @Sendable private func upload(_ request: Request, _ context: SystemContext) async throws -> Response {
        let archive = UploadedArchive(body: request.body, limit: Self.uploadLimit)
        let record = try await images().storeBundle(name: name(request), tag: tag(request), archive: archive)
        return try JSONBody.response(record, status: .created)
    }

    @Sendable private func delete(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await images().deleteBundle(name: name(request), tag: tag(request))
        return .empty(.accepted)
    }

    private func images() async throws -> any ImageFacet { try await provider.need(provider.images, or: .images) }

    private func name(_ request: Request) -> String {
        let path = String(request.uri.path.dropFirst("/system/bundles/".count))
        return path.removingPercentEncoding ?? path
    }

    private func tag(_ request: Request) -> String {
        request.uri.queryParameters["tag"].map(String.init).flatMap { $0.isEmpty ? nil : $0 } ?? "latest"
    }
}
