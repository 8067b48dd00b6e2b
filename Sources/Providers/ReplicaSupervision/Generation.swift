// SPDX-License-Identifier: Apache-2.0

/// Which of two runs on one data directory a provider is: a successor's functions begin while those of the run before
/// end, and neither must take the other's for something that was left behind.
public enum Generation: String, Sendable, CaseIterable {
    case even
    case odd

    /// The run before, and the one after.
    public var other: Generation { self == .even ? .odd : .even }

    /// What its names end in.
    package var suffix: String { self == .even ? "" : "-odd" }
}
