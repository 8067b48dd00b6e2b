// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import InvocationEngine

/// How much is read from a client at a time.
struct ReadSizesTests {
    private static func room(_ sizes: ReadSizes) -> Int {
        sizes.buffer(allocator: ByteBufferAllocator()).capacity
    }

    /// Reads of a client that sends so much at a time, and which the first of them is that takes all.
    private static func reads(of bytes: Int, _ sizes: inout ReadSizes) -> Int {
        var (rest, count) = (bytes, 0)
        while rest > 0 {
            let taken = min(rest, room(sizes))
            _ = sizes.record(actualReadBytes: taken)
            (rest, count) = (rest - taken, count + 1)
        }
        return count
    }

    @Test func `a usual request has room in one read, whose memory is kept`() {
        var sizes = ReadSizes()
        for _ in 0..<100 { #expect(Self.reads(of: 300, &sizes) == 1) }
        #expect(sizes.nextBufferSize() == ReadSizes.small)
    }

    @Test(arguments: [1200, 1500, 4000, 8000])
    func `whoever sends more at a time is read at once from the second request on`(bytes: Int) {
        var sizes = ReadSizes()
        #expect(Self.reads(of: bytes, &sizes) == 2)
        for _ in 0..<100 { #expect(Self.reads(of: bytes, &sizes) == 1) }
        #expect(sizes.nextBufferSize() == nil, "what a large read was read into is not kept")
    }

    @Test func `a client whose requests are small again gets the small size again`() {
        var sizes = ReadSizes()
        for _ in 0..<10 { _ = sizes.record(actualReadBytes: Self.room(sizes)) }
        #expect(Self.room(sizes) >= 65_536)
        for _ in 0..<4 { _ = sizes.record(actualReadBytes: 200) }
        #expect(sizes.nextBufferSize() == ReadSizes.small)
    }
}
