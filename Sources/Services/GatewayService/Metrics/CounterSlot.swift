// SPDX-License-Identifier: Apache-2.0

import Glibc
import InvocationEngine
import Synchronization

/// One slot of the file of counts: 180 bytes of a function's name, padded with zeros, then its count.
///
/// The name is written under the ledger's lock, the count by atomic additions into the mapping.
final class CounterSlot: InvocationCell, @unchecked Sendable {  // the pointee is only touched as said above
    /// In bytes.
    static let size = 192
    private static let countOffset = 184
    private static let nameLimit = 180

    private let start: UnsafeMutableRawPointer
    /// Mapped for as long as anybody counts in it.
    private let part: CountersFile.Part
    /// The function is gone: calls that were still in flight count for nobody.
    private let isFreed = Atomic<Bool>(false)

    init(_ start: UnsafeMutableRawPointer, of part: CountersFile.Part) {
        self.start = start
        self.part = part
    }

    /// The slot for somebody else.
    func freed() -> CounterSlot {
        isFreed.store(true, ordering: .relaxed)
        erase()
        return CounterSlot(start, of: part)
    }

    private var counter: UnsafeMutablePointer<Atomic<UInt64>> {
        (start + Self.countOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    var value: UInt64 { counter.pointee.load(ordering: .relaxed) }

    var name: String {
        let bytes = UnsafeRawBufferPointer(start: start, count: Self.nameLimit)
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    func add() {
        guard !isFreed.load(ordering: .relaxed) else { return }
        counter.pointee.add(1, ordering: .relaxed)
    }

    /// The count is made 0 before the slot bears a name: a crash in between leaves a free slot.
    func write(name: String) -> Bool {
        guard name.utf8.count <= Self.nameLimit else { return false }
        erase()
        for (index, byte) in name.utf8.enumerated() {
            start.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
        }
        return true
    }

    private func erase() {
        memset(start, 0, Self.countOffset)
        counter.pointee.store(0, ordering: .relaxed)
    }
}
