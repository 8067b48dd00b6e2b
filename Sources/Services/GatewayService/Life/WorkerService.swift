// SPDX-License-Identifier: Apache-2.0

import InvocationWorker
import ServiceLifecycle

/// Carries asynchronous calls out from when it is known what there is until the program stops.
///
/// It takes no more calls as soon as the end begins; those in flight end while clients' calls do.
struct WorkerService: Service {
    let worker: InvocationWorker
    let known: Milestone<Void>
    let stopping: Stopping

    func run() async {
        guard await known.reached() != nil else { return }
        await withDiscardingTaskGroup { group in
            group.addTask { await worker.run() }
            await stopping.begins()
            await worker.stop(within: stopping.left)
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }
}
