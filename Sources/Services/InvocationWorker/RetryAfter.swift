// SPDX-License-Identifier: Apache-2.0

import FunctionModel

/// `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
enum RetryAfter {
    /// The wait that it asks for, at most a day; nil for anything else.
    static func parse(_ text: String, now: Timestamp) -> Duration? {
        let seconds: Int64
        if let number = Int64(text) {
            seconds = number
        } else if let moment = HTTPDate.parse(text) {
            seconds = moment - now.nanosecondsSinceEpoch / 1_000_000_000
        } else {
            return nil
        }
        return .seconds(min(max(0, seconds), 86_400))
    }
}
