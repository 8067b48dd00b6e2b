// SPDX-License-Identifier: Apache-2.0

package import Dispatch
package import Logging
package import NIOCore
package import ProviderContract
package import StoreContract

/// What a provider and its home share.
package struct SupervisionParts: Sendable {
    /// The event loop on which functions are supervised.
    package let loop: any EventLoop
    /// Where secrets and logs lie, and what is a home's own.
    package let directory: DataDirectory
    /// What is desired.
    package let store: any DesiredStore
    /// What routers are told.
    package let feed: RouteFeed
    /// The values of secrets.
    package let secrets: SecretStore
    /// Which run they are of.
    package let generation: Generation
    /// The run before or after, where there is one.
    package let otherRun: OtherRun
    /// File operations that may take a while.
    package let disk: DispatchQueue
    /// Making replicas' folders, which nothing else delays.
    package let folders: DispatchQueue
    /// What happened, for the operator.
    package let logger: Logger
    let logs: FunctionLogs
}
