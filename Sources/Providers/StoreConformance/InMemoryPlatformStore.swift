// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import StoreContract

/// Documents that end with the process: for tests of whoever keeps some.
public actor InMemoryPlatformStore: PlatformStore {
    private var all: [DocumentKey: StoredDocument] = [:]
    private var lastVersion = 0

    /// Holds nothing.
    public init() {}

    /// See the contract's `document`.
    public func document(at key: DocumentKey) async throws(PlatformFault) -> StoredDocument? { all[key] }

    /// See the contract's `put`.
    @discardableResult
    public func put(
        _ content: [UInt8],
        at key: DocumentKey,
        expecting: ExpectedVersion
    ) async throws(PlatformFault) -> Int {
        try StoredDocument.checkSize(of: content, at: key)
        try expecting.check(all[key]?.version, at: key)
        lastVersion += 1
        all[key] = StoredDocument(key: key, version: lastVersion, content: content)
        return lastVersion
    }

    /// See the contract's `delete`.
    public func delete(_ key: DocumentKey, expecting: ExpectedVersion) async throws(PlatformFault) {
        try expecting.check(all[key]?.version, at: key)
        all[key] = nil
    }

    /// See the contract's `documents`.
    public func documents(
        beginningWith prefix: String,
        after key: DocumentKey?,
        limit: Int
    ) async throws(PlatformFault) -> [StoredDocument] {
        let found = all.values.filter { document in
            document.key.text.utf8.starts(with: prefix.utf8) && key.map { $0 < document.key } ?? true
        }
        return Array(found.sorted { $0.key < $1.key }.prefix(min(max(limit, 1), 1000)))
    }
}
