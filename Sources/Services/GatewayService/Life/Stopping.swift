// SPDX-License-Identifier: Apache-2.0

/// The end of a program's work: whether it has begun, and how long calls may take from then on.
///
/// Services are stopped one after another; by this those that have calls of their own let them end at the same time.
public struct Stopping: Sendable {
    /// How long calls may take to end.
    public let limit: Duration
    private let begun = Milestone<ContinuousClock.Instant>()

    /// Describes an end that has not begun.
    public init(limit: Duration) { self.limit = limit }

    /// Whether it has begun.
    public var hasBegun: Bool { begun.value != nil }

    /// Begins it; only the first time counts.
    public func begin() { begun.reach(.now) }

    /// What calls still have of their time.
    public var left: Duration {
        guard let begun = begun.value else { return limit }
        return max(.zero, limit - begun.duration(to: .now))
    }

    /// Waits until it begins, or until the service that waits is told to stop, which is later.
    public func begins() async { _ = await begun.reached() }
}
