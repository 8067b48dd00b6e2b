// SPDX-License-Identifier: Apache-2.0

/// `GET /system/scaling/{name}`: how many replicas a function should have, and why (martlet-api "Scaling").
public struct ScalingDescription: Codable, Sendable, Equatable {
    /// One change, or one that failed.
    public struct Decision: Codable, Sendable, Equatable {
        /// When.
        public var at: Timestamp
        /// Replicas before.
        public var from: Int
        /// Replicas desired.
        public var to: Int
        /// The load that was looked at; absent where it was unknown.
        public var load: Double?
        /// Why.
        public var reason: String

        /// Describes a decision.
        public init(at: Timestamp, from: Int, to: Int, load: Double?, reason: String) {
            self.at = at
            self.from = from
            self.to = to
            self.load = load
            self.reason = reason
        }
    }

    /// `name.namespace`.
    public var function: String
    /// The word of `com.openfaas.scale.type`; `none` for a function that the autoscaler leaves alone.
    public var mode: String
    /// The least replicas of a function that is awake.
    public var min: Int
    /// The most.
    public var max: Int
    /// The load that one replica is meant for.
    public var target: Double?
    /// The part of it at which the next one is started.
    public var proportion: Double?
    /// The load; absent while it is unknown.
    public var load: Double?
    /// Replicas desired.
    public var current: Int
    /// What the autoscaler last found right.
    public var desired: Int
    /// Whether nothing is decided at the moment.
    public var frozen: Bool
    /// Why `desired` is what it is.
    public var reason: String
    /// The last changes, the latest first; at most 50.
    public var decisions: [Decision]

    /// Describes how a function is scaled.
    public init(
        function: String,
        mode: String,
        min: Int,
        max: Int,
        target: Double? = nil,
        proportion: Double? = nil,
        load: Double? = nil,
        current: Int,
        desired: Int,
        frozen: Bool,
        reason: String,
        decisions: [Decision] = []
    ) {
        self.function = function
        self.mode = mode
        self.min = min
        self.max = max
        self.target = target
        self.proportion = proportion
        self.load = load
        self.current = current
        self.desired = desired
        self.frozen = frozen
        self.reason = reason
        self.decisions = decisions
    }
}
