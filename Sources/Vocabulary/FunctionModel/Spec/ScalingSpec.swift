// SPDX-License-Identifier: Apache-2.0

/// How many replicas a function may have, and what decides on their number.
public struct ScalingSpec: Sendable, Equatable {
    /// `com.openfaas.scale.min`: replicas to begin with and to come back to, at least 1.
    public var min: Int
    /// `com.openfaas.scale.max`: the most that the autoscaler or alerts ask for, at least 1.
    public var max: Int
    /// `com.openfaas.scale.factor`: the step of an alert in percent of `max`, 0 to 100; 0 turns alerts off.
    public var factor: Int
    /// How the number follows the load; nil for a function that the autoscaler leaves alone.
    public var rules: ScalingRules?

    /// `max` where nothing is said of it.
    public static let usualMaximum = 20
    /// `factor` where nothing is said of it.
    public static let usualFactor = 10

    /// Makes bounds and rules; the defaults are those of a deployment that says nothing.
    public init(
        min: Int = 1,
        max: Int = ScalingSpec.usualMaximum,
        factor: Int = ScalingSpec.usualFactor,
        rules: ScalingRules? = nil
    ) {
        self.min = min
        self.max = max
        self.factor = factor
        self.rules = rules
    }
}
