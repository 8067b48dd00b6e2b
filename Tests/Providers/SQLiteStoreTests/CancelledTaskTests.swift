// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import StoreContract
import TestSupport
import Testing

@testable import SQLiteStore

/// Tasks that nobody waits for any more.
struct CancelledTaskTests {
    private let folder = TemporaryFolder()

    /// The fault of something that is done in a task that is cancelled already.
    private func fault(of work: @escaping @Sendable () async throws(PlatformFault) -> Void) async -> PlatformFault? {
        await Task { () -> PlatformFault? in
            withUnsafeCurrentTask { $0?.cancel() }
            do throws(PlatformFault) { try await work() } catch { return error }
            return nil
        }.value
    }

    @Test func `a task that is cancelled is told so and not of a broken disk, and changes nothing`() async throws {
        let store = try await SQLiteDesiredStore.open(at: folder.path + "/martlet.sqlite")
        let namespace = NamespaceRecord(name: "team")
        let writing = await fault { () throws(PlatformFault) in try await store.put(namespace) }
        let reading = await fault { () throws(PlatformFault) in _ = try await store.images() }
        #expect(writing?.code == .shuttingDown && reading?.code == .shuttingDown)
        #expect(try await store.namespaces().isEmpty)
        try await store.put(namespace)
        #expect(try await store.namespaces() == [namespace])
        try await store.close()
    }
}
