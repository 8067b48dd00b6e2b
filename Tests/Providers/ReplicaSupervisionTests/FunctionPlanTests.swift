// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import ReplicaSupervision

struct FunctionPlanTests {
    private func ready(_ count: Int, revision: Int = 1) -> FunctionPlan {
        var plan = FunctionPlan(newest: revision, serving: 0, desired: 0, isExclusive: false)
        _ = plan.setDesired(count)
        for id in plan.members.map(\.id) { _ = plan.becameReady(id) }
        return plan
    }

    @Test func `desired replicas are started`() {
        var plan = FunctionPlan(newest: 1, serving: 0, desired: 0, isExclusive: false)
        #expect(plan.setDesired(2) == [.start(id: 1, revision: 1), .start(id: 2, revision: 1)])
        #expect(plan.published.isEmpty)
        #expect(plan.becameReady(1).isEmpty)
        #expect(plan.published == [1])
        #expect(plan.serving == 1, "it answers calls")
        #expect(plan.becameReady(2).isEmpty)
        #expect(plan.isSettled)
    }

    @Test func `scaling down drains the youngest, then stops it`() {
        var plan = ready(3)
        #expect(plan.setDesired(1) == [.drain(id: 3), .drain(id: 2)])
        #expect(plan.published == [1])
        #expect(plan.drained(3) == [.stop(id: 3)])
        #expect(plan.ended(3).isEmpty)
    }

    @Test func `a replica of which nothing is known gets no call, and is neither replaced nor a failure`() {
        var plan = ready(2)
        #expect(plan.becameUnready(1).isEmpty)
        #expect(plan.published == [2])
        #expect(plan.becameReady(1).isEmpty)
        #expect(plan.published.sorted() == [1, 2])
        _ = plan.setNewest(2, isExclusive: false)
        _ = plan.becameUnready(1)
        #expect(plan.ended(1) == [.start(id: 5, revision: 1)])
        #expect(plan.rejected == nil && plan.answering == 1)
    }

    @Test func `a replica of which nothing is known is drained when it is one too many: its calls may go on`() {
        var plan = ready(2)
        _ = plan.becameUnready(1)
        #expect(plan.setDesired(1) == [.drain(id: 1)])
        #expect(plan.becameReady(1).isEmpty, "too late")
        #expect(plan.published == [2])
        #expect(plan.drained(1) == [.stop(id: 1)])
    }

    @Test func `a crashed replica is replaced`() {
        var plan = ready(2)
        #expect(plan.ended(1) == [.start(id: 3, revision: 1)])
    }

    @Test func `a held-back revision is not started until its time has come`() {
        var plan = ready(1)
        plan.holdBack(1)
        #expect(plan.ended(1).isEmpty)
        #expect(plan.release(1) == [.start(id: 2, revision: 1)])
    }

    @Test func `an update serves the old revision until all of the new one is ready`() {
        var plan = ready(2)
        #expect(plan.setNewest(2, isExclusive: false) == [.start(id: 3, revision: 2), .start(id: 4, revision: 2)])
        #expect(plan.becameReady(3).isEmpty)
        #expect(plan.published == [1, 2])
        #expect(plan.becameReady(4) == [.drain(id: 1), .boundDrain(id: 1), .drain(id: 2), .boundDrain(id: 2)])
        #expect(plan.published == [3, 4])
        #expect(plan.serving == 2)
    }

    @Test func `a new revision that fails leaves the old one serving, and heals it too`() {
        var plan = ready(1)
        _ = plan.setNewest(2, isExclusive: false)
        plan.holdBack(2)
        #expect(plan.ended(2).isEmpty)
        #expect(plan.published == [1])
        #expect(plan.ended(1) == [.start(id: 3, revision: 1)])
    }

    @Test func `an update at zero replicas wakes the new revision, not the old one`() {
        var plan = ready(1)
        _ = plan.setDesired(0)
        _ = plan.drained(1)
        _ = plan.ended(1)
        #expect(plan.setNewest(2, isExclusive: false).isEmpty)
        #expect(plan.setDesired(2) == [.start(id: 2, revision: 2), .start(id: 3, revision: 2)])
        #expect(plan.becameReady(2).isEmpty)
        #expect(plan.published == [2] && plan.serving == 2, "the first one answers, since nothing else does")
        #expect(plan.becameReady(3).isEmpty)
        #expect(plan.published == [2, 3])
    }

    @Test func `an update in flight at zero replicas goes on with the new revision`() {
        var plan = ready(1)
        _ = plan.setNewest(2, isExclusive: false)
        #expect(plan.setDesired(0) == [.drain(id: 1), .stop(id: 2)])
        #expect(plan.setDesired(1) == [.start(id: 3, revision: 2)])
        #expect(plan.answering == 2)
    }

