// SPDX-License-Identifier: Apache-2.0

import DequeModule
import FunctionModel
import ProviderContract
import ScalingPolicy

/// One function as the autoscaler knows it: what it saw, and what it decided.
struct WatchedFunction {
    private(set) var rules: ScalingRules
    private var bounds: ScalingBounds
    private var history: ScalingHistory
    /// The replicas that were desired when it was last looked at.
    private var current: Int
    private var revision: Int
    /// What the provider was last asked for.
    private var asked: Int?
    /// When the provider was asked, while it has not answered.
    private var scalingSince: Duration?
    private var decision: ScalingDecision
    private var failure: String?
    private var decisions: Deque<ScalingDescription.Decision> = []
    private static let decisionLimit = 50
    /// A provider that has not answered for so long is asked again.
    private static let answerLimit = Duration.seconds(30)

    init(_ route: FunctionRoute, _ rules: ScalingRules, now: Duration) {
        self.rules = rules
        bounds = ScalingBounds(route.scaling)
        history = ScalingHistory(now: now)
        current = route.desiredReplicas
        revision = route.revision
        decision = ScalingDecision(replicas: current, reason: "")
    }

    /// Takes over what was seen and decides; nil when the provider has nothing to do.
    mutating func consider(
        _ route: FunctionRoute,
        _ rules: ScalingRules,
        _ sample: ScalingSample,
        _ reading: LoadReadings.Reading?,
        _ capabilities: ProviderCapabilities,
        now: Duration
    ) -> Autoscaler.Change? {
        takeOver(route, rules, now: now)
        var sample = sample
        if case .value(let load) = reading { sample.reading = load }
        history.add(sample, now: now)
        decide(rules, capabilities, now: now)
        if decision.isFrozen, case .unknown(let why) = reading { decision.reason += " It was asked for: \(why)." }
        guard decision.replicas != current else {
            (asked, failure) = (nil, nil)
            return nil
        }
        if let since = scalingSince, now - since < Self.answerLimit { return nil }
        scalingSince = now
        // While the provider has not told of it yet, or has failed, the same number is no new decision.
        if asked != decision.replicas { note(from: current, to: decision.replicas, decision.load, decision.reason) }
        asked = decision.replicas
        return Autoscaler.Change(id: route.id, from: current, to: decision.replicas)
    }

    /// Decides within what the provider can do, and says where that is less than the rules ask for.
    private mutating func decide(_ rules: ScalingRules, _ capabilities: ProviderCapabilities, now: Duration) {
        var (possible, lacks) = (rules, [ProviderLack]())
        if rules.zeroAfter != nil, capabilities.lacks(.zeroReplicas) {
            possible.zeroAfter = nil
            lacks.append(.zeroReplicas)
        }
        if bounds.max > 1, capabilities.lacks(.severalReplicas) {
            bounds = ScalingBounds(min: 1, max: 1)
            lacks.append(.severalReplicas)
        }
        decision = ScalingPolicy.decide(&history, possible, bounds, current: current, now: now)
        for lack in lacks { decision.reason += " The provider \(lack.predicate)." }
    }

    /// Notes what others did: a call that woke the function, somebody who scaled or updated it.
    private mutating func takeOver(_ route: FunctionRoute, _ rules: ScalingRules, now: Duration) {
        if self.rules.mode != rules.mode { history = ScalingHistory(now: now) }
        self.rules = rules
        bounds = ScalingBounds(route.scaling)
        if route.desiredReplicas != current {
            if route.desiredReplicas == asked {
                asked = nil
            } else {
                let why = current == 0 ? "Woken by a call, or by hand." : "Scaled by hand."
                note(from: current, to: route.desiredReplicas, nil, why)
                history.noteActivity(now: now)
            }
        }
        if route.revision != revision, route.revision != 0 {
            revision = route.revision
            history.noteActivity(now: now)
        }
        current = route.desiredReplicas
    }

    private mutating func note(from: Int, to: Int, _ load: Double?, _ reason: String) {
        decisions.prepend(ScalingDescription.Decision(at: .now(), from: from, to: to, load: load, reason: reason))
        if decisions.count > Self.decisionLimit { decisions.removeLast() }
    }

    /// The provider has taken a change over.
    mutating func scaled() {
        scalingSince = nil
        failure = nil
    }

    /// The provider could not; returns whether that is news.
    mutating func scalingFailed(_ change: Autoscaler.Change, _ why: String) -> Bool {
        scalingSince = nil
        guard failure != why else { return false }
        failure = why
        note(from: change.from, to: change.to, decision.load, "The provider could not: \(why)")
        return true
    }

    // MARK: Telling

    var load: Double? { decision.load }

    var reason: String { decision.reason }

    func description(of id: FunctionID) -> ScalingDescription {
        ScalingDescription(
            function: id.description,
            mode: rules.mode.name,
            min: bounds.min,
            max: bounds.max,
            target: rules.target,
            proportion: rules.proportion,
            load: decision.load,
            current: current,
            desired: decision.replicas,
            frozen: decision.isFrozen,
            reason: failure.map { "\(decision.reason) The provider could not: \($0)" } ?? decision.reason,
            decisions: Array(decisions)
        )
    }
}

extension ScalingBounds {
    /// The labels `com.openfaas.scale.min` and `.max`.
    init(_ spec: ScalingSpec) { self.init(min: spec.min, max: spec.max) }
}
