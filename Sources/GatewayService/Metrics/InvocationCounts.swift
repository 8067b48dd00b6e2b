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
/// move, so that a cell stays where it is for as long as the program runs.
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

    /// A part of the file, mapped for as long as the ledger lives.
    private struct Segment: @unchecked Sendable {  // an address; who touches what behind it is said at `Cell`
        let start: UnsafeMutableRawPointer
    }

    private let descriptor: Int32
    private let state: Mutex<State>

    /// Opens or makes the file.
    ///
    /// - Throws: `storageUnavailable` when it can be neither read nor made.
    public init(path: String) throws(PlatformFault) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        state = Mutex(State())
        guard descriptor >= 0 else { throw Self.failure("opened") }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        for _ in 0..<(size + Self.segmentSize - 1) / Self.segmentSize { try addSegment() }
    }

    deinit {
        state.withLock { state in
            for segment in state.segments { munmap(segment.start, Self.segmentSize) }
        }
        close(descriptor)
    }

    /// The count of a function, 0 for one that was never called.
    public func count(of id: FunctionID) -> Double {
        Double(state.withLock { $0.cells[id]?.value } ?? 0)
    }

    /// The place where a function's calls are counted.
    public func cell(for id: FunctionID) -> any InvocationCell {
        if let cell = state.withLock({ $0.cells[id] ?? Self.take(id, &$0) }) { return cell }
        // Nothing is free: one segment more. A disk without room costs persistence, not the call.
        guard (try? addSegment()) != nil else { return UnkeptCell() }
        return state.withLock { $0.cells[id] ?? Self.take(id, &$0) } ?? UnkeptCell()
    }

    /// Forgets the counts of functions that do not exist any more.
    public func keepOnly(_ functions: Set<FunctionID>) {
        state.withLock { state in
            for (id, cell) in state.cells where !functions.contains(id) {
                cell.erase()
                state.cells[id] = nil
                state.free.append(cell)
            }
        }
    }

    /// Forgets the count of one function.
    public func remove(_ id: FunctionID) {
        state.withLock { state in
            guard let cell = state.cells.removeValue(forKey: id) else { return }
            cell.erase()
            state.free.append(cell)
        }
    }

    private static func take(_ id: FunctionID, _ state: inout State) -> Cell? {
        guard let cell = state.free.popLast() else { return nil }
        guard cell.write(name: id.description) else { return nil }
        state.cells[id] = cell
        return cell
    }

    private func addSegment() throws(PlatformFault) {
        let index = state.withLock { $0.segments.count }
        guard ftruncate(descriptor, off_t((index + 1) * Self.segmentSize)) == 0 else { throw Self.failure("extended") }
        let offset = off_t(index * Self.segmentSize)
        let mapped = mmap(nil, Self.segmentSize, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, offset)
        guard let mapped, mapped != MAP_FAILED else { throw Self.failure("mapped") }
        let segment = Segment(start: mapped)
        let cells = (0..<Self.slotsPerSegment).map { Cell(segment.start + $0 * Self.slotSize) }
        state.withLock { state in
            state.segments.append(segment)
            for cell in cells { Self.adopt(cell, &state) }
        }
    }

    private static func adopt(_ cell: Cell, _ state: inout State) {
        if let id = FunctionID(address: cell.name, defaultNamespace: "") {
            state.cells[id] = cell
        } else {
            state.free.append(cell)
        }
    }

    private static func failure(_ what: String) -> PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "The file \"counters\" of the data directory cannot be \(what): \(String(cString: strerror(errno))).",
            hint: "Check the free space and the rights of the data directory."
        )
    }

    /// One slot of the mapping.
    ///
    /// Its name is written under the ledger's lock, its count by atomic additions.
    private final class Cell: InvocationCell, @unchecked Sendable {  // the pointee is only touched as said above
        private let slot: UnsafeMutableRawPointer

        init(_ slot: UnsafeMutableRawPointer) { self.slot = slot }

        private var counter: UnsafeMutablePointer<Atomic<UInt64>> {
            (slot + InvocationCounts.countOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        }

        var value: UInt64 { counter.pointee.load(ordering: .relaxed) }

        var name: String {
            let bytes = UnsafeRawBufferPointer(start: slot, count: InvocationCounts.nameLimit)
            return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }

        func add() { counter.pointee.add(1, ordering: .relaxed) }

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

/// Counts nothing that lasts: for a disk without room.
private struct UnkeptCell: InvocationCell {
    func add() {}
}
