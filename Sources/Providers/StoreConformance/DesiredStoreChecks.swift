// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
// Whoever runs a check needs what it is.
@_exported public import PromiseChecks
public import StoreContract

/// A store, empty, together with what the suite needs to exercise it.
public protocol DesiredStoreUnderTest: Sendable {
    /// The store.
    var store: any DesiredStore { get }

    /// The same, closed and opened again; nil for one that ends with the process.
    func reopened() async throws -> (any DesiredStore)?
}

/// One promise of `DesiredStore`.
public typealias DesiredStoreCheck = PromiseCheck<any DesiredStoreUnderTest>

/// The promises of `DesiredStore`, one check each.
public enum DesiredStoreChecks {
    /// All promises.
    public static let all: [DesiredStoreCheck] = functions + others

    private static func id(_ name: String, in namespace: String = "a") -> FunctionID {
        FunctionID(name: name, namespace: namespace)
    }

    private static func revision(_ number: Int, image: String = "host", digest: String? = nil) -> StoredRevision {
        var deployment = FunctionDeployment(
            service: "fn",
            image: image,
            envProcess: "cat",
            labels: ["número": "\(number)"]
        )
        deployment.namespace = "a"
        return StoredRevision(number: number, deployment: deployment, bundleDigest: digest)
    }

    private static func function(
        _ name: String,
        in namespace: String = "a",
        createdAt: Int64 = 7,
        digest: String? = nil
    ) -> StoredFunction {
        StoredFunction(
            id: id(name, in: namespace),
            desiredReplicas: 3,
            createdAt: Timestamp(nanosecondsSinceEpoch: createdAt),
            revision: revision(1, digest: digest)
        )
    }

    private static let functions: [DesiredStoreCheck] = [
        DesiredStoreCheck("a function comes back as it was kept, by namespace and name") { subject in
            let all = [function("one"), function("two", digest: "sha256-1"), function("one", in: "b")]
            for function in all.reversed() { try await subject.store.insert(function) }
            let found = try await subject.store.functions()
            try expect(found == all, "\(found) is there")
        },
        DesiredStoreCheck("the newest revision is told, and the one that was ready where it is another") { subject in
            var function = function("fn")
            try await subject.store.insert(function)
            try await subject.store.setReadyRevision(1, of: function.id, createdAt: function.createdAt)
            try expect(try await subject.store.functions() == [function], "the newest is ready")
            try await subject.store.insert(revision(2, image: "other"), of: function.id)
            (function.readyRevision, function.revision) = (function.revision, revision(2, image: "other"))
            let found = try await subject.store.functions()
            try expect(found == [function], "\(found) is there")
            try await subject.store.setReadyRevision(2, of: function.id, createdAt: function.createdAt)
            let ready = try await subject.store.functions().first?.readyRevision
            try expect(ready == nil, "\(String(describing: ready)) serves beside the newest")
        },
        DesiredStoreCheck("what became ready of a function that is gone says nothing of the next of its name") {
            subject in
            let old = function("fn", createdAt: 1)
            try await subject.store.insert(old)
            try await subject.store.insert(revision(2), of: old.id)
            try await subject.store.delete(old.id)
            try await subject.store.insert(function("fn", createdAt: 2))
            try await subject.store.insert(revision(2), of: old.id)
            try await subject.store.setReadyRevision(1, of: old.id, createdAt: old.createdAt)
            let found = try await subject.store.functions()
            try expect(found.map(\.readyRevision) == [nil], "\(found) is there")
            try expect(found.map(\.createdAt.nanosecondsSinceEpoch) == [2], "\(found) is there")
        },
        DesiredStoreCheck("numbers of many functions are kept at once, without those that are gone") { subject in
            for name in ["one", "two"] { try await subject.store.insert(function(name)) }
            try await subject.store.setDesiredReplicas([id("one"): 0, id("two"): 9, id("gone"): 1])
            let found = try await subject.store.functions()
            try expect(found.map(\.desiredReplicas) == [0, 9], "\(found.map(\.desiredReplicas)) are desired")
        },
        DesiredStoreCheck("bundles are in use by the newest and the ready revision, and by no other") { subject in
            let function = function("fn", digest: "sha256-1")
            try await subject.store.insert(function)
            try await subject.store.setReadyRevision(1, of: function.id, createdAt: function.createdAt)
            for number in 2...3 {
                try await subject.store.insert(revision(number, digest: "sha256-\(number)"), of: function.id)
            }
            let used = try await subject.store.usedBundles()
            try expect(used == ["sha256-1": function.id, "sha256-3": function.id], "\(used) are in use")
            try await subject.store.delete(function.id)
            let left = try await subject.store.usedBundles()
            try expect(left.isEmpty, "\(left) are in use")
        },
    ]

