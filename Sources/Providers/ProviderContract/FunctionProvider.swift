// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel

/// Whatever keeps the desired functions running and *pushes* the list of ready replicas.
///
/// A provider owns the desired state: functions, their revisions, replica counts, secrets and namespaces. Each change is
/// durable before its method returns, in so far as the provider keeps state at all; bringing it about happens after.
/// Callers never ask a provider where a call shall go: they follow `watch()`.
///
/// What not every provider has is a facet of its own: a provider is the sum of this protocol and of the facets that it
/// has. Nobody asks for more than `capabilities` say; who does is told `notSupported`.
///
/// All methods may be called from any task at any time. Cancelling a call leaves either no change or the whole change.
/// Every method throws `providerUnreachable` when a provider that lives elsewhere cannot be reached (try again later),
/// and `storageUnavailable` when state cannot be read or written (nothing was changed).
///
/// `ProviderConformance` is the suite that every implementation passes.
public protocol FunctionProvider: Sendable {
    /// How it behaves where that is its own choice.
    var behaviours: ProviderBehaviours { get }

    /// Name, version and kind of the provider (contract §12.1).
    func info() async throws(PlatformFault) -> ProviderInfo

    /// Returns when the provider can do its work; throws the fault that keeps it from that.
    func checkHealth() async throws(PlatformFault)

    /// Names of the namespaces, the default one first, then sorted.
    func namespaceNames() async throws(PlatformFault) -> [String]

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

    /// Makes a new function with revision 1 and its minimum number of replicas, as far as the provider can have so many.
    ///
    /// What the spec leaves open the provider fills in, as its documentation says.
    ///
    /// - Throws: `alreadyExists`; `namespaceMissing`, `secretMissing`, `imageNotFound`, `invalidValue` or `conflict`
    ///   for a function that cannot run, and `conflict` for one whose further paths or name collide with another's
    ///   (`FunctionSpec.checkPaths`). Nothing was changed then.
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

    /// Sets the desired number of replicas, 0 to `Int32.max`; returns the number that is desired from now on.
    ///
    /// A minimum label does not stop a smaller number.
    ///
    /// - Throws: `functionNotFound`; `invalidValue` when the function cannot have so many (fixed port); `notSupported` when
    ///   no function of this provider can.
    @discardableResult
    func scale(_ id: FunctionID, to replicas: Int) async throws(PlatformFault) -> Int

    /// Desires at least so many replicas, for calls that wait; returns the number that is desired from now on.
    ///
    /// Never lowers the number, so that gateways that wake one function at a time cannot undo each other.
    ///
    /// - Throws: as `scale`.
    @discardableResult
    func wake(_ id: FunctionID, atLeast replicas: Int) async throws(PlatformFault) -> Int

    /// Everything a router needs, pushed: one snapshot first, then each change (`RouteFeed`).
    ///
    /// Each subscriber gets a sequence of its own, which ends when the provider shuts down or the subscriber's task is
    /// cancelled. The state that elements carry is complete per function: the last one counts, and takes the place of
    /// those before it that a slow subscriber has not taken. A provider that cannot be heard says `lost`, before the
    /// snapshot too; what was told before holds until `heardAgain`.
    func watch() -> AsyncStream<RouteUpdate>

    // MARK: Facets

    /// Shows what functions print; nil where it cannot.
    var logs: (any LogFacet)? { get }

    /// Keeps secrets; nil where it cannot.
    var secrets: (any SecretFacet)? { get }

    /// Makes, changes and removes namespaces; nil where they are given.
    var namespaces: (any NamespaceFacet)? { get }

    /// Keeps images of its own; nil where they come from elsewhere.
    var images: (any ImageFacet)? { get }
}

extension FunctionProvider {
    /// None.
    public var logs: (any LogFacet)? { nil }

    /// None.
    public var secrets: (any SecretFacet)? { nil }

    /// None.
    public var namespaces: (any NamespaceFacet)? { nil }

    /// None.
    public var images: (any ImageFacet)? { nil }

    /// What it can do beyond what every provider must: made of what is there.
    public var capabilities: ProviderCapabilities {
        ProviderCapabilities(
            logs: logs != nil,
            secrets: secrets != nil,
            namespaces: namespaces != nil,
            images: images != nil,
            behaviours: behaviours
        )
    }

    /// Replaces a function's deployment, by none that asks for the same.
    @discardableResult
    public func update(_ spec: FunctionSpec) async throws(PlatformFault) -> UpdateOutcome {
        try await update(spec, forced: false)
    }
}