    @Test func `a new revision that fails when it is woken leaves the calls to the old one`() {
        var plan = ready(1)
        _ = plan.setDesired(0)
        _ = plan.setNewest(2, isExclusive: false)
        #expect(plan.setDesired(1) == [.start(id: 2, revision: 2)])
        plan.holdBack(2)
        #expect(plan.ended(2) == [.start(id: 3, revision: 1)])
        #expect(plan.becameReady(3).isEmpty)
        #expect(plan.published == [3])
        // It is known now: the next wake does not wait for another failure.
        #expect(plan.setDesired(0) == [.drain(id: 3)])
        #expect(plan.setDesired(1) == [.start(id: 4, revision: 1)])
        #expect(plan.release(2) == [.start(id: 5, revision: 2)])
        _ = plan.becameReady(4)
        #expect(plan.published == [4])
        #expect(plan.becameReady(5) == [.drain(id: 4), .boundDrain(id: 4)])
        #expect(plan.published == [5])
    }

    @Test func `a third revision replaces a woken second one only when it is ready`() {
        var plan = ready(1)
        _ = plan.setDesired(0)
        _ = plan.setNewest(2, isExclusive: false)
        _ = plan.setDesired(2)
        _ = plan.becameReady(2)
        #expect(plan.setNewest(3, isExclusive: false) == [.start(id: 4, revision: 3), .start(id: 5, revision: 3)])
        #expect(plan.published == [2])
    }

    @Test func `what was desired before a restart is started anew, the serving revision too`() {
        var plan = FunctionPlan(newest: 2, serving: 1, desired: 0, isExclusive: false)
        #expect(plan.setDesired(1) == [.start(id: 1, revision: 1), .start(id: 2, revision: 2)])
        #expect(plan.answering == 1)
    }

    @Test func `a third revision gives up the second`() {
        var plan = ready(1)
        _ = plan.setNewest(2, isExclusive: false)
        #expect(plan.setNewest(3, isExclusive: false) == [.stop(id: 2), .start(id: 3, revision: 3)])
    }

    @Test func `on a fixed port the old replica goes before the new one comes`() {
        var plan = FunctionPlan(newest: 1, serving: 0, desired: 0, isExclusive: true)
        _ = plan.setDesired(1)
        _ = plan.becameReady(1)
        #expect(plan.setNewest(2, isExclusive: true) == [.drain(id: 1), .boundDrain(id: 1)])
        #expect(plan.drained(1) == [.stop(id: 1)])
        #expect(plan.ended(1) == [.start(id: 2, revision: 2)])
        #expect(plan.becameReady(2).isEmpty)
        #expect(plan.serving == 2)
    }

    @Test func `on a fixed port a new revision that fails gives the old one its place back`() {
        var plan = FunctionPlan(newest: 1, serving: 0, desired: 0, isExclusive: true)
        _ = plan.setDesired(1)
        _ = plan.becameReady(1)
        _ = plan.setNewest(2, isExclusive: true)
        _ = plan.drained(1)
        _ = plan.ended(1)
        plan.holdBack(2)
        #expect(plan.ended(2) == [.start(id: 3, revision: 1)])
        #expect(plan.becameReady(3).isEmpty)
        #expect(plan.published == [3])
        #expect(plan.release(2).isEmpty)
    }

    @Test func `scaling to zero stops what is only starting and drains what is ready`() {
        var plan = ready(1)
        _ = plan.setDesired(2)
        #expect(plan.setDesired(0).sorted { "\($0)" < "\($1)" } == [.drain(id: 1), .stop(id: 2)])
    }

    @Test func `a replica that drains for a fixed port's sake does not drain for ever`() {
        var plan = ready(2)
        #expect(plan.setDesired(1) == [.drain(id: 2)])
        #expect(plan.setNewest(2, isExclusive: true) == [.drain(id: 1), .boundDrain(id: 1), .boundDrain(id: 2)])
    }

    /// Whatever happens in whatever order: what is published is ready, and in the end there is what was desired.
    @Test(arguments: 0..<200)
    func `any history ends as desired`(seed: Int) {
        var generator = SeededGenerator(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1)
        var plan = FunctionPlan(newest: 1, serving: 0, desired: 0, isExclusive: seed % 4 == 0)
        var newest = 1
        for _ in 0..<60 {
            let id = plan.members.randomElement(using: &generator)?.id ?? 0
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: _ = plan.setDesired(Int.random(in: 0...3, using: &generator))
            case 1:
                newest += 1
                _ = plan.setNewest(newest, isExclusive: plan.isExclusive)
            case 2, 3: _ = plan.becameReady(id)
            case 4: _ = plan.drained(id)
            case 6: _ = plan.becameUnready(id)
            case 5: _ = plan.ended(id)
            default: plan.holdBack(newest)
            }
            for id in plan.published { #expect(plan.members.contains { $0.id == id && $0.phase == .ready }) }
        }
        _ = plan.setNewest(newest + 1, isExclusive: plan.isExclusive)
        _ = plan.release(newest + 1)
        for _ in 0..<100 {
            for member in plan.members {
                switch member.phase {
                case .starting, .unknown: _ = plan.becameReady(member.id)
                case .draining: _ = plan.drained(member.id)
                case .stopping: _ = plan.ended(member.id)
                case .ready: break
                }
            }
        }
        let desired = plan.isExclusive ? min(plan.desired, 1) : plan.desired
        #expect(plan.members.count == desired && plan.published.count == desired, "\(plan)")
    }
}

/// The same numbers for the same seed.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
