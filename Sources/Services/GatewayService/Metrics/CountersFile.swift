// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Glibc

/// A file that is mapped into memory in parts, which never move.
///
/// Each part has its place on the disk before it is mapped: a store into a hole of a full disk would end the process
/// (SIGBUS, mmap(2)). Where the disk has no room the part is memory, `report` hears of it, and what is counted there lasts
/// until the program ends.
final class CountersFile: Sendable {
    /// A part of the file; its mapping ends with it.
    final class Part: @unchecked Sendable {  // an address; who touches what behind it is said at `CounterSlot`
        let start: UnsafeMutableRawPointer

        init(start: UnsafeMutableRawPointer) { self.start = start }

        deinit { munmap(start, CountersFile.partSize) }
    }

    private static let slotsPerPart = 1024
    private static let partSize = CounterSlot.size * slotsPerPart

    private let descriptor: Int32
    private let report: @Sendable (PlatformFault) -> Void

    /// Opens or makes the file.
    ///
    /// - Throws: `storageUnavailable` when it can be neither read nor made.
    init(path: String, report: @escaping @Sendable (PlatformFault) -> Void) throws(PlatformFault) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        self.report = report
        guard descriptor >= 0 else { throw Self.failure("opened", errno) }
    }

    deinit { close(descriptor) }

    /// How many parts there are, one that was not written whole included.
    var count: Int { (Int(lseek(descriptor, 0, SEEK_END)) + Self.partSize - 1) / Self.partSize }

    /// The slots of a part, which is made where it is not there; none where there is no memory either.
    func slots(ofPart number: Int) -> [CounterSlot] {
        let offset = off_t(number * Self.partSize)
        guard let start = mapFile(offset) ?? mapMemory(offset) else { return [] }
        let part = Part(start: start)
        return (0..<Self.slotsPerPart).map { CounterSlot(start + $0 * CounterSlot.size, of: part) }
    }

    private func mapFile(_ offset: off_t) -> UnsafeMutableRawPointer? {
        let error = posix_fallocate(descriptor, offset, off_t(Self.partSize))
        guard error == 0 else {
            report(Self.failure("extended", error))
            return nil
        }
        let mapped = mmap(nil, Self.partSize, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, offset)
        guard mapped != MAP_FAILED else {
            report(Self.failure("mapped", errno))
            return nil
        }
        return mapped
    }

    /// Memory that begins with what the file holds there already.
    private func mapMemory(_ offset: off_t) -> UnsafeMutableRawPointer? {
        let mapped = mmap(nil, Self.partSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard mapped != MAP_FAILED else { return nil }
        _ = pread(descriptor, mapped, Self.partSize, offset)
        return mapped
    }

    private static func failure(_ what: String, _ error: Int32) -> PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "The file \"counters\" of the data directory cannot be \(what): \(String(cString: strerror(error))).",
            hint: "Check the free space and the rights of the data directory."
        )
    }
}
