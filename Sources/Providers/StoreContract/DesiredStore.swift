// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel

/// What is desired of a provider that keeps its own state: functions with their revisions and numbers of replicas,
/// namespaces, and what images' names stand for.
///
/// One provider owns a store, which it hears of before it is asked anything, and closes. A change is on disk when its
/// method returns, in so far as the store lasts at all, and is whole or not there whatever happens meanwhile. Rules are
/// the provider's: a store refuses nothing but what it cannot keep.
///
/// Every method throws `storageUnavailable` when the store cannot be read or written; nothing was changed then. Nor was it
/// where a method gives up because its task is cancelled, which is `shuttingDown`.
///
/// `StoreConformance` is the suite that every implementation passes.
public protocol DesiredStore: Sendable {
    // MARK: Functions

    /// All functions, by namespace and name, each with its newest revision.
    func functions() async throws(PlatformFault) -> [StoredFunction]

    /// Keeps a new function with its first revision.
    func insert(_ function: StoredFunction) async throws(PlatformFault)

    /// Keeps a function's next revision, which is its newest from then on.
    func insert(_ revision: StoredRevision, of id: FunctionID) async throws(PlatformFault)

    /// Keeps the numbers of many functions at once; those that are gone are left out.
    func setDesiredReplicas(_ numbers: [FunctionID: Int]) async throws(PlatformFault)

    /// Keeps which revision was ready last.
    ///
    /// The moment says which function is meant: its name may be another one's by now, and nothing is changed then.
    func setReadyRevision(_ number: Int, of id: FunctionID, createdAt: Timestamp) async throws(PlatformFault)

    /// Forgets a function with all its revisions.
    func delete(_ id: FunctionID) async throws(PlatformFault)

    // MARK: Namespaces

    /// All namespaces, by name.
    func namespaces() async throws(PlatformFault) -> [NamespaceRecord]

    /// Keeps a namespace, in place of one of the same name.
    func put(_ namespace: NamespaceRecord) async throws(PlatformFault)

    /// Forgets a namespace.
    func deleteNamespace(_ name: String) async throws(PlatformFault)

    // MARK: Images

    /// What images' names stand for, by name and tag.
    func images() async throws(PlatformFault) -> [BundleRecord]

    /// Keeps what a name and tag stand for, in place of what they stood for.
    func put(_ image: BundleRecord) async throws(PlatformFault)

    /// Forgets what a name and tag stand for.
    func deleteImage(name: String, tag: String) async throws(PlatformFault)

    /// Digests of the bundles that revisions in use are pinned to, the newest and the last ready ones, with a function
    /// that uses each.
    func usedBundles() async throws(PlatformFault) -> [String: FunctionID]

    // MARK: End

    /// Writes back what is to be written and lets go of the store; harmless when it is closed.
    ///
    /// Who asks it for something afterwards is refused with `PlatformFault.storeIsClosed`.
    func close() async throws(PlatformFault)
}

extension PlatformFault {
    /// What a store says that is closed: its program is stopping, and another one may have taken over.
    public static var storeIsClosed: PlatformFault {
        PlatformFault(
            .shuttingDown,
            "Martlet is stopping: its store of deployments is closed.",
            hint: "Try again in a moment.",
            retryAfterSeconds: 1
        )
    }
}

/// A function with its newest revision.
public struct StoredFunction: Sendable, Equatable {
    /// The function.
    public var id: FunctionID
    /// How many replicas it is to have.
    public var desiredReplicas: Int
    /// When it was created; tells it from others of its name.
    public var createdAt: Timestamp
    /// The newest revision.
    public var revision: StoredRevision
    /// The revision that last was ready, when it is another one: it serves until the newest is ready.
    public var readyRevision: StoredRevision?

    /// Describes a function.
    public init(
        id: FunctionID,
        desiredReplicas: Int,
        createdAt: Timestamp,
        revision: StoredRevision,
        readyRevision: StoredRevision? = nil
    ) {
        self.id = id
        self.desiredReplicas = desiredReplicas
        self.createdAt = createdAt
        self.revision = revision
        self.readyRevision = readyRevision
    }
}

/// One immutable revision.
public struct StoredRevision: Sendable, Equatable {
    /// Its number, from 1.
    public var number: Int
    /// What was asked for, as it was written.
    public var deployment: FunctionDeployment
    /// The content of its image; nil where it has none of the provider's own.
    public var bundleDigest: String?

    /// Describes a revision.
    public init(number: Int, deployment: FunctionDeployment, bundleDigest: String?) {
        self.number = number
        self.deployment = deployment
        self.bundleDigest = bundleDigest
    }
}
