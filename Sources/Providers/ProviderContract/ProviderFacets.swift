// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel

/// Shows what functions print.
public protocol LogFacet: Sendable {
    /// Lines of a function's log, oldest first; with `follow` until the consumer stops.
    ///
    /// - Throws: `functionNotFound`.
    func logs(_ query: LogQuery) async throws(PlatformFault) -> AsyncThrowingStream<LogLine, any Error>
}

/// Keeps secrets for functions.
public protocol SecretFacet: Sendable {
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
}

/// Makes, changes and removes namespaces.
public protocol NamespaceFacet: Sendable {
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

/// Keeps images of the provider's own: bundles (martlet-api "Bundles").
public protocol ImageFacet: Sendable {
    /// The bundles, by name and tag.
    func bundles() async throws(PlatformFault) -> [BundleRecord]

    /// Stores an uncompressed tar archive with a `bundle.json` under a name and tag; returns what was stored.
    ///
    /// The archive comes in pieces of any length, which are taken no faster than they can be kept: the memory in use does
    /// not grow with the archive. One that breaks off, by an error or since the caller is cancelled, leaves nothing.
    ///
    /// - Throws: `malformedBody` when the archive or its `bundle.json` is bad, or breaks off; `invalidValue` for a name or
    ///   tag that cannot be one; the archive's own fault where it ends with one. Nothing was stored then.
    func storeBundle(
        name: String,
        tag: String,
        archive: some AsyncSequence<[UInt8], any Error> & Sendable
    ) async throws(PlatformFault) -> BundleRecord

    /// Removes a name and tag, and its content when no revision and no other name uses it.
    ///
    /// - Throws: `notFound`; `conflict` while a revision uses it, naming the function.
    func deleteBundle(name: String, tag: String) async throws(PlatformFault)
}
