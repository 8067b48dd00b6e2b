// SPDX-License-Identifier: Apache-2.0

package import FunctionModel
import Glibc
import Synchronization

/// Ids that sort by time (UUID version 7, RFC 9562 §5.7): neighbours in time are neighbours in an index.
package enum CallIDs {
    /// A fresh id.
    package static func fresh(at moment: Timestamp = .now()) -> String {
        let (first, second) = RandomPool.shared.next()
        let milliseconds = UInt64(max(0, moment.nanosecondsSinceEpoch / 1_000_000)) & 0xFFFF_FFFF_FFFF
        let high = milliseconds << 16 | 0x7000 | first & 0x0FFF
        let low = second & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        return String(unsafeUninitializedCapacity: 36) { text in
            var place = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    text[place] = UInt8(ascii: "-")
                    place += 1
                }
                let word = index < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - index % 16 * 4)) & 0xF
                text[place] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                place += 1
            }
            return 36
        }
    }
}

/// The system's random numbers, fetched many at a time: each fetch is a call into the kernel.
private final class RandomPool: Sendable {
    static let shared = RandomPool()

    private let numbers = Mutex<[UInt64]>([])

    func next() -> (UInt64, UInt64) {
        numbers.withLock { numbers in
            if numbers.count < 2 { numbers = Self.fetch() }
            return (numbers.removeLast(), numbers.removeLast())
        }
    }

    /// As many as one call brings without a break, whatever happens (getentropy(3)).
    private static func fetch() -> [UInt64] {
        [UInt64](unsafeUninitializedCapacity: 32) { numbers, count in
            if numbers.baseAddress.map({ getentropy($0, 256) }) != 0 {
                // A kernel that refuses it; the standard library knows other sources, and costs more.
                var random = SystemRandomNumberGenerator()
                for place in 0..<32 { numbers[place] = random.next() }
            }
            count = 32
        }
    }
}
