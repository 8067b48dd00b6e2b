// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import ScalingPolicy
import TestSupport
import Testing

/// What the autoscaler decides, second by second (contract §13).
struct ScalingPolicyTests {
    /// One function whose replicas become what was decided.
    struct Life {
        var rules: ScalingRules
        var bounds = ScalingBounds(min: 1, max: 20)
        var now = Duration.seconds(1000)
        var history: ScalingHistory
        var replicas = 1
        var sample = ScalingSample(started: 0, inFlight: 0)

        init(_ rules: ScalingRules, min: Int = 1, max: Int = 20) {
            self.rules = rules
            bounds = ScalingBounds(min: min, max: max)
            replicas = min
            history = ScalingHistory(now: now)
            history.add(sample, now: now)
        }

        /// One second passes.
        @discardableResult
        mutating func second(
            calls: Int = 0,
            inFlight: Int = 0,
            backlog: Int = 0,
            reading: Double? = nil
        ) -> ScalingDecision {
            now += .seconds(1)
            sample = ScalingSample(
                started: sample.started + UInt64(calls),
                inFlight: inFlight,
                backlog: backlog,
                reading: reading
            )
            history.add(sample, now: now)
            let decision = ScalingPolicy.decide(&history, rules, bounds, current: replicas, now: now)
            replicas = decision.replicas
            return decision
        }

        mutating func seconds(_ count: Int, calls: Int = 0, inFlight: Int = 0, reading: Double? = nil) {
            for _ in 0..<count { second(calls: calls, inFlight: inFlight, reading: reading) }
        }
    }

    @Test func `a sudden load is believed within two seconds, wherever in a second it begins`() {
        for share in [0.01, 0.3, 0.5, 0.99] {
            var life = Life(ScalingRules(target: 50, proportion: 1))
            life.seconds(30)
            life.second(calls: Int(500 * share))
            #expect(life.second(calls: 500).replicas == 10, "begun with \(share) of a second left")
        }
    }

    @Test func `replicas that are no longer needed stay for half a minute, then go`() {
        var life = Life(ScalingRules(target: 50, proportion: 1))
        life.seconds(20, calls: 200)
        #expect(life.replicas == 4)
        life.seconds(29)
        #expect(life.replicas == 4)
        life.seconds(12)
        #expect(life.replicas == 1)
    }

    @Test func `the down window keeps the greatest need of its time, and does not slow the way up`() {
        var life = Life(ScalingRules(mode: .capacity, target: 10, proportion: 1, downWindow: .seconds(120)))
        life.second(inFlight: 80)
        #expect(life.replicas == 8)
        life.seconds(119, inFlight: 25)
        #expect(life.replicas == 8)
        life.second(inFlight: 25)
        #expect(life.replicas == 3)
        #expect(life.second(inFlight: 81).replicas == 9)
    }

    @Test func `a shorter down window lets go sooner`() {
        var life = Life(ScalingRules(mode: .capacity, target: 10, proportion: 1, downWindow: .seconds(5)))
        life.second(inFlight: 80)
        life.seconds(4, inFlight: 5)
        #expect(life.replicas == 8)
        life.second(inFlight: 5)
        #expect(life.replicas == 1)
    }

    @Test func `a function goes to zero when nothing was called for so long, and stays there`() {
        var life = Life(ScalingRules(zeroAfter: .seconds(60)), min: 3, max: 3)
        life.second(calls: 1)
        life.seconds(59)
        #expect(life.replicas == 3)
        let decision = life.second()
        #expect(decision.replicas == 0 && decision.reason == "No call for 1m.", "\(decision)")
        #expect(life.second(calls: 5).replicas == 0, "it was woken by the autoscaler instead of its call")
    }

    @Test func `a call in flight, and one that is due, keep a function from sleeping`() {
        var life = Life(ScalingRules(zeroAfter: .seconds(10)))
        life.seconds(50, inFlight: 1)
        #expect(life.replicas == 1)
        for _ in 0..<50 { life.second(backlog: 1) }
        #expect(life.replicas == 1)
        life.seconds(9)
        #expect(life.replicas == 1)
        #expect(life.second().replicas == 0)
    }

    @Test func `without the label nothing goes to zero`() {
        var life = Life(ScalingRules())
        life.seconds(100_000)
        #expect(life.replicas == 1)
    }

    @Test func `equal bounds are left alone whatever the load`() {
        var life = Life(ScalingRules(), min: 4, max: 4)
        #expect(life.second(calls: 100_000).replicas == 4)
    }

    @Test func `queue, CPU, memory and Prometheus are loads as well`() {
        var queue = Life(ScalingRules(mode: .queue, target: 10, proportion: 1))
        #expect(queue.second(backlog: 35).replicas == 4)
        var memory = Life(ScalingRules(mode: .memory, target: 128 * 1_048_576, proportion: 1))
        #expect(memory.second(reading: 500 * 1_048_576).replicas == 4)
        var custom = Life(ScalingRules(mode: .query("x"), target: 3, proportion: 1))
        #expect(custom.second(reading: 10).replicas == 4)
        var cpu = Life(ScalingRules(mode: .cpu, target: 500, proportion: 0.9))
        cpu.seconds(12, reading: 1700)
        #expect(cpu.replicas == 4)
    }

    @Test func `a short burst of CPU, as a start costs it, starts nothing`() {
        var life = Life(ScalingRules(mode: .cpu, target: 500, proportion: 1))
        life.seconds(12, reading: 100)
        #expect(life.second(reading: 2000).replicas == 1)
    }

