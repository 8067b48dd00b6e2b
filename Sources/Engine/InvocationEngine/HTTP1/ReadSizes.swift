// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// How much is read from a client at a time: a connection keeps the room of a usual request, not that of the largest.
///
/// What comes beyond the small size is read into memory that goes with it.
struct ReadSizes: RecvByteBufferAllocator {
    static let small = 1024
    private static let large = 65_536
    private var size = ReadSizes.small
    /// Reads in a row that would have had room in a smaller size.
    private var smallReads = 0

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: size) }

    /// Nil lets the channel ask for a new buffer, which it does not keep.
    func nextBufferSize() -> Int? { size == Self.small ? size : nil }

    /// Smaller again after two small reads in a row: one may be the end of a body, whose like comes in one read with its
    /// head from then on.
    mutating func record(actualReadBytes: Int) -> Bool {
        smallReads = actualReadBytes < size / 8 ? smallReads + 1 : 0
        if actualReadBytes >= size {
            size = min(size * 8, Self.large)
        } else if smallReads == 2 {
            size = max(size / 8, Self.small)
            smallReads = 0
        }
        return size > Self.small
    }
}
