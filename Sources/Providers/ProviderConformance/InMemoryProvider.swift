// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import ProviderContract

/// A provider that keeps everything in memory and runs nothing: for tests of what stands in front of providers.
///
/// Each function's replicas lead to one upstream. A function whose image is `never-ready` never becomes ready, and one
/// whose image is `never-woken` stays at zero though to wake it is accepted. It has the facets and shows the behaviours
/// that it is told to.
public actor InMemoryProvider: FunctionProvider {
    private struct Stored {
        var spec: FunctionSpec
        var revision = 1
        var readyRevision = 0
        /// What that revision runs.
        var serving: FunctionSpec?
        var desired: Int
        var replicas: [Replica] = []
        let createdAt = Timestamp.now()

        var state: MartletStatus.State {
            readyRevision == revision ? (desired == 0 ? .idle : .ready) : .failing
        }
    }

    /// Everything but surviving its end and replacing what replicas were given.
    public static let usual: ProviderCapabilities = {
        var usual = ProviderCapabilities.all
        (usual.behaviours.isDurable, usual.behaviours.replacesSecrets) = (false, false)
        return usual
    }()

    /// What it says of its behaviours.
    public nonisolated let behaviours: ProviderBehaviours
    private nonisolated let abilities: ProviderCapabilities
    private let upstream: Upstream
    private let defaultNamespace = NameRule.defaultNamespace
    private var functions: [FunctionID: Stored] = [:]
    /// The further paths of those that have any.
    private var paths: [FunctionID: [String]] = [:]
    private var secretNames: [String: Set<String>] = [:]
    private var imageRecords: [BundleRecord] = []
    private var records: [String: NamespaceRecord]
    private let feed = RouteFeed()
    /// How often a function was to be woken.
    public private(set) var wakes = 0

    /// Makes a provider whose functions all lead to one server.
    ///
    /// `abilities` is what it really can do; `claims` is what it says of its behaviours, nil for the truth.
    public init(
        upstream: Upstream = Upstream(.tcp(host: "127.0.0.1", port: 9)),
        abilities: ProviderCapabilities = InMemoryProvider.usual,
        claims: ProviderBehaviours? = nil
    ) {
        self.upstream = upstream
        self.abilities = abilities
        behaviours = claims ?? abilities.behaviours
        records = [NameRule.defaultNamespace: NamespaceRecord(name: NameRule.defaultNamespace)]
    }

    /// See the contract's `info`.
    public func info() async throws(PlatformFault) -> ProviderInfo {
        ProviderInfo(provider: "in-memory", version: .init(release: "0", sha: "0"), orchestration: "memory")
    }

    /// See the contract's `checkHealth`.
    public func checkHealth() async throws(PlatformFault) {}

    /// See the contract's `namespaceNames`.
    public func namespaceNames() async throws(PlatformFault) -> [String] {
        [defaultNamespace] + records.keys.filter { $0 != defaultNamespace }.sorted()
    }

    // MARK: Facets

    /// See the contract's `logs`.
    public nonisolated var logs: (any LogFacet)? { abilities.logs ? self : nil }

    /// See the contract's `secrets`.
    public nonisolated var secrets: (any SecretFacet)? { abilities.secrets ? self : nil }

    /// See the contract's `namespaces`.
    public nonisolated var namespaces: (any NamespaceFacet)? { abilities.namespaces ? self : nil }

    /// See the contract's `images`.
    public nonisolated var images: (any ImageFacet)? { abilities.images ? self : nil }

    // MARK: Functions

    /// See the contract's `functions`.
    public func functions(in namespace: String) async throws(PlatformFault) -> [FunctionStatus] {
        try checkNamespace(namespace)
        return functions.keys.filter { $0.namespace == namespace }.sorted().compactMap(status)
    }

    /// See the contract's `function`.
    public func function(_ id: FunctionID, includingUsage: Bool) async throws(PlatformFault) -> FunctionStatus {
        guard var status = status(id) else { throw Self.missing(id) }
        if includingUsage, abilities.reportsUsage { status.usage = FunctionUsage(cpu: 0, totalMemoryBytes: 0) }
        return status
    }

    /// See the contract's `create`.
    public func create(_ spec: FunctionSpec) async throws(PlatformFault) {
        try check(spec)
        let id = spec.id
        guard functions[id] == nil else { throw PlatformFault(.alreadyExists, "The function \(id) exists already.") }
        try checkPaths(spec, isNew: true)
        functions[id] = Stored(spec: spec, desired: abilities.runsSeveralReplicas ? spec.scaling.min : 1)
        settle(id)
    }

    /// See the contract's `update`.
    @discardableResult
    public func update(_ spec: FunctionSpec, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        try check(spec)
        let id = spec.id
        guard let stored = functions[id] else { throw Self.missing(id) }
        guard forced || !stored.spec.deployment.asksForTheSame(as: spec.deployment) else { return .unchanged }
        try checkPaths(spec, isNew: false)
        functions[id]?.spec = spec
        functions[id]?.revision += 1
        settle(id)
        return .newRevision
    }

    /// See the contract's `restart`.
    public func restart(_ id: FunctionID) async throws(PlatformFault) {
        guard functions[id] != nil else { throw Self.missing(id) }
        functions[id]?.revision += 1
        settle(id)
    }

    /// See the contract's `delete`.
    public func delete(_ id: FunctionID) async throws(PlatformFault) {
        guard let stored = functions.removeValue(forKey: id) else { throw Self.missing(id) }
        paths[id] = nil
        for replica in stored.replicas { replica.drain {} }
        feed.remove(id)
    }

    /// See the contract's `scale`.
    @discardableResult
    public func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) -> Int {
        guard functions[id] != nil else { throw Self.missing(id) }
        if let lack = abilities.lack(forReplicas: replicas) { throw lack.fault(of: "in-memory") }
        functions[id]?.desired = replicas
        settle(id)
        return replicas
    }

    /// See the contract's `wake`.
    @discardableResult
    public func wake(_ id: FunctionID, atLeast replicas: Int) async throws(PlatformFault) -> Int {
        guard let stored = functions[id] else { throw Self.missing(id) }
        wakes += 1
        guard stored.spec.run.image != "never-woken" else { return replicas }
        return stored.desired < replicas ? try await scale(id, to: replicas) : stored.desired
    }

    /// Brings a function to what is desired, at once.
    private func settle(_ id: FunctionID) {
        guard var stored = functions[id] else { return }
        // One that never becomes ready leaves the one before serving, if there is one.
        let serving = stored.spec.run.image == "never-ready" ? stored.readyRevision : stored.revision
        if serving > 0, stored.readyRevision != serving || stored.replicas.count != stored.desired {
            for replica in stored.replicas { replica.drain {} }
            stored.replicas = (0..<stored.desired).map { number in
                Replica(
                    id: "\(id.name)-\(serving)-\(number)",
                    revision: serving,
                    target: upstream,
                    maxInFlight: nil
                )
            }
        }
        stored.readyRevision = serving
        if serving == stored.revision { stored.serving = stored.spec }
        functions[id] = stored
        let all = stored.spec.paths + (stored.serving?.paths ?? [])
        paths[id] = all.isEmpty ? nil : all
        if let route = route(id) { feed.publish(route) }
    }

    private func route(_ id: FunctionID) -> FunctionRoute? {
        guard let stored = functions[id] else { return nil }
        return FunctionRoute(
            id: id,
            variants: [
                RouteVariant(
                    revision: stored.replicas.isEmpty ? 0 : stored.readyRevision,
                    replicas: stored.replicas,
                    policy: stored.spec.calls
                )
            ],
            desiredReplicas: stored.desired,
            scaling: stored.spec.scaling,
            paths: stored.spec.paths,
            annotations: stored.spec.annotations,
            state: stored.state,
            notReadyReason: stored.replicas.isEmpty ? "it was told never to become ready" : ""
        )
    }

    private func status(_ id: FunctionID) -> FunctionStatus? {
        guard let stored = functions[id] else { return nil }
        var status = FunctionStatus(stored.spec.deployment, namespace: id.namespace, createdAt: stored.createdAt)
        status.replicas = stored.desired
        status.availableReplicas = stored.replicas.count
        status.martlet = MartletStatus(
            revision: stored.revision,
            readyRevision: stored.readyRevision,
            state: stored.state,
            reason: "",
            since: stored.createdAt,
            limitsEnforced: false
        )
        return status
    }

    private func check(_ spec: FunctionSpec) throws(PlatformFault) {
        let namespace = spec.id.namespace
        try checkNamespace(namespace)
        for name in spec.run.secrets where secretNames[namespace]?.contains(name) != true {
            throw PlatformFault(.secretMissing, "unable to find secret: \(name)")
        }
    }

    private func checkPaths(_ spec: FunctionSpec, isNew: Bool) throws(PlatformFault) {
        try spec.checkPaths(
            among: paths.lazy.map { ($0.key, $0.value) },
            exists: { functions[$0] != nil },
            isNew: isNew,
            defaultNamespace: defaultNamespace
        )
    }

    private static func missing(_ id: FunctionID) -> PlatformFault {
        PlatformFault(.functionNotFound, "The function \(id) does not exist.")
    }

    // MARK: Routing

    /// See the contract's `watch`.
    public nonisolated func watch() -> AsyncStream<RouteUpdate> { feed.updates() }

    /// Is heard no more, as a provider elsewhere may be; what was told before holds.
    public nonisolated func loseContact(_ fault: PlatformFault) { feed.lose(fault) }

    /// Is heard again.
    public nonisolated func hearAgain() { feed.hearAgain() }
}

