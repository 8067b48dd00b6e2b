// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import PromiseChecks
public import ProviderContract

/// A provider together with what the suite needs to exercise it.
public protocol ProviderUnderTest: Sendable {
    /// The provider; without functions, and with the default namespace alone.
    var provider: any FunctionProvider { get }

    /// The namespace of functions that name none.
    var defaultNamespace: String { get }

    /// A function that becomes ready soon and stays so. Different `variant`s are different deployments.
    func healthy(_ name: String, variant: String) -> FunctionDeployment

    /// A function that is accepted and never becomes ready.
    func failing(_ name: String) -> FunctionDeployment

    /// How long the provider may take for what it does by itself, as starting a replica.
    var patience: Duration { get }

    /// How many functions, each with a replica, it can have at once within a test's time.
    var crowd: Int { get }

    /// The same provider killed and started again, any number of times; nil where that cannot be done.
    ///
    /// Nothing is asked of the one before, which may be the same one where it outlives what keeps its state.
    func startedAgain() async throws -> (any FunctionProvider)?

    /// How the provider loses contact with its functions; nil where a test cannot make it.
    var contact: ContactUnderTest? { get }
}

extension ProviderUnderTest {
    /// 20 s.
    public var patience: Duration { .seconds(20) }

    /// 1,000.
    public var crowd: Int { 1000 }

    /// It cannot be started again.
    public func startedAgain() async throws -> (any FunctionProvider)? { nil }

    /// None that a test can make it lose.
    public var contact: ContactUnderTest? { nil }
}

/// What a test does to a provider that may lose contact with its functions.
public struct ContactUnderTest: Sendable {
    let lose: @Sendable (PlatformFault) -> Void
    let hearAgain: @Sendable () -> Void

    /// Says how contact is lost, and how it is had again.
    public init(
        lose: @escaping @Sendable (PlatformFault) -> Void,
        hearAgain: @escaping @Sendable () -> Void
    ) {
        self.lose = lose
        self.hearAgain = hearAgain
    }
}

/// Deploying as the API does it: what is sent is parsed first.
extension FunctionProvider {
    /// Makes a function of a deployment.
    public func create(_ deployment: FunctionDeployment) async throws(PlatformFault) {
        try await create(try FunctionSpec(deployment))
    }

    /// Updates a function by a deployment.
    @discardableResult
    public func update(
        _ deployment: FunctionDeployment,
        forced: Bool = false
    ) async throws(PlatformFault) -> UpdateOutcome {
        try await update(try FunctionSpec(deployment), forced: forced)
    }
}

/// One promise of `FunctionProvider`, to be checked on a provider of its own.
public typealias ProviderCheck = PromiseCheck<any ProviderUnderTest>

extension PromiseCheck where Subject == any ProviderUnderTest {
    /// `applies` says whether a provider with certain capabilities makes the promise.
    init(
        _ description: String,
        when applies: @escaping @Sendable (ProviderCapabilities) -> Bool,
        _ body: @escaping @Sendable (any ProviderUnderTest) async throws -> Void
    ) {
        self.init(description) { subject in
            guard applies(subject.provider.capabilities) else { return }
            try await body(subject)
        }
    }
}
