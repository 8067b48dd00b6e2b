// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import QueueContract
import Synchronization

/// How many callbacks are in flight to each receiver: one that hangs leaves slots to the others.
final class CallbackReceivers: Sendable {
    /// Most to one receiver at a time.
    static let slots = 32
    private let counts = Mutex<[String: Int]>([:])

    /// Takes a slot of a URL's receiver; false when it has none.
    ///
    /// Each success is followed by exactly one `leave`.
    func enter(_ url: String) -> Bool {
        let receiver = Self.receiver(url)
        return counts.withLock { counts in
            guard counts[receiver, default: 0] < Self.slots else { return false }
            counts[receiver, default: 0] += 1
            return true
        }
    }

    /// Gives a slot back.
    func leave(_ url: String) {
        let receiver = Self.receiver(url)
        counts.withLock { counts in
            let left = counts[receiver, default: 1] - 1
            counts[receiver] = left > 0 ? left : nil
        }
    }

    /// A host with its port; of this platform's functions each is a receiver of its own.
    private static func receiver(_ text: String) -> String {
        guard let url = CallbackURL(text)?.server else { return "" }
        guard let own = OwnTarget(url, "") else { return url.authority }
        return "\(url.authority) \(own.function)"
    }
}
