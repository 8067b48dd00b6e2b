// SPDX-License-Identifier: Apache-2.0

import FaultModel
import StoreContract
import Synchronization

/// Keeps everybody out of a database that is closed, and closes it when the last one is out: SQLite reads memory that is
/// somebody else's by then.
final class StoreGate: Sendable {
    private struct State {
        var isClosed = false
        var inside = 0
        var closing: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// Lets somebody in, who leaves again; throws where the database is closed.
    func enter() throws(PlatformFault) {
        let isOpen = state.withLock { state in
            if !state.isClosed { state.inside += 1 }
            return !state.isClosed
        }
        guard isOpen else { throw .storeIsClosed }
    }

    /// Lets somebody out.
    func leave() {
        let closing = state.withLock { state in
            state.inside -= 1
            guard state.inside == 0 else { return [CheckedContinuation<Void, Never>]() }
            defer { state.closing = [] }
            return state.closing
        }
        for continuation in closing { continuation.resume() }
    }

    /// Lets nobody in any more, and returns when nobody is inside; false where it was closed before.
    func close() async -> Bool {
        let isFirst = state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                if state.inside > 0 { state.closing.append(continuation) }
                return state.inside == 0
            }
            if isEmpty { continuation.resume() }
        }
        return isFirst
    }
}
