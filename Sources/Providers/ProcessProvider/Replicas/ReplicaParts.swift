// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import ProcessControl

/// What all replicas of a provider are made with.
struct ReplicaParts: Sendable {
    /// The event loop on which functions are supervised.
    let loop: any EventLoop
    let spawner: ProcessSpawner
    let ports: PortPool
    let logs: FunctionLogs
    let marks: ProcessMarks
    let secrets: SecretStore
    let groups: ControlGroupTree?
    /// Folder of replicas' own folders.
    let runFolder: String
    /// Which run they are of.
    let generation: Generation
    let otherRun: OtherRun
    let platformURL: String
    /// File operations that may take a while.
    let disk: DispatchQueue
    /// Making replicas' folders, which nothing else delays.
    let folders: DispatchQueue
    let tidying: FolderTidying
}