extension InMemoryProvider: LogFacet {
    /// See the contract's `logs`.
    public func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error> {
        guard functions[query.function] != nil else { throw Self.missing(query.function) }
        return AsyncThrowingStream { $0.finish() }
    }
}

extension InMemoryProvider: SecretFacet {
    /// See the contract's `secrets`.
    public func secrets(in namespace: String) async throws(PlatformFault) -> [String] {
        try checkNamespace(namespace)
        return (secretNames[namespace] ?? []).sorted()
    }

    /// See the contract's `createSecret`.
    public func createSecret(_ name: String, in namespace: String, value: [UInt8]) async throws(PlatformFault) {
        try checkNamespace(namespace)
        try NameRule.checkSecret(name)
        guard secretNames[namespace, default: []].insert(name).inserted else {
            throw PlatformFault(.alreadyExists, "The secret \(name) exists already.")
        }
    }

    /// See the contract's `updateSecret`.
    @discardableResult
    public func updateSecret(
        _ name: String,
        in namespace: String,
        value: [UInt8]
    ) async throws(PlatformFault) -> SecretReach {
        try checkSecret(name, namespace)
        return abilities.replacesSecrets ? .runningReplicas : .laterReplicas
    }

    /// See the contract's `deleteSecret`.
    public func deleteSecret(_ name: String, in namespace: String) async throws(PlatformFault) {
        try checkSecret(name, namespace)
        let isUsed = functions.contains { id, stored in
            id.namespace == namespace
                && [stored.spec, stored.serving].contains { $0?.run.secrets.contains(name) == true }
        }
        guard !isUsed else { throw PlatformFault(.conflict, "A function uses the secret \(name).") }
        secretNames[namespace]?.remove(name)
    }

