// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import StoreContract

/// A store that ends with the process: for tests of what stands in front of stores.
public actor InMemoryDesiredStore: DesiredStore {
    private struct Entry {
        var desired: Int
        var createdAt: Timestamp
        var newest: Int
        var ready = 0
        var revisions: [Int: StoredRevision]
    }

    private var entries: [FunctionID: Entry] = [:]
    private var namespaceRecords: [String: NamespaceRecord] = [:]
    private var imageRecords: [BundleRecord] = []
    private var isClosed = false

    /// Holds nothing.
    public init() {}

    /// See the contract's `functions`.
    public func functions() async throws(PlatformFault) -> [StoredFunction] {
        try checkOpen()
        return entries.keys.sorted { ($0.namespace, $0.name) < ($1.namespace, $1.name) }.compactMap { id in
            guard let entry = entries[id], let revision = entry.revisions[entry.newest] else { return nil }
            return StoredFunction(
                id: id,
                desiredReplicas: entry.desired,
                createdAt: entry.createdAt,
                revision: revision,
                readyRevision: entry.ready == entry.newest ? nil : entry.revisions[entry.ready]
            )
        }
    }

    /// See the contract's `insert`.
    public func insert(_ function: StoredFunction) async throws(PlatformFault) {
        try checkOpen()
        let number = function.revision.number
        entries[function.id] = Entry(
            desired: function.desiredReplicas,
            createdAt: function.createdAt,
            newest: number,
            revisions: [number: function.revision]
        )
    }

    /// See the contract's `insert`.
    public func insert(_ revision: StoredRevision, of id: FunctionID) async throws(PlatformFault) {
        try checkOpen()
        entries[id]?.revisions[revision.number] = revision
        entries[id]?.newest = revision.number
    }

    /// See the contract's `setDesiredReplicas`.
    public func setDesiredReplicas(_ numbers: [FunctionID: Int]) async throws(PlatformFault) {
        try checkOpen()
        for (id, number) in numbers { entries[id]?.desired = number }
    }

    /// See the contract's `setReadyRevision`.
    public func setReadyRevision(_ number: Int, of id: FunctionID, createdAt: Timestamp) async throws(PlatformFault) {
        try checkOpen()
        if entries[id]?.createdAt == createdAt { entries[id]?.ready = number }
    }

    /// See the contract's `delete`.
    public func delete(_ id: FunctionID) async throws(PlatformFault) {
        try checkOpen()
        entries[id] = nil
    }

    /// See the contract's `namespaces`.
    public func namespaces() async throws(PlatformFault) -> [NamespaceRecord] {
        try checkOpen()
        return namespaceRecords.values.sorted { $0.name < $1.name }
    }

    /// See the contract's `put`.
    public func put(_ namespace: NamespaceRecord) async throws(PlatformFault) {
        try checkOpen()
        namespaceRecords[namespace.name] = namespace
    }

    /// See the contract's `deleteNamespace`.
    public func deleteNamespace(_ name: String) async throws(PlatformFault) {
        try checkOpen()
        namespaceRecords[name] = nil
    }

    /// See the contract's `images`.
    public func images() async throws(PlatformFault) -> [BundleRecord] {
        try checkOpen()
        return imageRecords.sorted { ($0.name, $0.tag) < ($1.name, $1.tag) }
    }

    /// See the contract's `put`.
    public func put(_ image: BundleRecord) async throws(PlatformFault) {
        try checkOpen()
        forget(image.name, image.tag)
        imageRecords.append(image)
    }

    /// See the contract's `deleteImage`.
    public func deleteImage(name: String, tag: String) async throws(PlatformFault) {
        try checkOpen()
        forget(name, tag)
    }

    private func forget(_ name: String, _ tag: String) { imageRecords.removeAll { $0.name == name && $0.tag == tag } }

    /// See the contract's `usedBundles`.
    public func usedBundles() async throws(PlatformFault) -> [String: FunctionID] {
        try checkOpen()
        var users: [String: FunctionID] = [:]
        for (id, entry) in entries {
            for digest in [entry.newest, entry.ready].compactMap({ entry.revisions[$0]?.bundleDigest }) {
                users[digest] = id
            }
        }
        return users
    }

    /// See the contract's `close`.
    public func close() async throws(PlatformFault) { isClosed = true }

    private func checkOpen() throws(PlatformFault) {
        if isClosed { throw .storeIsClosed }
    }
}