    /// A function at zero replicas that serves by its first revision while its second is not ready.
    private static func keepFunctionOfTwoRevisions(in store: any DesiredStore) async throws -> StoredFunction {
        var function = function("fn", digest: "sha256-1")
        let newest = revision(2, image: "other", digest: "sha256-2")
        try await store.insert(function)
        try await store.setReadyRevision(1, of: function.id, createdAt: function.createdAt)
        try await store.insert(newest, of: function.id)
        try await store.setDesiredReplicas([function.id: 0])
        (function.readyRevision, function.revision, function.desiredReplicas) = (function.revision, newest, 0)
        return function
    }

    private static let others: [DesiredStoreCheck] = [
        DesiredStoreCheck("namespaces are kept, replaced and forgotten") { subject in
            let store = subject.store
            for name in ["b", "a"] { try await store.put(NamespaceRecord(name: name, labels: ["of": name])) }
            try await store.put(NamespaceRecord(name: "a", annotations: ["of": "none"]))
            let found = try await store.namespaces()
            let expected = [
                NamespaceRecord(name: "a", annotations: ["of": "none"]),
                NamespaceRecord(name: "b", labels: ["of": "b"]),
            ]
            try expect(found == expected, "\(found) is there")
            try await store.deleteNamespace("a")
            let left = try await store.namespaces()
            try expect(left.map(\.name) == ["b"], "\(left) is left")
        },
        DesiredStoreCheck("images are kept by name and tag, replaced and forgotten") { subject in
            func image(_ name: String, _ tag: String, _ digest: String) -> BundleRecord {
                let moment = Timestamp(nanosecondsSinceEpoch: 5)
                return BundleRecord(name: name, tag: tag, digest: digest, language: nil, createdAt: moment)
            }
            let store = subject.store
            for tag in ["2", "1"] { try await store.put(image("b", tag, "sha256-1")) }
            try await store.put(image("a", "1", "sha256-2"))
            try await store.put(image("b", "2", "sha256-3"))
            let found = try await store.images()
            let expected = [image("a", "1", "sha256-2"), image("b", "1", "sha256-1"), image("b", "2", "sha256-3")]
            try expect(found == expected, "\(found) is there")
            try await store.deleteImage(name: "b", tag: "1")
            let left = try await store.images()
            try expect(left.map(\.tag) == ["1", "2"], "\(left) is left")
        },
        DesiredStoreCheck("what was kept is there when the store is opened again") { subject in
            let namespace = NamespaceRecord(name: "a", labels: ["of": "a"])
            let moment = Timestamp(nanosecondsSinceEpoch: 5)
            let image = BundleRecord(name: "b", tag: "1", digest: "sha256-3", language: "python", createdAt: moment)
            try await subject.store.put(namespace)
            try await subject.store.put(image)
            let function = try await keepFunctionOfTwoRevisions(in: subject.store)
            guard let store = try await subject.reopened() else { return }
            let (functions, namespaces) = (try await store.functions(), try await store.namespaces())
            try expect(functions == [function], "\(functions) is there")
            try expect(namespaces == [namespace], "\(namespaces) is there")
            let (images, used) = (try await store.images(), try await store.usedBundles())
            try expect(images == [image], "\(images) is there")
            try expect(used == ["sha256-1": function.id, "sha256-2": function.id], "\(used) are in use")
            try await store.close()
        },
        DesiredStoreCheck("a store that is closed refuses, and is closed again without harm") { subject in
            let store = subject.store
            try await store.insert(function("fn", digest: nil))
            try await store.close()
            try await store.close()
            func refuses(_ what: String, _ work: () async throws(PlatformFault) -> Void) async throws {
                do throws(PlatformFault) {
                    try await work()
                } catch {
                    return try expect(error.code == .shuttingDown, "\(what): \(error)")
                }
                try expect(false, "\(what) is not refused")
            }
            try await refuses("reading") { () throws(PlatformFault) in _ = try await store.functions() }
            try await refuses("writing") { () throws(PlatformFault) in
                try await store.put(NamespaceRecord(name: "a"))
            }
        },
    ]
}
