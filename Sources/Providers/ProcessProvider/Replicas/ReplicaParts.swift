// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import ProcessControl
import ReplicaSupervision

/// What all processes of a provider are made with.
struct ReplicaParts: Sendable {
    /// The event loop on which functions are supervised.
    let loop: any EventLoop
    let spawner: ProcessSpawner
    let ports: PortPool
    let marks: ProcessMarks
    let secrets: SecretStore
    let groups: ControlGroupTree?
    /// Folder of replicas' own folders.
    let runFolder: String
    let otherRun: OtherRun
    let platformURL: String
    /// Making replicas' folders, which nothing else delays.
    let folders: DispatchQueue
    let tidying: FolderTidying
}
