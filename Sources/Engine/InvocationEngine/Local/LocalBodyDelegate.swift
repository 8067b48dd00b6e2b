// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Carries the consumer's demand for more of a request body back to the connection's event loop.
final class LocalBodyDelegate: NIOAsyncSequenceProducerDelegate, Sendable {
    private let demand: @Sendable () -> Void
    private let end: @Sendable () -> Void

    init(demand: @escaping @Sendable () -> Void, end: @escaping @Sendable () -> Void) {
        self.demand = demand
        self.end = end
    }

    func produceMore() { demand() }

    func didTerminate() { end() }
}
