// SPDX-License-Identifier: Apache-2.0

import FaultModel
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

/// Every promise of the store of the platform's documents, on every store.
struct PlatformStoreTests {
    @Test(arguments: PlatformStoreChecks.all)
    func `the store in memory keeps its promises`(check: PlatformStoreCheck) async throws {
        try await check.run(on: MemoryStore())
    }

    @Test(arguments: PlatformStoreChecks.all)
    func `the store in a file keeps its promises`(check: PlatformStoreCheck) async throws {
        try await check.run(on: FileStore())
    }

    @Test func `documents of a store that is closed are refused`() async throws {
        let (subject, key) = (try await FileStore(), try #require(DocumentKey("a")))
        try await subject.documents.put([1], at: key, expecting: .none)
        try await subject.store.close()
        let fault = await #expect(throws: PlatformFault.self) { _ = try await subject.documents.document(at: key) }
        #expect(fault?.code == .shuttingDown)
    }

    @Test(arguments: ["", ".", ".a", "a.", "a..b", "a b", "ä", "a*", "a>", String(repeating: "k", count: 257)])
    func `what not every store can have for a key is none`(text: String) {
        #expect(DocumentKey(text) == nil)
    }
}

private struct MemoryStore: DesiredStoreUnderTest, PlatformStoreUnderTest {
    let store: any DesiredStore = InMemoryDesiredStore()
    let documents: any PlatformStore = InMemoryPlatformStore()

    func reopened() async throws -> (any DesiredStore)? { nil }

    func reopenedDocuments() async throws -> (any PlatformStore)? { nil }
}

private struct FileStore: DesiredStoreUnderTest, PlatformStoreUnderTest {
    let folder = TemporaryFolder()
    private let file: SQLiteDesiredStore

    var store: any DesiredStore { file }

    var documents: any PlatformStore { file.documents }

    init() async throws { file = try await SQLiteDesiredStore.open(at: folder.path + "/martlet.sqlite") }

    private func openedAgain() async throws -> SQLiteDesiredStore {
        try await file.close()
        return try await SQLiteDesiredStore.open(at: folder.path + "/martlet.sqlite")
    }

    func reopened() async throws -> (any DesiredStore)? { try await openedAgain() }

    func reopenedDocuments() async throws -> (any PlatformStore)? { try await openedAgain().documents }
}
