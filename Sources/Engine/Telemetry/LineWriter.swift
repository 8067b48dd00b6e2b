// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc
import ProcessControl
import Synchronization

/// Writes lines to a descriptor from a thread of its own, so that a slow reader of logs never stops anybody else.
///
/// Lines that come within 5 ms of the first are written with it. A reader that is slow, or gone, costs lines and nothing
/// else: what does not fit into memory, or is not taken any more, is counted. A slow reader finds the number in its place.
public final class LineWriter: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var dropped = 0
        /// When to give up what nobody takes; nil while lines may still come.
        var end: ContinuousClock.Instant?
    }

    private let state = Mutex(State())
    private let wakeUp = eventfd(0, Int32(EFD_CLOEXEC))
    private let descriptor: Int32
    private let limit: Int
    private let notice: @Sendable (_ dropped: Int) -> String
    private let ended = Outcome<Void>()
    private let lostHere = Atomic<Int>(0)
    private static let lostByAll = Atomic<Int>(0)

    /// Microseconds that a line waits for others: a wake-up and a write for each would cost more than the call it tells of.
    private static let pause: UInt32 = 5_000
    /// Milliseconds between two looks at whether a reader that takes nothing is still to be waited for.
    private static let patience: Int32 = 100
    /// What a pipe that has room takes without blocking (`PIPE_BUF`, pipe(7)).
    private static let pieceSize = 4096

    /// Begins to write to a descriptor, which stays the caller's; so many bytes may wait.
    ///
    /// `notice` words the line that tells of lines which were dropped.
    public init(
        descriptor: Int32,
        limit: Int = 4 * 1_048_576,
        notice: @escaping @Sendable (_ dropped: Int) -> String = { "\($0) lines were dropped: nobody read fast enough" }
    ) {
        self.descriptor = descriptor
        self.limit = limit
        self.notice = notice
        NamedThread.start("line-writer") { [self] in run() }
    }

    /// Lines that nobody will read, since this writer was made.
    public var lostLines: Int { lostHere.load(ordering: .relaxed) }

    /// Lines of all writers that nobody will read, since the process began.
    public static var lostLines: Int { lostByAll.load(ordering: .relaxed) }

    /// Takes a line, without its end; never blocks.
    public func write(_ line: String) { write { $0.append(contentsOf: line.utf8) } }

    /// Takes a line that is appended to the bytes which wait, without its end; never blocks.
    ///
    /// `append` must be quick: other event loops wait for it. A line that comes after `close` is lost.
    public func write(_ append: (inout [UInt8]) -> Void) {
        let (isFirst, isLost) = state.withLock { state in
            guard state.end == nil else { return (false, true) }
            let length = state.bytes.count
            append(&state.bytes)
            guard state.bytes.count < limit else {
                state.bytes.removeSubrange(length...)
                state.dropped += 1
                return (false, true)
            }
            state.bytes.append(0x0A)
            return (length == 0, false)
        }
        if isFirst { eventfd_write(wakeUp, 1) }
        if isLost { lose(1) }
    }

    /// Returns when everything is written, or when the reader took nothing for as long as it is given.
    public func close(within limit: Duration = .seconds(1)) async {
        state.withLock { $0.end = $0.end ?? .now + limit }
        eventfd_write(wakeUp, 1)
        await ended.value()
    }

    private func lose(_ lines: Int) {
        lostHere.add(lines, ordering: .relaxed)
        Self.lostByAll.add(lines, ordering: .relaxed)
    }

    // MARK: The thread

    private func run() {
        ignoreBrokenPipes()
        var bytes: [UInt8] = []
        while true {
            var count: eventfd_t = 0
            eventfd_read(wakeUp, &count)
            if !isEnding { usleep(Self.pause) }
            let (dropped, isLast) = state.withLock { state in
                swap(&bytes, &state.bytes)
                defer { state.dropped = 0 }
                return (state.dropped, state.end != nil)
            }
            if dropped > 0 { bytes += Array("\(notice(dropped))\n".utf8) }
            writeOut(bytes)
            bytes.removeAll(keepingCapacity: true)
            if isLast { break }
        }
        Glibc.close(wakeUp)
        ended.resolve(())
    }

    private var isEnding: Bool { state.withLock { $0.end != nil } }

    private var isGivenUp: Bool { state.withLock { $0.end.map { .now >= $0 } ?? false } }

    /// A reader that went away is an error of `write`, not the end of the process.
    private func ignoreBrokenPipes() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    private func writeOut(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard awaitRoom() else { return lose(rest.count { $0 == 0x0A }) }
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, min($0.count, Self.pieceSize)) }
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else { return lose(rest.count { $0 == 0x0A }) }
            rest = rest.dropFirst(count)
        }
    }

    /// Waits until the descriptor takes a piece or fails; false when the end has come before.
    private func awaitRoom() -> Bool {
        while true {
            var question = pollfd(descriptor: descriptor)
            if poll(&question, 1, Self.patience) != 0 { return true }
            if isGivenUp { return false }
        }
    }
}

extension pollfd {
    fileprivate init(descriptor: Int32) {
        self.init(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    }
}
