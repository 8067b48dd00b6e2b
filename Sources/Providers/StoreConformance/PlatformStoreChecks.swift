// SPDX-License-Identifier: Apache-2.0

import FaultModel
public import PromiseChecks
public import StoreContract

/// A store of documents, empty, together with what the suite needs to exercise it.
public protocol PlatformStoreUnderTest: Sendable {
    /// The store.
    var documents: any PlatformStore { get }

    /// The same, closed and opened again; nil for one that ends with the process.
    func reopenedDocuments() async throws -> (any PlatformStore)?
}

/// One promise of `PlatformStore`, to be checked on a store of its own.
public typealias PlatformStoreCheck = PromiseCheck<any PlatformStoreUnderTest>

/// The promises of `PlatformStore`, one check each.
public enum PlatformStoreChecks {
    /// All promises.
    public static let all: [PlatformStoreCheck] = versions + keysAndSizes + lasting

    private static func key(_ text: String) throws -> DocumentKey {
        try required(DocumentKey(text), "\(text) is not a key")
    }

    private static let versions: [PlatformStoreCheck] = [
        PlatformStoreCheck("a document comes back as it was kept, and is gone when it was deleted") { subject in
            let (store, key) = (subject.documents, try key("sessions/a"))
            try expect(try await store.document(at: key) == nil, "there is one already")
            let content = [UInt8](0...255)
            let version = try await store.put(content, at: key, expecting: .any)
            let found = try await store.document(at: key)
            let expected = StoredDocument(key: key, version: version, content: content)
            try expect(found == expected, "\(found as Any) is there")
            for _ in 0..<2 { try await store.delete(key, expecting: .any) }
            try expect(try await store.document(at: key) == nil, "it is still there")
        },
        PlatformStoreCheck("who knows another version than the one that is there changes nothing") { subject in
            let (store, key) = (subject.documents, try key("a"))
            try await expectFault(.conflict, doing: "changing nothing") { () throws(PlatformFault) in
                try await store.put([1], at: key, expecting: .version(1))
            }
            let first = try await store.put([1], at: key, expecting: .none)
            try await expectFault(.conflict, doing: "making it twice") { () throws(PlatformFault) in
                try await store.put([2], at: key, expecting: .none)
            }
            let second = try await store.put([2], at: key, expecting: .version(first))
            try await expectFault(.conflict, doing: "changing an old one") { () throws(PlatformFault) in
                try await store.put([3], at: key, expecting: .version(first))
            }
            try await expectFault(.conflict, doing: "deleting an old one") { () throws(PlatformFault) in
                try await store.delete(key, expecting: .version(first))
            }
            let found = try await store.document(at: key)
            try expect(found?.content == [2] && found?.version == second, "\(found as Any) is there")
            try await store.delete(key, expecting: .version(second))
        },
        PlatformStoreCheck("versions grow, and are never used again") { subject in
            let (store, first, other) = (subject.documents, try key("a"), try key("b"))
            var versions: [Int] = []
            for key in [first, first, other, first] {
                versions.append(try await store.put([], at: key, expecting: .any))
                if versions.count == 2 { try await store.delete(first, expecting: .any) }
            }
            try expect(zip(versions, versions.dropFirst()).allSatisfy(<), "the versions are \(versions)")
            try await expectFault(.conflict, doing: "taking it for the one before") { () throws(PlatformFault) in
                try await store.put([], at: first, expecting: .version(versions[0]))
            }
        },
        PlatformStoreCheck("of many that change a document at once none is overwritten unseen") { subject in
            let (store, key) = (subject.documents, try key("count"))
            let (writers, rounds) = (8, 10)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<writers {
                    group.addTask { for _ in 0..<rounds { try await increase(key, in: store) } }
                }
                try await group.waitForAll()
            }
            let sum = try await store.document(at: key).map { number($0.content) }
            try expect(sum == writers * rounds, "\(sum ?? 0) of \(writers * rounds) changes are there")
        },
    ]

    private static func number(_ content: [UInt8]) -> Int { Int(String(decoding: content, as: UTF8.self)) ?? -1 }

    private static func increase(_ key: DocumentKey, in store: any PlatformStore) async throws {
        while true {
            let found = try await store.document(at: key)
            let next = Array("\((found.map { number($0.content) } ?? 0) + 1)".utf8)
            do throws(PlatformFault) {
                try await store.put(next, at: key, expecting: found.map { .version($0.version) } ?? .none)
                return
            } catch { guard error.code == .conflict else { throw error } }
        }
    }

    private static let keysAndSizes: [PlatformStoreCheck] = [
        PlatformStoreCheck("every key that is one is a document's own") { subject in
            let store = subject.documents
            let texts = [
                "a", "A", "a/", "/a", "//", "a.b", "a-b", "a_b", "a=b", "_", "-", "=", "0",
                String(repeating: "k", count: DocumentKey.longest),
                String(repeating: "k", count: DocumentKey.longest - 1),
            ]
            let keys = try texts.map(key)
            for (number, key) in keys.enumerated() {
                try await store.put([UInt8(number)], at: key, expecting: .none)
            }
            for (number, key) in keys.enumerated() {
                let found = try await store.document(at: key)?.content
                try expect(found == [UInt8(number)], "\(found as Any) is at \(key.text)")
            }
            let listed = try await store.documents(beginningWith: "", after: nil, limit: 1000).map(\.key)
            try expect(listed == keys.sorted(), "\(listed.map(\.text)) is the list")
        },
        PlatformStoreCheck("a list has what begins with a text, in order and in pages") { subject in
            let store = subject.documents
            let texts = ["b/1", "b/2", "b/_", "b/a", "b0", "B/1", "bb", "a/1", "b/"]
            for text in texts { try await store.put(Array(text.utf8), at: try key(text), expecting: .none) }
            var (all, last): ([String], DocumentKey?) = ([], nil)
            while true {
                let page = try await store.documents(beginningWith: "b/", after: last, limit: 2)
                try expect(page.count <= 2, "a page has \(page.count)")
                try expect(page.allSatisfy { $0.content == Array($0.key.text.utf8) }, "contents are of others")
                guard let end = page.last else { break }
                all += page.map(\.key.text)
                last = end.key
            }
            try expect(all == ["b/", "b/1", "b/2", "b/_", "b/a"], "\(all) is the list")
            // What no key can hold is no pattern either.
            for prefix in ["b%", "b*", "%", "'", "b/1\u{0}", "b/é"] {
                let found = try await store.documents(beginningWith: prefix, after: nil, limit: 10)
                try expect(found.isEmpty, "\(found.map(\.key.text)) begins with \(prefix)")
            }
        },
        PlatformStoreCheck("contents may be empty, and as large as is allowed, and no larger") { subject in
            let (store, key) = (subject.documents, try key("a"))
            for size in [0, StoredDocument.largest] {
                let content = [UInt8](repeating: 7, count: size)
                try await store.put(content, at: key, expecting: .any)
                try expect(try await store.document(at: key)?.content == content, "\(size) bytes are not kept")
            }
            do throws(PlatformFault) {
                let content = [UInt8](repeating: 8, count: StoredDocument.largest + 1)
                try await store.put(content, at: key, expecting: .any)
                throw PlatformFault(.internalError, "It was accepted.")
            } catch { try expect(error.code == .bodyTooLarge, "a larger one: \(error)") }
            let left = try await store.document(at: key)?.content.first
            try expect(left == 7, "the larger one was kept")
        },
    ]

    private static let lasting: [PlatformStoreCheck] = [
        PlatformStoreCheck("documents and their versions are there when the store is opened again") { subject in
            let (first, gone) = (try key("a"), try key("gone"))
            try await subject.documents.put([1], at: first, expecting: .none)
            let last = try await subject.documents.put([2], at: gone, expecting: .none)
            try await subject.documents.delete(gone, expecting: .version(last))
            guard let store = try await subject.reopenedDocuments() else { return }
            let found = try await store.documents(beginningWith: "", after: nil, limit: 10)
            try expect(found.map(\.key) == [first] && found.map(\.content) == [[1]], "\(found) is there")
            let next = try await store.put([3], at: gone, expecting: .none)
            try expect(next > last, "version \(last) became \(next)")
        }
    ]
}
