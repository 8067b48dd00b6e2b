// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FaultModel
import Foundation
import FunctionModel
import HTTPTypes
import Hummingbird
import NIOCore
import ProviderContract

/// `/system/bundles` (martlet-api "Bundles").
struct BundleRoutes: Sendable {
    let store: any BundleStore
    /// Most bytes of an uploaded archive.
    static let uploadLimit = 512 * 1_048_576

    func addRoutes(to routes: inout RouteList) {
        routes.add(.listBundles, list)
        routes.add(.storeBundle, upload)
        routes.add(.deleteBundle, delete)
    }

    @Sendable private func list(_ request: Request, _ context: SystemContext) async throws -> Response {
        try JSONBody.response(try await store.bundles())
    }

    @Sendable private func upload(_ request: Request, _ context: SystemContext) async throws -> Response {
        let path = try await store.makeUploadPath()
        do {
            try await receive(request.body, at: path)
        } catch {
            unlink(path)
            throw error
        }
        let record = try await store.storeBundle(name: name(request), tag: tag(request), archivePath: path)
        return try JSONBody.response(record, status: .created)
    }

    @Sendable private func delete(_ request: Request, _ context: SystemContext) async throws -> Response {
        try await store.deleteBundle(name: name(request), tag: tag(request))
        return .empty(.accepted)
    }

    private func name(_ request: Request) -> String {
        let path = String(request.uri.path.dropFirst("/system/bundles/".count))
        return path.removingPercentEncoding ?? path
    }

    private func tag(_ request: Request) -> String {
        request.uri.queryParameters["tag"].map(String.init).flatMap { $0.isEmpty ? nil : $0 } ?? "latest"
    }

    /// Writes the archive to a file, on a thread that may wait for the disk.
    private func receive(_ body: RequestBody, at path: String) async throws {
        let queue = DispatchQueue(label: "martlet.upload")
        guard FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o600]),
            let file = FileHandle(forWritingAtPath: path)
        else { throw PlatformFault(.storageUnavailable, "The data directory cannot be written.") }
        defer { try? file.close() }
        var size = 0
        for try await piece in body {
            size += piece.readableBytes
            guard size <= Self.uploadLimit else {
                throw PlatformFault(.bodyTooLarge, "The bundle is larger than the limit of \(Self.uploadLimit) bytes.")
            }
            let data = Data(piece.readableBytesView)
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                queue.async { continuation.resume(with: Result { try file.write(contentsOf: data) }) }
            }
        }
    }
}
