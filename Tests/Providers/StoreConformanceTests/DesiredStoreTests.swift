// SPDX-License-Identifier: Apache-2.0

import SQLiteStore
import StoreConformance
import StoreContract
import TestSupport
import Testing

/// Every promise of the store of what is desired, on every store.
struct DesiredStoreTests {
    @Test(arguments: DesiredStoreChecks.all)
    func `the store in memory keeps its promises`(check: DesiredStoreCheck) async throws {
        try await check.run(on: MemoryStore())
    }

    @Test(arguments: DesiredStoreChecks.all)
    func `the store in a file keeps its promises`(check: DesiredStoreCheck) async throws {
        let subject = try await FileStore()
        try await check.run(on: subject)
    }
}

private struct MemoryStore: DesiredStoreUnderTest {
    let store: any DesiredStore = InMemoryDesiredStore()

    func reopened() async throws -> (any DesiredStore)? { nil }
}

private struct FileStore: DesiredStoreUnderTest {
    let folder = TemporaryFolder()
    let store: any DesiredStore

    init() async throws { store = try await SQLiteDesiredStore.open(at: folder.path + "/martlet.sqlite") }

    func reopened() async throws -> (any DesiredStore)? {
        try await store.close()
        return try await SQLiteDesiredStore.open(at: folder.path + "/martlet.sqlite")
    }
}