    private func checkSecret(_ name: String, _ namespace: String) throws(PlatformFault) {
        try checkNamespace(namespace)
        try NameRule.checkSecret(name)
        guard secretNames[namespace]?.contains(name) == true else {
            throw PlatformFault(.notFound, "There is no secret \(name).")
        }
    }
}

extension InMemoryProvider: NamespaceFacet {
    private func checkNamespace(_ name: String) throws(PlatformFault) {
        guard records[name] != nil else { throw PlatformFault(.namespaceMissing, "There is no namespace \(name).") }
    }

    /// See the contract's `namespace`.
    public func namespace(_ name: String) async throws(PlatformFault) -> NamespaceRecord {
        guard let record = records[name] else { throw PlatformFault(.notFound, "namespace \(name) not found") }
        return record
    }

    /// See the contract's `createNamespace`.
    public func createNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try NameRule.checkNamespace(record.name)
        guard records[record.name] == nil else {
            throw PlatformFault(.alreadyExists, "namespace \(record.name) already exists")
        }
        records[record.name] = record
    }

    /// See the contract's `updateNamespace`.
    public func updateNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        _ = try await namespace(record.name)
        records[record.name] = record
    }

    /// See the contract's `deleteNamespace`.
    public func deleteNamespace(_ name: String) async throws(PlatformFault) {
        _ = try await namespace(name)
        let isUsed = functions.keys.contains { $0.namespace == name } || secretNames[name]?.isEmpty == false
        guard name != defaultNamespace, !isUsed else {
            throw PlatformFault(.conflict, "The namespace \(name) cannot be removed.")
        }
        records[name] = nil
    }
}

/// Keeps no content: an archive is read to its end, and told apart by its bytes.
extension InMemoryProvider: ImageFacet {
    /// See the contract's `bundles`.
    public func bundles() async throws(PlatformFault) -> [BundleRecord] {
        imageRecords.sorted { ($0.name, $0.tag) < ($1.name, $1.tag) }
    }

    /// See the contract's `storeBundle`.
    public func storeBundle(
        name: String,
        tag: String,
        archive: some AsyncSequence<[UInt8], any Error> & Sendable
    ) async throws(PlatformFault) -> BundleRecord {
        guard !name.contains("..") else { throw PlatformFault(.invalidValue, "\(name) cannot be a bundle's name.") }
        let sum = try await Self.sum(archive)
        let digest = "sum-\(String(sum, radix: 16))"
        let record = BundleRecord(name: name, tag: tag, digest: digest, language: nil, createdAt: .now())
        imageRecords.removeAll { ($0.name, $0.tag) == (name, tag) }
        imageRecords.append(record)
        return record
    }

    private static func sum(
        _ archive: some AsyncSequence<[UInt8], any Error> & Sendable
    ) async throws(PlatformFault) -> UInt64 {
        var (sum, start): (UInt64, [UInt8]) = (0xcbf2_9ce4_8422_2325, [])
        for try await piece in ArchivePieces(archive) {
            if start.count < 512 { start += piece.prefix(512 - start.count) }
            for byte in piece { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        guard start.dropFirst(257).starts(with: "ustar".utf8) else {
            throw PlatformFault(.malformedBody, "It is not a tar archive.")
        }
        return sum
    }

    /// See the contract's `deleteBundle`.
    public func deleteBundle(name: String, tag: String) async throws(PlatformFault) {
        guard imageRecords.contains(where: { ($0.name, $0.tag) == (name, tag) }) else {
            throw PlatformFault(.notFound, "There is no bundle \(name):\(tag).")
        }
        let user = functions.first {
            [$0.value.spec, $0.value.serving].contains { $0?.run.image == "\(name):\(tag)" }
        }
        if let user { throw PlatformFault(.conflict, "The function \(user.key) uses the bundle \(name):\(tag).") }
        imageRecords.removeAll { ($0.name, $0.tag) == (name, tag) }
    }
}
