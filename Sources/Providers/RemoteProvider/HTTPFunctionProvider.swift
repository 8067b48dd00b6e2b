// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
public import FunctionModel
public import ProviderContract
public import SystemClient

/// Any OpenFaaS provider, reached over HTTP (contract §21, martlet-api "Provider watch").
///
/// Calls of functions go to the provider's own `/function/` proxy. Where the provider cannot push, it is asked once a
/// second, and once a minute whether it can by now. A provider that is silent for 30 s is lost, and asked anew. What it can
/// do is known from when it is watched: its facets are there until it has told otherwise.
public struct HTTPFunctionProvider: FunctionProvider {
    private let learned = LearnedCapabilities()
    private let client: SystemClient
    private let upstream: Upstream
    private let pollInterval: Duration
    private let time: RemoteTime
    private let warn: @Sendable (FunctionID?, String) -> Void

    /// Makes a provider of an API at `http://HOST:PORT`, `unix:///PATH`, or `https://HOST:PORT`, which is reached by `tls`.
    ///
    /// `clock` measures pauses between questions, and how long a function has been missing.
    /// `warn` is told, once for each function, what of its deployment cannot be parsed here and counts as absent; and,
    /// without a function, what is wrong with the whole.
    ///
    /// - Throws: `badSettings` for a URL that is none.
    public init(
        client: SystemClient,
        pollInterval: Duration = .seconds(1),
        clock: some Clock<Duration> = ContinuousClock(),
        tls: UpstreamTLS? = nil,
        warn: @escaping @Sendable (FunctionID?, String) -> Void = { _, _ in }
    ) throws(PlatformFault) {
        self.client = client.asProvider
        self.pollInterval = pollInterval
        time = RemoteTime(clock)
        self.warn = warn
        upstream = try Self.upstream(of: client, tls)
    }

    private static func upstream(of client: SystemClient, _ tls: UpstreamTLS?) throws(PlatformFault) -> Upstream {
        if let socket = UnixURL(client.baseURL) { return Upstream(.unix(path: socket.path)) }
        guard let server = ServerURL(client.baseURL), server.query == nil else {
            throw PlatformFault(
                .badSettings,
                "\(client.baseURL) is not a provider's address.",
                hint: "Write http://HOST:PORT/, https://HOST:PORT/ or unix:///PATH"
            )
        }
        var upstream = Upstream(server, tls: tls)
        // Behind one address by TLS there may be several servers, which are told apart by what they are asked by.
        let host = client.authority.flatMap { Upstream.Header(name: "Host", value: $0) }
        if upstream.tls != nil, let host { upstream.headers = [host] }
        return upstream
    }

    /// How the other side behaves: everything is possible until `watch` has found out.
    public var behaviours: ProviderBehaviours { learned.current.behaviours }

    /// See the contract's `info`.
    public func info() async throws(PlatformFault) -> ProviderInfo {
        guard let info = try await client.info().provider else {
            throw PlatformFault(.providerFailed, "The provider does not say what it is.")
        }
        return info
    }

    /// See the contract's `checkHealth`.
    public func checkHealth() async throws(PlatformFault) { try await client.checkHealth() }

    /// See the contract's `namespaceNames`.
    public func namespaceNames() async throws(PlatformFault) -> [String] { try await client.namespaces() }

    /// See the contract's `functions`.
    public func functions(in namespace: String) async throws(PlatformFault) -> [FunctionStatus] {
        try await client.functions(in: namespace).map(Self.labelled)
    }

    private static func labelled(_ status: FunctionStatus) -> FunctionStatus {
        var status = status
        status.addNameLabel()
        return status
    }

    /// See the contract's `function`.
    public func function(_ id: FunctionID, includingUsage: Bool) async throws(PlatformFault) -> FunctionStatus {
        Self.labelled(
            try await asking(of: id) { () throws(PlatformFault) in
                try await client.function(id.name, in: id.namespace, includingUsage: includingUsage)
            }
        )
    }

    /// See the contract's `create`.
    public func create(_ spec: FunctionSpec) async throws(PlatformFault) {
        try await client.create(spec.deployment)
    }

    /// See the contract's `update`.
    @discardableResult
    public func update(_ spec: FunctionSpec, forced: Bool) async throws(PlatformFault) -> UpdateOutcome {
        try await client.update(spec.deployment, forced: forced)
    }

    /// See the contract's `restart`.
    public func restart(_ id: FunctionID) async throws(PlatformFault) {
        do throws(PlatformFault) { try await client.restart(id.name, in: id.namespace) } catch {
            guard error.code == .notFound || error.code == .notSupported else { throw error }
            // Which of the two is missing, the function or the route?
            _ = try await function(id, includingUsage: false)
            throw PlatformFault(
                .notSupported,
                "The provider cannot restart \(id).",
                hint: "Deploy it again: martlet deploy --force",
                cause: error
            )
        }
    }

