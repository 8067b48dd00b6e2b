// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel

/// Whatever keeps the desired functions running and *pushes* the list of ready replicas.
///
/// A provider owns the desired state: functions, their revisions, replica counts, secrets and namespaces. Each change is
/// durable before its method returns, in so far as the provider keeps state at all; bringing it about happens after.
/// Callers never ask a provider where a call shall go: they follow `watch()`.
///
/// All methods may be called from any task at any time. Cancelling a call leaves either no change or the whole change.
/// Every method throws `providerUnreachable` when a provider that lives elsewhere cannot be reached (try again later),
/// and `storageUnavailable` when state cannot be read or written (nothing was changed).
///
/// `ProviderConformance` is the suite that every implementation passes.
public protocol FunctionProvider: Sendable {
    /// What this provider can do beyond what every provider must.
    var capabilities: ProviderCapabilities { get }

    /// Name, version and kind of the provider (contract §12.1).
    func info() async throws(PlatformFault) -> ProviderInfo

    /// Returns when the provider can do its work; throws the fault that keeps it from that.
    func checkHealth() async throws(PlatformFault)

    // MARK: Functions

    /// The functions of a namespace, by name; without invocation counts and usage.
    ///
    /// Each has a label with its name (`FunctionDeployment.nameLabel`), which is dropped where a deployment has it.
    ///
    /// - Throws: `namespaceMissing` for an unknown namespace.
    func functions(in namespace: String) async throws(PlatformFault) -> [FunctionStatus]

    /// One function's status; `usage` is filled in only when wanted and known.
    ///
    /// - Throws: `functionNotFound`.
    func function(_ id: FunctionID, includingUsage: Bool) async throws(PlatformFault) -> FunctionStatus

    /// Makes a new function with revision 1 and its minimum number of replicas.
    ///
    /// What the spec leaves open the provider fills in, as its documentation says.
    ///
    /// - Throws: `alreadyExists`; `namespaceMissing`, `secretMissing`, `imageNotFound`, `invalidValue` or `conflict`
    ///   for a function that cannot run. Nothing was changed then.
    func create(_ spec: FunctionSpec) async throws(PlatformFault)

    /// Replaces a function's deployment by a new revision and keeps its number of replicas.
    ///
    /// The old revision serves until the new one is ready; one that never becomes ready leaves the old one serving.
    /// At zero replicas nothing serves: the next call wakes the new revision, and the old one only if that fails.
    /// A deployment that asks for the same as the current one, image content included, makes no new revision, unless it
    /// is `forced`.
    ///
    /// - Throws: `functionNotFound`; otherwise as `create`.
    @discardableResult
    func update(_ spec: FunctionSpec, forced: Bool) async throws(PlatformFault) -> UpdateOutcome

    /// Starts a function's replicas anew: makes a new revision equal to the newest one, image content included.
    ///
    /// As with any update the old revision serves until the new one is ready, and nothing is started at zero replicas.
    ///
    /// - Throws: `functionNotFound`; `notSupported` from providers elsewhere that cannot.
    func restart(_ id: FunctionID) async throws(PlatformFault)

    /// Removes a function: no new call reaches it, calls in flight end or are cut at the grace period.
    ///
    /// - Throws: `functionNotFound`.
    func delete(_ id: FunctionID) async throws(PlatformFault)

