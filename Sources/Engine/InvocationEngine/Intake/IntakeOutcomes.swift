// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import Synchronization

/// What became of the calls that clients of one event loop wanted kept, on its way to that loop.
///
/// Many are kept together, and told of one after another: the loop is called once for all of them.
final class IntakeOutcomes: Sendable {
    private struct Outcome {
        let origin: NIOLoopBound<IntakeOrigin>
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
    func tell(_ origin: NIOLoopBound<IntakeOrigin>, _ result: Result<IntakeReceipt, PlatformFault>) {
        let isFirst = state.withLock { state in
            state.waiting.append(Outcome(origin: origin, result: result))
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
        for outcome in outcomes { outcome.origin.value.ended(outcome.result) }
        outcomes.removeAll(keepingCapacity: true)
        state.withLock { $0.room = outcomes }
    }
}

/// Where calls of one event loop are taken in.
final class IntakeDesk {
    let intake: any CallIntake
    private let loop: any EventLoop
    private let outcomes: IntakeOutcomes

    init(_ intake: any CallIntake, loop: any EventLoop) {
        self.intake = intake
        self.loop = loop
        outcomes = IntakeOutcomes(loop: loop)
    }

    /// Has a call kept; its origin hears of the outcome on the event loop.
    func accept(_ request: IntakeRequest, for origin: IntakeOrigin) {
        let bound = NIOLoopBound(origin, eventLoop: loop)
        let outcomes = outcomes
        intake.accept(request) { outcomes.tell(bound, $0) }
    }
}
