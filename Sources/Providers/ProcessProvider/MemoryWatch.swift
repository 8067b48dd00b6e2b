// SPDX-License-Identifier: Apache-2.0

import Dispatch
import NIOCore
import ProcessControl
import ReplicaSupervision
import Synchronization

/// Ends replicas that use more memory than they may, where no control group does so.
final class MemoryWatch: Sendable {
    private struct State {
        var task: RepeatedTask?
        var isLooking = false
        var table: (at: ContinuousClock.Instant, groups: [Int32: ResourceUsage])?
    }

    private let loop: any EventLoop
    private let state = Mutex(State())

    init(loop: any EventLoop) { self.loop = loop }

    func begin(_ provider: LocalProcessProvider) {
        let task = loop.scheduleRepeatedTask(initialDelay: .milliseconds(250), delay: .milliseconds(250)) { [self] _ in
            provider.assumeIsolated { provider in
                guard provider.functions.values.contains(where: \.needsMemoryWatch), beginLooking() else { return }
                // Unowned: one look at the table of processes, which the provider's end makes void.
                Task { await provider.enforceMemory(by: self) }
            }
        }
        state.withLock { $0.task = task }
    }

    func end() { state.withLock { $0.task }?.cancel() }

    private func beginLooking() -> Bool {
        state.withLock { state in
            defer { state.isLooking = true }
            return !state.isLooking
        }
    }

    func endLooking() { state.withLock { $0.isLooking = false } }

    /// What the system knows of process groups, at most a moment old: many functions are asked about at once.
    func processTable() async -> [Int32: ResourceUsage] {
        let now = ContinuousClock.now
        if let known = state.withLock({ $0.table }), now - known.at < .milliseconds(200) { return known.groups }
        let groups = await withCheckedContinuation { continuation in
            DispatchQueue.global(qos: .utility).async { continuation.resume(returning: ProcessTable.groupUsages()) }
        }
        state.withLock { $0.table = (now, groups) }
        return groups
    }
}

extension SupervisingProvider where Home == ProcessHome {
    /// The table is read elsewhere: where there are many processes that takes long, and no function waits for it.
    fileprivate func enforceMemory(by watch: MemoryWatch) async {
        let table = await watch.processTable()
        for function in functions.values where function.needsMemoryWatch { function.enforceMemory(table) }
        watch.endLooking()
    }
}

extension FunctionSupervisor where Home == ProcessHome {
    /// Whether memory has to be watched here, since no control group does it.
    fileprivate var needsMemoryWatch: Bool {
        newest.limits.memoryBytes != nil && replicas.values.contains(where: \.isInTableAlone)
    }

    /// Ends replicas that use more memory than they may, where no control group does it.
    fileprivate func enforceMemory(_ table: [Int32: ResourceUsage]) {
        guard let limit = newest.limits.memoryBytes else { return }
        for replica in replicas.values where replica.group == nil {
            guard let processID = replica.processID, let usage = table[processID],
                usage.memoryBytes > UInt64(limit)
            else { continue }
            replica.killForMemory()
        }
    }
}
