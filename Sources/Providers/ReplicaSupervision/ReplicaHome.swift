// SPDX-License-Identifier: Apache-2.0

package import FaultModel
package import FunctionModel
package import NIOCore
package import ProcessControl
package import ProviderContract
package import StoreContract

/// Where replicas live: what one kind of provider does in its own way (processes of this machine, containers of an engine).
///
/// `SupervisingProvider` keeps functions as they are desired, and asks a home for what differs. Methods that are not marked
/// otherwise are called on the supervision loop, in the provider's isolation.
package protocol ReplicaHome: Sendable {
    /// A revision as this home runs it.
    associatedtype Revision: HomeRevision
    /// A replica here.
    associatedtype Running: SupervisedReplica where Running.Revision == Revision

    /// What `info` says of the provider, and of what it runs functions by.
    var names: (provider: String, orchestration: String) { get }

    /// How the provider behaves where that is its own choice.
    var behaviours: ProviderBehaviours { get }

    /// Returns when replicas can be started; throws the fault that keeps them from it.
    func checkHealth() async throws(PlatformFault)

    // MARK: Life

    /// Looks at what runs before left, before anything is started; what happens to replicas is followed from here on.
    ///
    /// - Throws: the fault that keeps the provider from starting.
    func prepare() async throws(PlatformFault)

    /// All that is stored has been asked for: what of an earlier run nobody has claimed is nobody's, unless the run before
    /// is still ending its calls.
    func begin(_ provider: SupervisingProvider<Self>) async

    /// The run before, whose replicas were still ending their calls, is gone: what is left of them can be removed.
    func predecessorEnded() async

    /// Removes what no function uses any more, and what runs of these generations have left half-done, which are over.
    func tidy(_ provider: SupervisingProvider<Self>, after generations: [Generation]) async

    /// No replica will be started any more; those that are told to stop from now on end with the provider.
    func close()

    /// All replicas are gone.
    func end() async

    // MARK: Revisions

    /// Brings what a function needs from elsewhere, however long that takes; other functions are changed meanwhile.
    ///
    /// - Throws: as `pin`.
    func fetch(_ spec: FunctionSpec) async throws(PlatformFault)

    /// Pins an image: the digest of what its name stands for now, and will for all replicas of the revision; nil where
    /// there is nothing to pin.
    ///
    /// Nothing else is changed meanwhile: it is quick. - Throws: `imageNotFound`; `invalidValue` naming what cannot be honoured here.
    func pin(_ spec: FunctionSpec) async throws(PlatformFault) -> String?

    /// A spec and what it is pinned to, with this home's defaults filled in.
    ///
    /// A stored one is not refused because something else cannot be reached at the moment: its function would be lost to
    /// this run. - Throws: `invalidValue` naming what cannot be run.
    func revision(_ spec: FunctionSpec, _ stored: StoredRevision) async throws(PlatformFault) -> Revision

    /// Refuses a new revision that can be run and would not be kept as it asks.
    ///
    /// - Throws: `invalidValue` saying why.
    func check(_ revision: Revision) throws(PlatformFault)

    /// Whether all limits that it asks for are kept here.
    func keepsLimits(of revision: Revision) -> Bool

    /// Whether limits of memory, CPU and processes are kept here.
    var limitsAreEnforced: Bool { get }

    /// Whether nobody on this machine has the port, which only one replica can have.
    func canHavePort(_ port: Int) -> Bool

    // MARK: Replicas

    /// The number from which on a function's replicas are counted: above those of an earlier run that may be claimed.
    func firstNumber(of id: FunctionID) -> Int

    /// A replica that has not been started.
    ///
    /// Starting it may mean to claim one of the same revision that an earlier run has left.
    func replica(_ order: ReplicaOrder<Revision>) -> Running

    /// The function is being deleted: nothing is kept for its next replica.
    func forget(_ log: FunctionLog)

    /// What replicas use; those of which nothing is known are left out.
    func usage(of replicas: [Int: Running]) async -> [Int: ResourceUsage]

    /// Gives running replicas a secret's new value; returns how many could not be given it.
    func replaceSecret(_ name: String, by value: [UInt8], in replicas: [Running]) async -> Int

    /// The images that a provider of this home keeps; nil where they come from elsewhere.
    func images(of provider: SupervisingProvider<Self>) -> (any ImageFacet)?
}

/// A revision of a function as its home runs it.
package protocol HomeRevision: Sendable {
    /// Its number, from 1.
    var number: Int { get set }
    /// What was asked for, with the home's defaults.
    var spec: FunctionSpec { get }
    /// The one port of the machine that its replica needs; nil where each finds one of its own.
    var fixedPort: Int? { get }
}

extension ReplicaHome {
    /// Nothing.
    package func fetch(_ spec: FunctionSpec) async throws(PlatformFault) {}

    /// The first.
    package func firstNumber(of id: FunctionID) -> Int { 1 }
}

extension HomeRevision {
    /// None.
    package var fixedPort: Int? { nil }

    /// Whether two of its replicas cannot be up at once.
    var isExclusive: Bool { fixedPort != nil }

    func holds(_ secret: String) -> Bool { spec.run.secrets.contains(secret) }
}

/// One replica at its home, confined to the supervision loop.
///
/// It reports what happens to it by its order's callbacks, on the loop and never before `start` has returned.
package protocol SupervisedReplica: AnyObject {
    associatedtype Revision: HomeRevision

    /// Unique within its function.
    var name: String { get }
    /// What it runs.
    var revision: Revision { get }
    /// What routers call: there once it is ready, and the same from then on. One that is reached elsewhere later is another
    /// replica, and this one is gone.
    var replica: Replica? { get }
    /// When it became ready first.
    var readyAt: NIODeadline? { get }

    /// Starts it; called once.
    func start()

    /// Ends it: politely, after its grace period by force. `onEnd` follows.
    func stop()

    /// Ends it now. `onEnd` follows.
    func kill()
}

/// What a replica is made by.
package struct ReplicaOrder<Revision: HomeRevision> {
    /// What it is to run.
    package let revision: Revision
    /// What it is called in logs, unique within its function.
    package let name: String
    /// Where what it prints goes.
    package let log: FunctionLog
    /// Whether it is the one that a successor of this platform has on the function's own port: nothing is started.
    package let isBorrowed: Bool
    /// It takes calls; once, and again after each `onUnready`.
    package let onReady: () -> Void
    /// Nobody knows whether it takes calls: it gets no new ones until it is ready again.
    package let onUnready: () -> Void
    /// It is gone, with everything it held; called once.
    package let onEnd: (ReplicaEnd) -> Void
}

/// Why a replica is gone.
package enum ReplicaEnd: Equatable {
    /// As it was told.
    case stopped
    /// By itself or against its will: the end of a sentence that begins with its name.
    case failed(String)
}
