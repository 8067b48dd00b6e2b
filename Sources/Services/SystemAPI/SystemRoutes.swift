// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import Hummingbird
public import ProviderContract

/// The OpenFaaS REST API over a provider: the gateway's system routes, and a provider's own interface (contract §3,
/// §21), which are the same.
public struct SystemRoutes: Sendable {
    private let provider: any FunctionProvider
    private let bundles: (any BundleStore)?
    private let namespace: NamespaceChoice
    private let version: ProviderInfo.Version
    private let credentials: Credentials?
    private let invocationCount: @Sendable (FunctionID) -> Double
    private let awaitCallable: @Sendable (FunctionID) async -> Void

    /// Describes the API.
    ///
    /// `invocationCount` answers from counters at hand and never waits. `awaitCallable` returns when a function that
    /// was just created can be called. Without credentials everybody gets in.
    public init(
        provider: any FunctionProvider,
        bundles: (any BundleStore)?,
        defaultNamespace: String,
        version: ProviderInfo.Version,
        credentials: Credentials?,
        invocationCount: @escaping @Sendable (FunctionID) -> Double,
        awaitCallable: @escaping @Sendable (FunctionID) async -> Void
    ) {
        self.provider = provider
        self.bundles = bundles
        namespace = NamespaceChoice(fallback: defaultNamespace)
        self.version = version
        self.credentials = credentials
        self.invocationCount = invocationCount
        self.awaitCallable = awaitCallable
    }

    /// Adds all routes.
    ///
    /// Everything but health needs the credentials.
    public func addRoutes(to router: Router<SystemContext>) {
        HealthRoutes(provider: provider).addRoutes(to: router)
        let guarded = router.group().add(middleware: BasicAuthMiddleware(credentials))
        FunctionRoutes(
            provider: provider,
            namespace: namespace,
            invocationCount: invocationCount,
            awaitCallable: awaitCallable
        ).addRoutes(to: guarded)
        SecretRoutes(provider: provider, namespace: namespace).addRoutes(to: guarded)
        NamespaceRoutes(provider: provider, namespace: namespace).addRoutes(to: guarded)
        LogRoutes(provider: provider, namespace: namespace).addRoutes(to: guarded)
        InfoRoutes(provider: provider, version: version).addRoutes(to: guarded)
        AlertRoutes(provider: provider, namespace: namespace).addRoutes(to: guarded)
        WatchRoutes(provider: provider).addRoutes(to: guarded)
        if let bundles { BundleRoutes(store: bundles).addRoutes(to: guarded) }
    }
}