    @Test func `an unknown load changes nothing, and says so`() {
        var life = Life(ScalingRules(mode: .memory, target: 10, proportion: 1))
        life.second(reading: 55)
        let decision = life.second()
        #expect(decision.replicas == 6 && decision.isFrozen, "\(decision)")
    }

    @Test func `a platform that starts again under load takes nothing away`() {
        var life = Life(ScalingRules(target: 50))
        life.replicas = 8
        #expect(life.second(calls: 0).replicas == 8)
    }

    @Test func `a new function of the same name begins from nothing`() {
        var life = Life(ScalingRules(target: 50, proportion: 1))
        life.seconds(5, calls: 500)
        life.sample.started = 0
        life.now += .seconds(1)
        life.history.add(life.sample, now: life.now)
        #expect(life.history.load(.rps) == 0)
    }

    @Test func `calls that are seen late, behind a pause, are no sudden rise`() {
        var life = Life(ScalingRules(target: 50, proportion: 1))
        life.seconds(20, calls: 20)
        life.now += .milliseconds(2)
        life.sample.started += 20
        life.history.add(life.sample, now: life.now)
        #expect((life.history.load(.rps) ?? .infinity) < 25)
    }

    // MARK: Properties

    private static func randomRules(_ random: inout SeededGenerator) -> (ScalingRules, ScalingBounds) {
        let modes: [ScalingRules.Mode] = [.rps, .capacity, .queue, .memory, .cpu]
        let rules = ScalingRules(
            mode: modes.randomElement(using: &random) ?? .rps,
            target: Double.random(in: 0.5...200, using: &random),
            proportion: Double.random(in: 0.01...1, using: &random),
            downWindow: Bool.random(using: &random) ? .seconds(Int.random(in: 1...300, using: &random)) : nil,
            zeroAfter: Bool.random(using: &random) ? .seconds(Int.random(in: 1...90, using: &random)) : nil
        )
        let least = Int.random(in: 1...5, using: &random)
        return (rules, ScalingBounds(min: least, max: least + Int.random(in: 0...30, using: &random)))
    }

    @Test func `the number is never outside of its bounds, but for zero where that is allowed`() {
        var random = SeededGenerator()
        for _ in 0..<200 {
            let (rules, bounds) = Self.randomRules(&random)
            var life = Life(rules, min: bounds.min, max: bounds.max)
            for _ in 0..<200 {
                if Int.random(in: 0..<20, using: &random) == 0 {
                    life.replicas = Int.random(in: 0...60, using: &random)
                }
                let wasAsleep = life.replicas == 0
                let decision = life.second(
                    calls: max(0, Int.random(in: -2000...2000, using: &random)),
                    inFlight: max(0, Int.random(in: -500...500, using: &random)),
                    backlog: max(0, Int.random(in: -500...500, using: &random)),
                    reading: Bool.random(using: &random) ? Double.random(in: 0...1e6, using: &random) : nil
                )
                let isAllowed =
                    decision.replicas == 0
                    ? wasAsleep || rules.zeroAfter != nil
                    : decision.replicas >= bounds.min && decision.replicas <= bounds.max
                #expect(isAllowed, "\(decision) of \(rules) in \(bounds), \(random)")
            }
        }
    }

    @Test func `a constant load reaches the formula's answer and never flaps`() {
        var random = SeededGenerator()
        for _ in 0..<200 {
            var (rules, bounds) = Self.randomRules(&random)
            rules.zeroAfter = nil
            let load = Int.random(in: 0...1000, using: &random)
            let exact = (Double(load) / (rules.target * rules.proportion) - 1e-9).rounded(.up)
            let wanted = min(max(Int(exact), bounds.min), bounds.max)
            var life = Life(rules, min: bounds.min, max: bounds.max)
            // Every call reaches every source, so that one loop serves all modes.
            for _ in 0..<11 { life.second(calls: load, inFlight: load, backlog: load, reading: Double(load)) }
            let reached = (0..<300).map { _ in
                life.second(calls: load, inFlight: load, backlog: load, reading: Double(load)).replicas
            }
            #expect(Set(reached) == [wanted], "\(rules) \(bounds) at \(load): \(Set(reached)), \(random)")
        }
    }

    @Test func `a greater load never gets fewer replicas`() {
        var random = SeededGenerator()
        for _ in 0..<200 {
            var (rules, bounds) = Self.randomRules(&random)
            rules.zeroAfter = nil
            var (less, more) = (
                Life(rules, min: bounds.min, max: bounds.max), Life(rules, min: bounds.min, max: bounds.max)
            )
            for _ in 0..<120 {
                let load = max(0, Int.random(in: -300...300, using: &random))
                let greater = load + Int.random(in: 0...50, using: &random)
                let few = less.second(calls: load, inFlight: load, backlog: load, reading: Double(load)).replicas
                let many = more.second(
                    calls: greater,
                    inFlight: greater,
                    backlog: greater,
                    reading: Double(greater)
                ).replicas
                #expect(many >= few, "\(rules) \(bounds) at \(load) and \(greater), \(random)")
            }
        }
    }

    @Test func `floating point does not ask for one more than the sum`() {
        for replicas in 1...100 {
            for (target, proportion) in [(50.0, 0.9), (10, 0.7), (3, 0.1), (0.1, 0.3)] {
                let load = Double(replicas) * target * proportion
                let answer = ScalingPolicy.replicas(
                    forLoad: load,
                    ScalingRules(target: target, proportion: proportion)
                )
                #expect(answer == replicas)
            }
        }
    }
}
