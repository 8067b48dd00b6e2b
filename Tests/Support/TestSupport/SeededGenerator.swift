// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Random numbers that can be had again: a test that fails tells its seed, and `MARTLET_FUZZ_SEED` sets it.
public struct SeededGenerator: RandomNumberGenerator, CustomStringConvertible {
    private var state: UInt64
    private let seed: UInt64

    /// Begins with the seed of the environment, or a fresh one.
    public init() {
        seed =
            ProcessInfo.processInfo.environment["MARTLET_FUZZ_SEED"].flatMap { UInt64($0) }
            ?? UInt64.random(in: 1...UInt64(UInt32.max))
        state = seed
    }

    /// SplitMix64.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// How to have the same again.
    public var description: String { "MARTLET_FUZZ_SEED=\(seed)" }

    /// Changes a few bytes: some are replaced, some dropped, some doubled, and some become what parsers stumble over.
    public mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let awkward: [[UInt8]] = [
            [0x0D], [0x0A], [0x0D, 0x0A], [0], [0x20], [0x09], [0x3A], [0x2C], [0x3B], [0xFF], [0x7F],
            Array("Content-Length: 1\r\n".utf8), Array("Transfer-Encoding: chunked\r\n".utf8), Array("0\r\n\r\n".utf8),
            Array("FFFFFFFFFFFFFFFF".utf8), Array("-1".utf8),
        ]
        for _ in 0..<Int.random(in: 1...4, using: &self) {
            let place = Int.random(in: 0...bytes.count, using: &self)
            switch Int.random(in: 0..<5, using: &self) {
            case 0 where place < bytes.count: bytes[place] = UInt8.random(in: .min ... .max, using: &self)
            case 1 where place < bytes.count: bytes.remove(at: place)
            case 2 where place < bytes.count: bytes.insert(bytes[place], at: place)
            case 3: bytes.removeLast(min(bytes.count, Int.random(in: 0...8, using: &self)))
            default: bytes.insert(contentsOf: awkward.randomElement(using: &self) ?? [], at: place)
            }
        }
        return bytes
    }

    /// Bytes without any sense.
    public mutating func bytes(upTo count: Int) -> [UInt8] {
        (0..<Int.random(in: 0...count, using: &self)).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}
