// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import ProviderContract

/// What begins calls at one replica on one event loop.
package protocol OriginSource: AnyObject {
    /// Gives a call an origin or refuses it, before this returns; its slot at the replica is taken.
    func begin(_ call: OriginCall)

    /// Whether calls had better go elsewhere for a moment.
    func isSuspect(at now: NIODeadline) -> Bool

    /// Gives up what it keeps open for the next call.
    func closeIdle()

    /// Keeps nothing open from now on.
    func retire()
}

extension OriginSource {
    /// It never is.
    package func isSuspect(at now: NIODeadline) -> Bool { false }

    /// Nothing is kept open.
    package func closeIdle() {}

    /// Nothing is kept open.
    package func retire() {}
}

/// One call for those who carry calls out; what it is and what they may do with it is the exchange's matter.
package struct OriginCall {
    let object: AnyObject
}

/// The ways to carry out calls that an engine has, one for each kind of target.
///
/// A factory is asked once for each replica and event loop, when its route arrives; what it makes carries out all calls
/// there.
public struct OriginFactories: Sendable {
    private typealias Factory = @Sendable (any InvocationTarget, Replica) -> (any OriginSource)?

    private var byKind: [ObjectIdentifier: Factory] = [:]
    private let unknown: @Sendable () -> any OriginSource

    /// Those of no kind of target; `unknown` stands in where a provider names one that there is no factory for.
    init(unknown: @escaping @Sendable () -> any OriginSource) { self.unknown = unknown }

    /// Registers the factory of a kind of target, in place of the one before.
    package mutating func register<Target: InvocationTarget>(
        _ kind: Target.Type,
        _ make: @escaping @Sendable (Target) -> any OriginSource
    ) {
        register(kind) { target, _ in make(target) }
    }

    /// The same for those that need to know of the replica, too.
    mutating func register<Target: InvocationTarget>(
        _ kind: Target.Type,
        _ make: @escaping @Sendable (Target, Replica) -> any OriginSource
    ) {
        byKind[ObjectIdentifier(kind)] = { target, replica in (target as? Target).map { make($0, replica) } }
    }

    /// What carries out calls at a replica.
    func source(for replica: Replica) -> any OriginSource {
        let target = replica.target
        return byKind[ObjectIdentifier(type(of: target as Any))]?(target, replica) ?? unknown()
    }
}
