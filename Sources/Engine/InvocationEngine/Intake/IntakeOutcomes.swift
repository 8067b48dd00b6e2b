// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import Synchronization

/// What became of the calls that clients of one event loop wanted kept, on its way to that loop.
///
/// Many are kept together, and told of one after another: the loop is called once for all of them.
final class IntakeOutcomes: Sendable {
    private struct Outcome {
        let exchange: NIOLoopBound<IntakeExchange>
        let result: Result<IntakeReceipt, PlatformFault>
    }

    private let loop: any EventLoop
    private struct State {
        var waiting: [Outcome] = []
        /// Room for the next ones.
        var room: [Outcome] = []
    }

    private let state = Mutex(State())

    init(loop: any EventLoop) { self.loop = loop }

    /// Lets the loop answer, soon.
    func tell(_ exchange: NIOLoopBound<IntakeExchange>, _ result: Result<IntakeReceipt, PlatformFault>) {
        let isFirst = state.withLock { state in
            state.waiting.append(Outcome(exchange: exchange, result: result))
            return state.waiting.count == 1
        }
        if isFirst { loop.execute { self.deliver() } }
    }

    private func deliver() {
        var outcomes = state.withLock { state in
            let outcomes = state.waiting
            state.waiting = state.room
            state.room = []
            return outcomes
        }
        for outcome in outcomes { outcome.exchange.value.ended(outcome.result) }
        outcomes.removeAll(keepingCapacity: true)
        state.withLock { $0.room = outcomes }
    }
}
