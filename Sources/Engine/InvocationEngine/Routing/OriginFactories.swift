// SPDX-License-Identifier: Apache-2.0

import FaultModel
package import ProviderContract

/// What begins calls at one target on one event loop.
package protocol OriginSource: AnyObject {
    /// Gives a call an origin or refuses it, before this returns; its slot at the replica is taken.
    func begin(_ call: OriginCall)
}

/// The ways to carry out calls that an engine has, one for each kind of target.
///
/// A factory is asked once for each replica and event loop, when its route arrives; what it makes carries out all calls
/// there.
public struct OriginFactories: Sendable {
    private typealias Factory = @Sendable (any InvocationTarget) -> (any OriginSource)?

    private var byKind: [ObjectIdentifier: Factory] = [:]
    private let security: (any UpstreamSecurity)?

    /// Those for servers, processes and files; servers by TLS only where there is a security.
    public init(security: (any UpstreamSecurity)? = nil) {
        self.security = security
        register(Upstream.self) { UpstreamServer($0, security: security) }
        register(ProcessTarget.self) { ProcessSource($0) }
        register(FolderTarget.self) { FolderSource($0) }
    }

    /// Registers the factory of a kind of target, in place of the one before.
    package mutating func register<Target: InvocationTarget>(
        _ kind: Target.Type,
        _ make: @escaping @Sendable (Target) -> any OriginSource
    ) {
        byKind[ObjectIdentifier(kind)] = { target in (target as? Target).map(make) }
    }

    /// What carries out calls at a target.
    func source(for target: any InvocationTarget) -> any OriginSource {
        byKind[ObjectIdentifier(type(of: target as Any))]?(target) ?? UnknownTarget()
    }
}

/// Stands in where a provider names a kind of target that this program has no factory for.
private final class UnknownTarget: OriginSource {
    func begin(_ call: OriginCall) {
        call.refuse(
            PlatformFault(
                .notSupported,
                "\(call.functionName) runs in a way that this program cannot call.",
                hint: "Its provider and this program may be of different versions."
            )
        )
    }
}
