// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc
import ProcessControl
import Synchronization

/// Writes lines to a descriptor from a thread of its own, so that a slow reader of logs never stops an event loop.
///
/// Lines that come within 5 ms of the first are written with it.
/// What does not fit into its memory is dropped, counted, and said so in its place.
public final class LineWriter: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var dropped = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let wakeUp = eventfd(0, Int32(EFD_CLOEXEC))
    private let descriptor: Int32
    private let limit: Int
    private let ended = Outcome<Void>()

    /// Microseconds that a line waits for others: a wake-up and a write for each would cost more than the call it tells of.
    private static let pause: UInt32 = 5_000

    /// Begins to write to a descriptor, which stays the caller's; so many bytes may wait.
    public init(descriptor: Int32, limit: Int = 4 * 1_048_576) {
        self.descriptor = descriptor
        self.limit = limit
        NamedThread.start("line-writer") { [self] in run() }
    }

    /// Takes a line, without its end; never blocks.
    public func write(_ line: String) { write { $0.append(contentsOf: line.utf8) } }

    /// Takes a line that is appended to the bytes which wait, without its end; never blocks.
    ///
    /// `append` must be quick: other event loops wait for it.
    public func write(_ append: (inout [UInt8]) -> Void) {
        let isFirst = state.withLock { state in
            let length = state.bytes.count
            append(&state.bytes)
            guard state.bytes.count < limit else {
                state.bytes.removeSubrange(length...)
                state.dropped += 1
                return false
            }
            state.bytes.append(0x0A)
            return length == 0
        }
        if isFirst { eventfd_write(wakeUp, 1) }
    }

    /// Returns when everything is written; nothing may be written any more.
    public func close() async {
        state.withLock { $0.isClosed = true }
        eventfd_write(wakeUp, 1)
        await ended.value()
    }

    private func run() {
        var bytes: [UInt8] = []
        while true {
            var count: eventfd_t = 0
            eventfd_read(wakeUp, &count)
            if !state.withLock({ $0.isClosed }) { usleep(Self.pause) }
            let (dropped, isClosed) = state.withLock { state in
                swap(&bytes, &state.bytes)
                defer { state.dropped = 0 }
                return (state.dropped, state.isClosed)
            }
            if dropped > 0 { bytes += Array("\(dropped) lines were dropped: nobody read fast enough\n".utf8) }
            writeAll(bytes)
            bytes.removeAll(keepingCapacity: true)
            if isClosed { break }
        }
        Glibc.close(wakeUp)
        ended.resolve(())
    }

    private func writeAll(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            // Nobody reads any more: there is nothing to be told.
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
