// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Counts across threads.
public final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    /// Nothing was counted.
    public init() {}

    /// How often `add` was called.
    public var count: Int { value.load(ordering: .sequentiallyConsistent) }

    /// Counts one.
    public func add() { value.add(1, ordering: .sequentiallyConsistent) }
}
