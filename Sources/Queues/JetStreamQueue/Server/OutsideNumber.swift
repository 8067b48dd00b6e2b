// SPDX-License-Identifier: Apache-2.0

/// Numbers as messages have them, which anybody may have written: small enough to be counted on from.
enum OutsideNumber {
    /// A sequence of a stream; nil for what no stream gets to.
    static func sequence(_ text: some StringProtocol) -> UInt64? {
        UInt64(text).flatMap { $0 <= UInt64(Int64.max) / 2 ? $0 : nil }
    }

    /// How many of something; nil for fewer than none, and for what nobody counts to.
    static func count(_ text: some StringProtocol) -> Int? { Int(text).flatMap { isCount($0) ? $0 : nil } }

    /// Whether a number can be one of things.
    static func isCount(_ number: Int) -> Bool { (0...1 << 53).contains(number) }
}
