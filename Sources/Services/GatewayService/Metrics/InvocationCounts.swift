// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import Glibc
public import InvocationEngine
import Synchronization

/// Counts of ended calls in a file that is mapped into memory: exact even after `kill -9` (martlet-api "Data
/// directory", `counters`).
///
/// Adding is one atomic addition into the mapping; the kernel writes it to disk. The file grows in segments that never
/// move, so that a cell stays where it is for as long as the program runs. Each segment has its place on the disk before
/// it is mapped: a store into a hole of a full disk would end the process (SIGBUS, mmap(2)).
public final class InvocationCounts: InvocationLedger {
    /// 128 bytes of name, zero padded, then the count.
    private static let slotSize = 192
    private static let countOffset = 184
    private static let nameLimit = 180
    private static let slotsPerSegment = 1024
    private static let segmentSize = slotSize * slotsPerSegment

    private struct State {
        var segments: [Segment] = []
        var cells: [FunctionID: Cell] = [:]
        var free: [Cell] = []
    }

    /// A part of the file, mapped for as long as anybody counts in it.
    private final class Segment: @unchecked Sendable {  // an address; who touches what behind it is said at `Cell`
        let start: UnsafeMutableRawPointer

        init(start: UnsafeMutableRawPointer) { self.start = start }

        deinit { munmap(start, InvocationCounts.segmentSize) }
    }

    private let descriptor: Int32
    private let state: Mutex<State>
    private let report: @Sendable (PlatformFault) -> Void

    /// Opens or makes the file.
    ///
    /// A disk without room costs persistence and nothing else: `report` hears of it each time, and the counts of the
    /// functions concerned last until the program ends.
    ///
    /// - Throws: `storageUnavailable` when the file can be neither read nor made.
    public init(
        path: String,
        report: @escaping @Sendable (PlatformFault) -> Void = { _ in }
    ) throws(PlatformFault) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        state = Mutex(State())
        self.report = report
        guard descriptor >= 0 else { throw Self.failure("opened", errno) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        state.withLock { state in
            for _ in 0..<(size + Self.segmentSize - 1) / Self.segmentSize { addSegment(&state) }
        }
    }

    deinit { close(descriptor) }

    /// The count of a function, 0 for one that was never called.
    public func count(of id: FunctionID) -> Double {
        Double(state.withLock { $0.cells[id]?.value } ?? 0)
    }

    /// The place where a function's calls are counted.
    public func cell(for id: FunctionID) -> any InvocationCell {
        state.withLock { state in
            if let cell = state.cells[id] { return cell }
            if state.free.isEmpty { addSegment(&state) }
            return Self.take(id, &state) ?? UnkeptCell()
        }
    }

    /// Forgets the counts of functions that do not exist any more.
    public func keepOnly(_ functions: Set<FunctionID>) {
        state.withLock { state in
            for (id, cell) in state.cells where !functions.contains(id) {
                state.cells[id] = nil
                state.free.append(cell.freed())
            }
        }
    }

    /// Forgets the count of one function.
    public func remove(_ id: FunctionID) {
        state.withLock { state in
            guard let cell = state.cells.removeValue(forKey: id) else { return }
            state.free.append(cell.freed())
        }
    }

    private static func take(_ id: FunctionID, _ state: inout State) -> Cell? {
        guard let cell = state.free.popLast() else { return nil }
        guard cell.write(name: id.description) else { return nil }
        state.cells[id] = cell
        return cell
    }

    /// Adds the next part of the file, or, where the disk has no room for it, as much memory.
    private func addSegment(_ state: inout State) {
        let offset = off_t(state.segments.count * Self.segmentSize)
        guard let start = mapFile(offset) ?? mapMemory(offset) else { return }
        let segment = Segment(start: start)
        state.segments.append(segment)
        for number in 0..<Self.slotsPerSegment { Self.adopt(Cell(number, of: segment), &state) }
    }

    private func mapFile(_ offset: off_t) -> UnsafeMutableRawPointer? {
        let error = posix_fallocate(descriptor, offset, off_t(Self.segmentSize))
        guard error == 0 else {
            report(Self.failure("extended", error))
            return nil
        }
        let mapped = mmap(nil, Self.segmentSize, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, offset)
        guard mapped != MAP_FAILED else {
            report(Self.failure("mapped", errno))
            return nil
        }
        return mapped
    }

    /// Memory that begins with what the file holds there already.
    private func mapMemory(_ offset: off_t) -> UnsafeMutableRawPointer? {
        let mapped = mmap(nil, Self.segmentSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard mapped != MAP_FAILED else { return nil }
        _ = pread(descriptor, mapped, Self.segmentSize, offset)
        return mapped
    }

    private static func adopt(_ cell: Cell, _ state: inout State) {
        if let id = FunctionID(address: cell.name, defaultNamespace: "") {
            state.cells[id] = cell
        } else {
            state.free.append(cell)
        }
    }

    private static func failure(_ what: String, _ error: Int32) -> PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "The file \"counters\" of the data directory cannot be \(what): \(String(cString: strerror(error))).",
            hint: "Check the free space and the rights of the data directory."
        )
    }

    /// One slot of the mapping.
    ///
    /// Its name is written under the ledger's lock, its count by atomic additions.
    private final class Cell: InvocationCell, @unchecked Sendable {  // the pointee is only touched as said above
        private let slot: UnsafeMutableRawPointer
        private let segment: Segment
        /// The function is gone: calls that were still in flight count for nobody.
        private let isFreed = Atomic<Bool>(false)

        init(_ number: Int, of segment: Segment) {
            slot = segment.start + number * InvocationCounts.slotSize
            self.segment = segment
        }

        private init(_ slot: UnsafeMutableRawPointer, of segment: Segment) {
            self.slot = slot
            self.segment = segment
        }

        /// The slot for somebody else.
        func freed() -> Cell {
            isFreed.store(true, ordering: .relaxed)
            erase()
            return Cell(slot, of: segment)
        }

        private var counter: UnsafeMutablePointer<Atomic<UInt64>> {
            (slot + InvocationCounts.countOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        }

        var value: UInt64 { counter.pointee.load(ordering: .relaxed) }

        var name: String {
            let bytes = UnsafeRawBufferPointer(start: slot, count: InvocationCounts.nameLimit)
            return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }

        func add() {
            guard !isFreed.load(ordering: .relaxed) else { return }
            counter.pointee.add(1, ordering: .relaxed)
        }

        /// The count is made 0 before the slot bears a name: a crash in between leaves a free slot.
        func write(name: String) -> Bool {
            guard name.utf8.count <= InvocationCounts.nameLimit else { return false }
            erase()
            for (index, byte) in name.utf8.enumerated() {
                slot.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
            }
            return true
        }

        func erase() {
            memset(slot, 0, InvocationCounts.countOffset)
            counter.pointee.store(0, ordering: .relaxed)
        }
    }
}

/// Counts nothing: for a name that is too long for a slot, or when there is no memory either.
private final class UnkeptCell: InvocationCell {
    func add() {}
}
