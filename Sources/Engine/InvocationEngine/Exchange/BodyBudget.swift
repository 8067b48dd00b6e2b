// SPDX-License-Identifier: Apache-2.0

import DequeModule
import FaultModel
import NIOPosix
import Synchronization

/// What all bodies together may take that are held until they are whole: memory first, then disk.
///
/// Thread-safe; shared by all event loops, and asked only for bodies that are held.
final class BodyBudget: Sendable {
    private struct State {
        var memory = 0
        var disk = 0
        /// What is being read back from disk.
        var loading = 0
        /// Bodies that wait to be read back, the oldest first.
        var line = Deque<Turn>()
    }

    /// The right to read a body back.
    private struct Turn: Sendable {
        let bytes: Int
        let begin: @Sendable () -> Void
    }

    private let memoryLimit: Int
    private let loadingLimit: Int
    private let diskLimit: Int
    private let state = Mutex(State())
    /// Where bodies go for which there is no memory.
    let folder: String?
    /// Writes and reads them: a slow disk holds up nobody else.
    static let threads: NIOThreadPool = {
        let threads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        return threads
    }()

    /// A quarter of the memory is for bodies that come back from disk, which senders that never end cannot keep busy.
    init(memory: Int, disk: Int, folder: String?) {
        loadingLimit = memory / 4
        memoryLimit = memory - loadingLimit
        diskLimit = folder == nil ? 0 : disk
        self.folder = folder
    }

    /// Whether a body of this length would find room now; 0 for one whose length is not known.
    func hasRoom(for length: Int) -> Bool {
        state.withLock { max(1, length) <= max(memoryLimit - $0.memory, diskLimit - $0.disk) }
    }

    func takeMemory(_ bytes: Int) -> Bool {
        state.withLock { state in
            guard bytes <= memoryLimit - state.memory else { return false }
            state.memory += bytes
            return true
        }
    }

    func takeDisk(_ bytes: Int) -> Bool {
        state.withLock { state in
            guard bytes <= diskLimit - state.disk else { return false }
            state.disk += bytes
            return true
        }
    }

    func giveBack(memory: Int, disk: Int) {
        state.withLock { state in
            state.memory -= memory
            state.disk -= disk
        }
    }

    // MARK: Reading back

    /// Calls back, on any thread, when so many bytes may be read back; `endLoading` follows exactly once.
    ///
    /// One body is always let in, however large.
    func beginLoading(_ bytes: Int, _ begin: @escaping @Sendable () -> Void) {
        advance { $0.line.append(Turn(bytes: bytes, begin: begin)) }
    }

    func endLoading(_ bytes: Int) {
        advance { $0.loading -= bytes }
    }

    private func advance(_ change: (inout State) -> Void) {
        let begun = state.withLock { state in
            change(&state)
            var begun: [Turn] = []
            while let turn = state.line.first, state.loading == 0 || turn.bytes <= loadingLimit - state.loading {
                state.loading += turn.bytes
                begun.append(state.line.removeFirst())
            }
            return begun
        }
        for turn in begun { turn.begin() }
    }

    // MARK: Faults

    static var exhausted: PlatformFault {
        PlatformFault(
            .overloaded,
            "The platform holds as many bodies as it may: other clients have not sent theirs to the end yet.",
            retryAfterSeconds: 5
        )
    }

    static var unreadable: PlatformFault {
        PlatformFault(.storageUnavailable, "The body that was held for the call cannot be read.", retryAfterSeconds: 5)
    }
}
