// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import Synchronization

/// The logs of all functions, below one folder: `NAMESPACE/FUNCTION/REPLICA.log`.
///
/// What processes print is read and written on one event loop of its own, whose thread may wait for the disk. Nobody who
/// reads a log does so there: one function's readers hold up no other function.
final class FunctionLogs: Sendable {
    let loop: any EventLoop
    private let folder: String
    /// Logs that are written to, of functions that are being deleted too.
    private let open = Mutex<[ObjectIdentifier: FunctionLog]>([:])
    /// Where the logs of functions that are gone wait for their removal; no namespace is called so.
    private static let left = ".left"

    init(folder: String, loop: any EventLoop) {
        self.folder = folder
        self.loop = loop
    }

    /// The log of a function that there is from now on.
    ///
    /// Asked for once in a function's life: one that is created again under the same name has another log.
    func log(of function: FunctionID) -> FunctionLog {
        let log = FunctionLog(function, folder: "\(folder)/\(function.namespace)/\(function.name)", loop: loop)
        open.withLock { $0[ObjectIdentifier(log)] = log }
        return log
    }

    /// The function is deleted: its name is free for another one's log, and its replicas print their last lines.
    func leave(_ log: FunctionLog) {
        mkdir("\(folder)/\(Self.left)", 0o700)
        log.move(to: "\(folder)/\(Self.left)/\(UUID().uuidString)")
    }

    /// Nothing more will be printed: whoever follows the log comes to its end, and it is removed.
    func remove(_ log: FunctionLog) {
        open.withLock { $0[ObjectIdentifier(log)] = nil }
        // Behind the lines that are on their way.
        loop.execute { log.remove() }
    }

    /// Removes what functions have left that are gone: their deletion was cut short.
    func removeLeftovers(besides functions: Set<FunctionID>) {
        let files = FileManager.default
        try? files.removeItem(atPath: "\(folder)/\(Self.left)")
        for namespace in (try? files.contentsOfDirectory(atPath: folder)) ?? [] {
            for name in (try? files.contentsOfDirectory(atPath: "\(folder)/\(namespace)")) ?? []
            where !functions.contains(FunctionID(name: name, namespace: namespace)) {
                try? files.removeItem(atPath: "\(folder)/\(namespace)/\(name)")
            }
        }
    }

    /// Another run, whose replicas printed into the same folders, has ended: whoever follows reads its last lines.
    func writersHaveEnded() {
        for log in open.withLock({ $0.values.map { $0 } }) { log.lookAgain() }
    }

    /// Writes what is left and ends all followers.
    func close() {
        loop.execute { [self] in
            for log in open.withLock({ $0.values.map { $0 } }) { log.close() }
        }
    }
}
