// SPDX-License-Identifier: Apache-2.0

/// Numbers from outside as ours: the nearest there is, where the usual way would end the process.
extension Int {
    /// The whole part of a number, or the nearest there is to it; 0 for what is no number.
    public init(clamping value: Double) {
        guard value.isFinite else {
            self = value.isNaN ? 0 : value > 0 ? .max : .min
            return
        }
        self = Int(exactly: value.rounded(.towardZero)) ?? (value > 0 ? .max : .min)
    }
}

extension Int64 {
    /// This less another, or the nearest there is to that.
    public func clampedDifference(from other: Int64) -> Int64 {
        let (difference, isTooFar) = subtractingReportingOverflow(other)
        guard isTooFar else { return difference }
        return self < 0 ? .min : .max
    }
}

extension Duration {
    /// The longest that fits into nanoseconds, as in Go: 292 years.
    private static let longestSeconds = 9_223_372_036.0

    /// So many seconds, at least none and at most 292 years; none for what is no number.
    public static func clamped(seconds: Double) -> Duration {
        guard seconds > 0 else { return .zero }
        let (whole, rest) = (min(seconds, longestSeconds).rounded(.down), seconds.truncatingRemainder(dividingBy: 1))
        return .seconds(Int(clamping: whole)) + .milliseconds(rest.isFinite ? Int(clamping: rest * 1000) : 0)
    }

    /// Whole nanoseconds, or the nearest number there is to them.
    public var clampedNanoseconds: Int64 {
        let (whole, isTooMuch) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, isJustTooMuch) = whole.addingReportingOverflow(components.attoseconds / 1_000_000_000)
        guard isTooMuch || isJustTooMuch else { return sum }
        return components.seconds < 0 ? .min : .max
    }
}
