// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// How much is read from a client at a time: a connection keeps the room of a usual request, not that of the largest.
///
/// What comes beyond the small size is read into memory that goes with it.
struct ReadSizes: RecvByteBufferAllocator {
    static let small = 1024
    private static let large = 65_536
    private var size = ReadSizes.small

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: size) }

    /// Nil lets the channel ask for a new buffer, which it does not keep.
    func nextBufferSize() -> Int? { size == Self.small ? size : nil }

    mutating func record(actualReadBytes: Int) -> Bool {
        if actualReadBytes >= size {
            size = min(size * 8, Self.large)
        } else if actualReadBytes < size / 8 {
            size = max(size / 8, Self.small)
        }
        return size > Self.small
    }
}
