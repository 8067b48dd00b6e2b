// SPDX-License-Identifier: Apache-2.0

public import FunctionModel

/// How many replicas a function may have.
public struct ScalingBounds: Sendable, Equatable {
    /// The least, 1 or more; sleeping functions have none.
    public var min: Int
    /// The most, at least `min`.
    public var max: Int

    /// Makes bounds.
    public init(min: Int, max: Int) {
        self.min = min
        self.max = Swift.max(min, max)
    }

    func clamp(_ count: Int) -> Int { Swift.min(Swift.max(count, min), max) }
}

/// How many replicas a function should have, and why.
public struct ScalingDecision: Sendable, Equatable {
    /// The number of replicas.
    public var replicas: Int
    /// A sentence.
    public var reason: String
    /// The load that was looked at; nil where it was unknown.
    public var load: Double?
    /// Whether nothing can be decided, because the load is not known.
    public var isFrozen: Bool

    /// Makes a decision.
    public init(replicas: Int, reason: String, load: Double? = nil, isFrozen: Bool = false) {
        self.replicas = replicas
        self.reason = reason
        self.load = load
        self.isFrozen = isFrozen
    }
}

/// Decides how many replicas a function should have (contract §13).
///
/// Pure: the same history, rules and moment give the same decision, and all that changes is the history handed in.
public enum ScalingPolicy {
    /// The replicas that a load asks for: `ceil(load / (target × proportion))`, unbounded.
    ///
    /// Of OpenFaaS' formula, `ceil(ready × (load / ready) / (target × proportion))`, the number of ready ones falls out.
    public static func replicas(forLoad load: Double, _ rules: ScalingRules) -> Int {
        let exact = load / (rules.target * rules.proportion)
        // 450 of 50 × 0.9 are 10 replicas, though floating point may make it a trifle more.
        let count = (exact - 1e-9).rounded(.up)
        return min(max(0, Int(clamping: count)), Int(Int32.max))
    }

    /// Decides for a function of which so many replicas are desired.
    ///
    /// Up at once, down to the greatest need of the window, to zero after the idle time. A sleeping function stays
    /// asleep: its next call wakes it.
    public static func decide(
        _ history: inout ScalingHistory,
        _ rules: ScalingRules,
        _ bounds: ScalingBounds,
        current: Int,
        now: Duration
    ) -> ScalingDecision {
        let load = history.load(rules.mode)
        guard current > 0 else {
            return ScalingDecision(replicas: 0, reason: "It sleeps: its next call starts it.", load: load)
        }
        let idle = history.idle(now: now)
        if let limit = rules.zeroAfter, idle > .zero, idle >= limit {
            return ScalingDecision(replicas: 0, reason: "No call for \(GoDuration.format(limit)).", load: load)
        }
        guard bounds.min < bounds.max else {
            return ScalingDecision(
                replicas: bounds.min,
                reason: "Always \(bounds.min): min and max are equal.",
                load: load
            )
        }
        guard let load else {
            return ScalingDecision(
                replicas: bounds.clamp(current),
                reason: "The load by \(rules.mode.name) is not known.",
                isFrozen: true
            )
        }
        let need = bounds.clamp(replicas(forLoad: load, rules))
        history.note(need: need, current: bounds.clamp(current), window: rules.downWindow, now: now)
        let kept = min(bounds.clamp(current), history.greatestNeed)
        return ScalingDecision(
            replicas: max(need, kept),
            reason: reason(load, rules, bounds, need: need, kept: kept),
            load: load
        )
    }

    private static func reason(
        _ load: Double,
        _ rules: ScalingRules,
        _ bounds: ScalingBounds,
        need: Int,
        kept: Int
    ) -> String {
        let exact = replicas(forLoad: load, rules)
        var text =
            "\(number(load)) \(unit(rules.mode)) at \(number(rules.target * rules.proportion)) each need \(exact)"
        if exact < need { text += ", at least \(bounds.min) are kept" }
        if exact > need { text += ", at most \(bounds.max) are allowed" }
        if kept > need {
            let window = rules.downWindow ?? ScalingHistory.holdFor
            text += "; \(kept) were needed within the last \(GoDuration.format(window))"
        }
        return text + "."
    }

    private static func unit(_ mode: ScalingRules.Mode) -> String {
        switch mode {
        case .rps: "calls/s"
        case .capacity: "calls in flight"
        case .cpu: "milli-CPU"
        case .memory: "bytes"
        case .queue: "asynchronous calls due"
        case .query, .rule: "by Prometheus"
        }
    }

    /// A number as people write it: whole, or with up to two digits.
    private static func number(_ value: Double) -> String {
        let hundredths = (value * 100).rounded()
        guard abs(hundredths) < 1e15 else { return "\(value)" }
        let (whole, rest) = (Int64(hundredths) / 100, abs(Int64(hundredths) % 100))
        if rest == 0 { return "\(whole)" }
        return rest % 10 == 0 ? "\(whole).\(rest / 10)" : "\(whole).\(rest < 10 ? "0" : "")\(rest)"
    }
}
