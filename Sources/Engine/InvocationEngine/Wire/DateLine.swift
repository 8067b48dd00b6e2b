// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore

/// The line of `Date` (RFC 9110 §6.6.1), put together once a second: writing it costs a copy.
struct DateLine {
    /// From then on the line tells a second that has passed.
    let expires: NIODeadline
    /// Its 37 bytes, and three that are not written.
    fileprivate let bytes: Bytes

    fileprivate typealias Bytes = (UInt64, UInt64, UInt64, UInt64, UInt64)
    fileprivate static var length: Int { 37 }

    /// Tells the second of a moment, which is `now` by the event loop's clock.
    init(_ moment: Timestamp, now: NIODeadline) {
        let (second, rest) = moment.nanosecondsSinceEpoch.quotientAndRemainder(dividingBy: 1_000_000_000)
        let text = "Date: \(HTTPDate.format(secondsSinceEpoch: second))\r\n"
        var bytes: Bytes = (0, 0, 0, 0, 0)
        withUnsafeMutableBytes(of: &bytes) { $0.copyBytes(from: text.utf8.prefix(Self.length)) }
        self.bytes = bytes
        expires = now + .nanoseconds(1_000_000_000 - rest)
    }
}

extension HeadWriter {
    /// Writes the line; there must be room for 40 bytes.
    @inline(__always)
    mutating func write(_ date: DateLine) {
        store(date.bytes, using: DateLine.length)
    }
}
