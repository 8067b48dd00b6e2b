// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import InvocationEngine
public import ProviderContract

/// The OpenFaaS REST API over a provider: the gateway's system routes, and a provider's own interface (contract §3,
/// §21), which are the same.
public struct SystemRoutes: Sendable {
    private let provider: any FunctionProvider
    private let namespace: NamespaceChoice
    private let version: ProviderInfo.Version
    private let invocationCount: @Sendable (FunctionID) -> Double
    private let awaitCallable: @Sendable (FunctionID) async -> Void
    private let contact: ProviderContact
    private let end: EndlessAnswers

    /// Describes the API.
    ///
    /// `invocationCount` answers from counters at hand and never waits. `awaitCallable` returns when a function that
    /// was just created can be called. `loss` tells of a provider that is not heard. `end` is when
    /// whoever follows is to ask somebody else.
    public init(
        provider: any FunctionProvider,
        defaultNamespace: String,
        version: ProviderInfo.Version,
        invocationCount: @escaping @Sendable (FunctionID) -> Double,
        awaitCallable: @escaping @Sendable (FunctionID) async -> Void,
        loss: @escaping @Sendable () -> RoutingTable.LostContact? = { nil },
        end: EndlessAnswers = EndlessAnswers()
    ) {
        self.provider = provider
        namespace = NamespaceChoice(fallback: defaultNamespace)
        self.version = version
        self.invocationCount = invocationCount
        self.awaitCallable = awaitCallable
        contact = ProviderContact(provider, loss: loss)
        self.end = end
    }

    /// Where the API's routes are put: those that ask the provider do not wait for one that is lost.
    package var emptyList: RouteList { RouteList(asking: contact) }

    /// Adds what whoever watches over the platform asks.
    package func addHealth(to routes: inout RouteList) {
        HealthRoutes(provider: provider).addRoutes(to: &routes)
    }

    /// Adds all other routes.
    package func addManagement(to routes: inout RouteList) {
        FunctionRoutes(
            provider: provider,
            namespace: namespace,
            invocationCount: invocationCount,
            awaitCallable: awaitCallable,
            contact: contact
        ).addRoutes(to: &routes)
        SecretRoutes(provider: provider, namespace: namespace).addRoutes(to: &routes)
        NamespaceRoutes(provider: provider, namespace: namespace).addRoutes(to: &routes)
        LogRoutes(provider: provider, namespace: namespace, end: end).addRoutes(to: &routes)
        InfoRoutes(provider: provider, version: version, contact: contact).addRoutes(to: &routes)
        AlertRoutes(provider: provider, namespace: namespace).addRoutes(to: &routes)
        WatchRoutes(provider: provider, end: end).addRoutes(to: &routes)
        BundleRoutes(provider: provider).addRoutes(to: &routes)
    }
}