    /// See the contract's `delete`.
    public func delete(_ id: FunctionID) async throws(PlatformFault) {
        try await asking(of: id) { () throws(PlatformFault) in try await client.delete(id.name, in: id.namespace) }
    }

    /// See the contract's `scale`.
    @discardableResult
    public func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) -> Int {
        try await asking(of: id) { () throws(PlatformFault) in
            try await client.scale(id.name, in: id.namespace, to: replicas)
        }
    }

    /// See the contract's `wake`.
    ///
    /// A plain OpenFaaS provider sets the number, so it is looked at before: what others ask of it in between is lost.
    @discardableResult
    public func wake(_ id: FunctionID, atLeast replicas: Int) async throws(PlatformFault) -> Int {
        let desired = try await function(id, includingUsage: false).replicas
        guard desired < replicas else { return desired }
        return try await asking(of: id) { () throws(PlatformFault) in
            try await client.wake(id.name, in: id.namespace, atLeast: replicas)
        }
    }

    /// OpenFaaS' providers answer a missing function with a bare 404.
    private func asking<Answer>(
        of id: FunctionID,
        _ ask: () async throws(PlatformFault) -> Answer
    ) async throws(PlatformFault) -> Answer {
        do throws(PlatformFault) { return try await ask() } catch {
            guard error.code == .notFound else { throw error }
            throw PlatformFault(.functionNotFound, "The function \(id) does not exist.", cause: error)
        }
    }

    // MARK: Routing

    /// See the contract's `watch`.
    public func watch() -> AsyncStream<RouteUpdate> {
        let feed = RouteFeed(isComplete: false)
        let follower = RemoteRoutes(
            client: client,
            upstream: upstream,
            pollInterval: pollInterval,
            learned: learned,
            time: time,
            feed: feed,
            warner: RemoteWarner(warn)
        )
        // Unowned: the end of the sequence cancels it.
        let task = Task {
            await follower.follow()
            feed.close()
        }
        return feed.updates { task.cancel() }
    }

    // MARK: Facets

    /// See the contract's `logs`.
    public var logs: (any LogFacet)? { learned.current.logs ? self : nil }

    /// See the contract's `secrets`.
    public var secrets: (any SecretFacet)? { learned.current.secrets ? self : nil }

    /// See the contract's `namespaces`.
    public var namespaces: (any NamespaceFacet)? { learned.current.namespaces ? self : nil }

    /// See the contract's `images`.
    public var images: (any ImageFacet)? { learned.current.images ? self : nil }
}

extension HTTPFunctionProvider: LogFacet {
    /// See the contract's `logs`.
    public func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error> {
        try await asking(of: query.function) { () throws(PlatformFault) in try await client.logs(query) }
    }
}

extension HTTPFunctionProvider: SecretFacet {
    /// See the contract's `secrets`.
    public func secrets(in namespace: String) async throws(PlatformFault) -> [String] {
        try await client.secrets(in: namespace).map(\.name).sorted()
    }

    /// See the contract's `createSecret`.
    public func createSecret(_ name: String, in namespace: String, value: [UInt8]) async throws(PlatformFault) {
        try await client.createSecret(name, in: namespace, value: Data(value))
    }

    /// See the contract's `updateSecret`.
    @discardableResult
    public func updateSecret(
        _ name: String,
        in namespace: String,
        value: [UInt8]
    ) async throws(PlatformFault) -> SecretReach {
        try await client.updateSecret(name, in: namespace, value: Data(value))
    }

    /// See the contract's `deleteSecret`.
    public func deleteSecret(_ name: String, in namespace: String) async throws(PlatformFault) {
        try await client.deleteSecret(name, in: namespace)
    }
}

extension HTTPFunctionProvider: NamespaceFacet {
    /// See the contract's `namespace`.
    public func namespace(_ name: String) async throws(PlatformFault) -> NamespaceRecord {
        try await client.namespace(name)
    }

    /// See the contract's `createNamespace`.
    public func createNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await client.createNamespace(record)
    }

    /// See the contract's `updateNamespace`.
    public func updateNamespace(_ record: NamespaceRecord) async throws(PlatformFault) {
        try await client.updateNamespace(record)
    }

    /// See the contract's `deleteNamespace`.
    public func deleteNamespace(_ name: String) async throws(PlatformFault) { try await client.deleteNamespace(name) }
}

extension HTTPFunctionProvider: ImageFacet {
    /// See the contract's `bundles`.
    public func bundles() async throws(PlatformFault) -> [BundleRecord] { try await client.bundles() }

    /// See the contract's `storeBundle`.
    public func storeBundle(
        name: String,
        tag: String,
        archive: some AsyncSequence<[UInt8], any Error> & Sendable
    ) async throws(PlatformFault) -> BundleRecord {
        try await client.storeBundle(name: name, tag: tag, pieces: ArchivePieces(archive))
    }

    /// See the contract's `deleteBundle`.
    public func deleteBundle(name: String, tag: String) async throws(PlatformFault) {
        try await client.deleteBundle(name: name, tag: tag)
    }
}
