// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel

/// Desired numbers of replicas on their way to the disk: many that come together are written in one transaction.
///
/// A burst on sleeping functions asks for hundreds of them at once. Confined to the provider.
struct DesiredReplicas {
    typealias Outcome = Result<Void, PlatformFault>

    /// The numbers that are not on disk yet, the last one of each function.
    private(set) var pending: [FunctionID: Int] = [:]
    /// The numbers that are on disk, of functions that were scaled.
    private(set) var onDisk: [FunctionID: Int] = [:]
    private var waiting: [CheckedContinuation<Outcome, Never>] = []
    /// Whether somebody writes, who takes what comes meanwhile next.
    private(set) var isWriting = false
    private var inFlight: Set<FunctionID> = []

    /// Whether a number of a function is not on disk yet.
    func isPending(_ id: FunctionID) -> Bool { pending[id] != nil || inFlight.contains(id) }

    /// Takes a number over; `before` is what is on disk unless that is known from an earlier one.
    mutating func desire(_ replicas: Int, of id: FunctionID, onDisk before: Int) {
        pending[id] = replicas
        if onDisk[id] == nil { onDisk[id] = before }
    }

    /// Numbers have come to the disk.
    mutating func written(_ numbers: [FunctionID: Int]) {
        for (id, replicas) in numbers where onDisk[id] != nil { onDisk[id] = replicas }
    }

    /// The function is gone: a later one of its name begins with its own number.
    mutating func forget(_ id: FunctionID) {
        pending[id] = nil
        onDisk[id] = nil
    }

    /// Lets somebody wait for what is desired now; true when nobody writes yet.
    mutating func wait(_ continuation: CheckedContinuation<Outcome, Never>) -> Bool {
        waiting.append(continuation)
        defer { isWriting = true }
        return !isWriting
    }

    /// Everything that is to be written next, and who waits for it; nil when there is nothing, and the writing is over.
    mutating func take() -> (numbers: [FunctionID: Int], waiting: [CheckedContinuation<Outcome, Never>])? {
        inFlight = Set(pending.keys)
        guard !waiting.isEmpty else {
            isWriting = false
            return nil
        }
        defer { (pending, waiting) = ([:], []) }
        return (pending, waiting)
    }
}
