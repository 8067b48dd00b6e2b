// SPDX-License-Identifier: Apache-2.0

import GatewayService
import ServiceLifecycle

/// Keeps the queue open until nobody uses it any more.
struct QueueService: Service {
    let queue: PlatformQueue
    /// How long a queue elsewhere may take before the program begins without it.
    let patience: Duration

    func run() async {
        await cancelWhenGracefulShutdown { await queue.settle(within: patience) }
        queue.asynchrony.settled.reach(())
        try? await gracefulShutdown()
        await queue.close()
    }
}
