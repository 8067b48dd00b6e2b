// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Synchronization

/// The two clocks of a queue: one that never jumps, for waits and leases, and the wall clock, for what people see.
struct QueueClock: Sendable {
    /// Nanoseconds of a clock that never jumps.
    var monotonic: @Sendable () -> Int64
    /// Nanoseconds since 1970.
    var wall: @Sendable () -> Int64

    static let system = QueueClock(
        monotonic: {
            let now = ContinuousClock.now - ContinuousClock.Instant.start
            return now.components.seconds * 1_000_000_000 + now.components.attoseconds / 1_000_000_000
        },
        wall: { Timestamp.now().nanosecondsSinceEpoch }
    )
}

extension ContinuousClock.Instant {
    fileprivate static let start = ContinuousClock.now
}

extension Duration {
    /// Whole nanoseconds, never more than fit.
    var nanoseconds: Int64 {
        let (whole, isTooMuch) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return isTooMuch ? .max / 4 : min(whole + components.attoseconds / 1_000_000_000, .max / 4)
    }
}
