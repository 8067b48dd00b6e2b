// SPDX-License-Identifier: Apache-2.0

public import FunctionModel

/// What a router knows of one function.
public struct FunctionRoute: Sendable {
    /// The function.
    public var id: FunctionID
    /// Its parts, each with a share of the calls; mostly one of weight 1.
    public var variants: [RouteVariant]
    /// The desired number of replicas; 0 means that a call has to ask for one.
    public var desiredReplicas: Int
    /// How many replicas it may have, and what decides on their number.
    public var scaling: ScalingSpec
    /// Further paths at which it is called (`PathRule`); the longest that leads to a call wins.
    public var paths: [String]
    /// Its annotations as given.
    public var annotations: [String: String]
    /// Where it is in its life; nil where the provider does not tell.
    public var state: MartletStatus.State?
    /// Why there is no ready replica, as a sentence; empty when there is nothing to say.
    public var notReadyReason: String

    /// Makes a route of several variants.
    public init(
        id: FunctionID,
        variants: [RouteVariant],
        desiredReplicas: Int,
        scaling: ScalingSpec = ScalingSpec(),
        paths: [String] = [],
        annotations: [String: String] = [:],
        state: MartletStatus.State? = nil,
        notReadyReason: String = ""
    ) {
        self.id = id
        self.variants = variants
        self.desiredReplicas = desiredReplicas
        self.scaling = scaling
        self.paths = paths
        self.annotations = annotations
        self.state = state
        self.notReadyReason = notReadyReason
    }

    /// Makes a route of one variant, which gets all calls.
    public init(
        id: FunctionID,
        revision: Int,
        desiredReplicas: Int,
        policy: CallPolicy = CallPolicy(),
        scaling: ScalingSpec = ScalingSpec(),
        replicas: [Replica],
        notReadyReason: String = ""
    ) {
        self.init(
            id: id,
            variants: [RouteVariant(revision: revision, replicas: replicas, policy: policy)],
            desiredReplicas: desiredReplicas,
            scaling: scaling,
            notReadyReason: notReadyReason
        )
    }

    /// The variants that get calls.
    public var served: [RouteVariant] { variants.filter { $0.weight > 0 } }

    /// The variant that gets the most calls; an empty one where none gets any.
    public var main: RouteVariant {
        served.max { $0.weight < $1.weight } ?? RouteVariant(revision: 0, weight: 0, replicas: [])
    }

    /// The revision of the main variant; 0 when none is ready.
    public var revision: Int { main.revision }

    /// How calls of the main variant are dealt with.
    public var policy: CallPolicy { main.policy }

    /// What holds for calls of every variant: all that a router may apply which cannot know where a call will go.
    ///
    /// The longest deadline and queue, every method that one of them takes, and the access that is not everybody's; how
    /// calls are tried again is the main variant's affair.
    public var commonPolicy: CallPolicy {
        served.map(\.policy).reduce(into: policy) { common, other in
            common.deadline = common.deadline.flatMap { one in other.deadline.map { max(one, $0) } }
            common.queueDepth = max(common.queueDepth, other.queueDepth)
            common.methods = common.methods.flatMap { one in other.methods.map { Set(one).union($0).sorted() } }
            if common.access == .public { common.access = other.access }
            common.buffersRequestBody = common.buffersRequestBody && other.buffersRequestBody
        }
    }

    /// The ready replicas that get calls, none of which is draining.
    public var replicas: [Replica] { served.flatMap(\.replicas) }

    /// Calls that its replicas take at a time, all together; one at zero has the slots of its first replica, and nil
    /// means no limit, which holds also where no variant gets calls.
    public var slots: Int? {
        guard !served.isEmpty else { return nil }
        var sum = 0
        for variant in served {
            guard let limit = variant.policy.maxInFlight else { return nil }
            sum += min(limit, Int(Int32.max)) * max(1, variant.replicas.count)
        }
        return sum
    }
}

/// A part of a function that gets a share of its calls: one revision.
public struct RouteVariant: Sendable {
    /// The revision that `replicas` belong to; 0 when none is ready.
    public var revision: Int
    /// Its share of the calls, by the sum of all weights; 0 gets none.
    ///
    /// The share of a variant without a ready replica goes to the others.
    public var weight: Int
    /// The ready replicas, none of which is draining.
    public var replicas: [Replica]
    /// How its calls are dealt with.
    public var policy: CallPolicy

    /// Makes a variant.
    public init(revision: Int, weight: Int = 1, replicas: [Replica], policy: CallPolicy = CallPolicy()) {
        self.revision = revision
        self.weight = weight
        self.replicas = replicas
        self.policy = policy
    }
}
