// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import InvocationEngine
import Synchronization

/// Counts of ended calls in a file that is mapped into memory: exact even after `kill -9` (martlet-api "Data
/// directory", `counters`).
///
/// Adding is one atomic addition into the mapping; the kernel writes it to disk. A slot stays where it is for as long as
/// the program runs.
public final class InvocationCounts: InvocationLedger {
    private struct State {
        var parts = 0
        var slots: [FunctionID: CounterSlot] = [:]
        var free: [CounterSlot] = []
    }

    private let file: CountersFile
    private let state = Mutex(State())

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
        file = try CountersFile(path: path, report: report)
        state.withLock { state in
            for _ in 0..<file.count { addPart(&state) }
        }
    }

    /// The count of a function, 0 for one that was never called.
    public func count(of id: FunctionID) -> Double {
        Double(state.withLock { $0.slots[id]?.value } ?? 0)
    }

    /// The place where a function's calls are counted.
    public func cell(for id: FunctionID) -> any InvocationCell {
        state.withLock { state in
            if let slot = state.slots[id] { return slot }
            if state.free.isEmpty { addPart(&state) }
            guard let slot = state.free.last, slot.write(name: id.description) else { return UnkeptCell() }
            state.free.removeLast()
            state.slots[id] = slot
            return slot
        }
    }

    /// Forgets the counts of functions that do not exist any more.
    public func keepOnly(_ functions: Set<FunctionID>) {
        state.withLock { state in
            for id in state.slots.keys where !functions.contains(id) { Self.remove(id, &state) }
        }
    }

    /// Forgets the count of one function.
    public func remove(_ id: FunctionID) {
        state.withLock { Self.remove(id, &$0) }
    }

    private static func remove(_ id: FunctionID, _ state: inout State) {
        guard let slot = state.slots.removeValue(forKey: id) else { return }
        state.free.append(slot.freed())
    }

    /// Adds the next part of the file, with the counts that it holds.
    private func addPart(_ state: inout State) {
        let slots = file.slots(ofPart: state.parts)
        guard !slots.isEmpty else { return }
        state.parts += 1
        for slot in slots {
            if let id = FunctionID(address: slot.name, defaultNamespace: "") {
                state.slots[id] = slot
            } else {
                state.free.append(slot)
            }
        }
    }
}

/// Counts nothing: for a name that is too long for a slot, or when there is no memory either.
private final class UnkeptCell: InvocationCell {
    func add() {}
}
