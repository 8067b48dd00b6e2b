// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Testing

@testable import ReplicaSupervision

/// Desired numbers of replicas on their way to the disk.
struct DesiredReplicasTests {
    private let id = FunctionID(name: "fn", namespace: "here")

    /// Waits for what is desired, and writes as the provider does, with an outcome.
    private func settle(_ desired: inout DesiredReplicas, succeeds: Bool) {
        guard let (numbers, _) = desired.take() else { return }
        if succeeds { desired.written(numbers) }
    }

    @Test func `what is on disk is known however many writes fail`() async {
        var desired = DesiredReplicas()
        desired.desire(5, of: id, onDisk: 1)
        #expect(desired.isPending(id) && desired.onDisk[id] == 1)
        let outcome = await withCheckedContinuation { (waiting: CheckedContinuation<DesiredReplicas.Outcome, Never>) in
            let isFirst = desired.wait(waiting)
            #expect(isFirst)
            settle(&desired, succeeds: false)
            waiting.resume(returning: .success(()))
        }
        #expect((try? outcome.get()) != nil)
        #expect(desired.isPending(id), "its fate is known only when the next ones are taken")
        // Desired again beside the failed write: it stands in a write of its own.
        desired.desire(5, of: id, onDisk: 5)
        #expect(desired.pending[id] == 5 && desired.onDisk[id] == 1)
        desired.written([id: 5])
        #expect(desired.onDisk[id] == 5)
        desired.forget(id)
        #expect(desired.pending.isEmpty && desired.onDisk.isEmpty)
    }
}