    /// Sets the desired number of replicas, 0 to `Int32.max`. A minimum label does not stop a smaller number.
    ///
    /// - Throws: `functionNotFound`; `invalidValue` when the function cannot have so many (fixed port).
    func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault)

    /// Everything a router needs, pushed: one snapshot first, then each change.
    ///
    /// Each subscriber gets the whole sequence. It ends when the provider shuts down or the subscriber's task is
    /// cancelled. Elements are never dropped; the state they carry is complete per function, so the last one counts.
    func watch() -> AsyncStream<RoutingEvent>

    // MARK: Logs

    /// Lines of a function's log, oldest first; with `follow` until the consumer stops.
    ///
    /// - Throws: `functionNotFound`.
    func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error>

    // MARK: Secrets

    /// Names of a namespace's secrets, sorted; never their values.
    ///
    /// - Throws: `namespaceMissing`.
    func secrets(in namespace: String) async throws(PlatformFault) -> [String]

    /// Stores a new secret.
    ///
    /// - Throws: `alreadyExists`, `namespaceMissing`, `invalidValue` (name).
    func createSecret(_ name: String, in namespace: String, value: [UInt8]) async throws(PlatformFault)

    /// Replaces a secret's value; replicas started from now on see it, and those that run where the result says so.
    ///
    /// - Throws: `notFound`, `namespaceMissing`, `invalidValue`.
    @discardableResult
    func updateSecret(
        _ name: String,
        in namespace: String,
        value: [UInt8]
    ) async throws(PlatformFault) -> SecretReach

    /// Removes a secret.
    ///
    /// - Throws: `notFound`, `namespaceMissing`, `invalidValue`; `conflict` while a function uses it, naming it.
    func deleteSecret(_ name: String, in namespace: String) async throws(PlatformFault)

    // MARK: Namespaces

    /// Names of the namespaces, the default one first, then sorted.
    func namespaces() async throws(PlatformFault) -> [String]

    /// One namespace with its labels and annotations.
    ///
    /// - Throws: `notFound`.
    func namespace(_ name: String) async throws(PlatformFault) -> NamespaceRecord

    /// Makes a namespace.
    ///
    /// - Throws: `alreadyExists`, `invalidValue` (name).
    func createNamespace(_ record: NamespaceRecord) async throws(PlatformFault)

    /// Replaces a namespace's labels and annotations.
    ///
    /// - Throws: `notFound`.
    func updateNamespace(_ record: NamespaceRecord) async throws(PlatformFault)

    /// Removes an empty namespace.
    ///
    /// - Throws: `notFound`; `conflict` when it is the default one or holds functions or secrets.
    func deleteNamespace(_ name: String) async throws(PlatformFault)
}

extension FunctionProvider {
    /// Replaces a function's deployment, by none that asks for the same.
    @discardableResult
    public func update(_ spec: FunctionSpec) async throws(PlatformFault) -> UpdateOutcome {
        try await update(spec, forced: false)
    }
}

/// What a provider can do beyond what every provider must; the conformance suite checks what is declared.
public struct ProviderCapabilities: Sendable, Equatable, Codable {
    /// Replicas may be 0, and a call starts one.
    public var scalesToZero: Bool
    /// A function may have more than one replica.
    public var runsSeveralReplicas: Bool
    /// Namespaces can be made and removed.
    public var changesNamespaces: Bool
    /// `function(_:includingUsage:)` knows CPU and memory.
    public var reportsUsage: Bool
    /// State is still there after the provider was killed.
    public var isDurable: Bool
    /// A changed secret's file is replaced in running replicas at once.
    public var replacesSecrets: Bool

    /// Declares capabilities.
    public init(
        scalesToZero: Bool = true,
        runsSeveralReplicas: Bool = true,
        changesNamespaces: Bool = true,
        reportsUsage: Bool = true,
        isDurable: Bool = true,
        replacesSecrets: Bool = true
    ) {
        self.scalesToZero = scalesToZero
        self.runsSeveralReplicas = runsSeveralReplicas
        self.changesNamespaces = changesNamespaces
        self.reportsUsage = reportsUsage
        self.isDurable = isDurable
        self.replacesSecrets = replacesSecrets
    }
}

/// A provider that keeps images of its own: bundles (martlet-api "Bundles").
public protocol BundleStore: Sendable {
    /// The bundles, by name and tag.
    func bundles() async throws(PlatformFault) -> [BundleRecord]

    /// Stores an uncompressed tar archive with a `bundle.json` under a name and tag; returns what was stored.
    ///
    /// The archive lies in a file of the caller's, which the store may move away.
    ///
    /// - Throws: `malformedBody` when the archive or its `bundle.json` is bad; nothing was stored then.
    func storeBundle(name: String, tag: String, archivePath: String) async throws(PlatformFault) -> BundleRecord

    /// Removes a name and tag, and its content when no revision and no other name uses it.
    ///
    /// - Throws: `notFound`; `conflict` while a revision uses it, naming the function.
    func deleteBundle(name: String, tag: String) async throws(PlatformFault)

    /// A path on the store's file system where an archive may be written before `storeBundle`.
    func makeUploadPath() async throws(PlatformFault) -> String
}
