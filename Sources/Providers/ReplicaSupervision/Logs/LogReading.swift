// SPDX-License-Identifier: Apache-2.0

import Dispatch
import FaultModel
import FunctionModel
import Synchronization

/// Reads a log for one query: what is there, in the order of time, then, to who follows, what is added.
///
/// Lines come from the files when they are asked for. Who takes them slowly reads older files, and is told so where those
/// have been given up meanwhile; he slows down no function, and takes no memory.
final class LogReading: Sendable {
    private struct State {
        var lines: ArraySlice<LogLine> = []
        var cursors: [LogCursor] = []
        var version = 0
        var hasBegun = false
        /// Nothing comes behind what the cursors know of.
        var isLast = false
        /// Lines to be left out, since only the last ones are wanted.
        var skipped = 0
    }

    private enum Step {
        case lines
        /// There is no more now, at this version of the log.
        case caughtUp(Int)
        case over
    }

    private let log: FunctionLog
    private let query: LogQuery
    private let state = Mutex(State())
    private static let linesAtOnce = 500

    init(_ log: FunctionLog, _ query: LogQuery) {
        self.log = log
        self.query = query
    }

    /// The next line; nil at the end, or when the caller is cancelled.
    ///
    /// - Throws: `storageUnavailable` when a file cannot be opened.
    func next() async throws(PlatformFault) -> LogLine? {
        while !Task.isCancelled {
            if let line = state.withLock({ $0.lines.popFirst() }) { return line }
            switch try await onDisk(read) {
            case .lines: continue
            case .caughtUp(let version): await log.change(after: version)
            case .over: return nil
            }
        }
        return nil
    }

    private func onDisk(
        _ body: @escaping @Sendable () throws(PlatformFault) -> Step
    ) async throws(PlatformFault) -> Step {
        let result: Result<Step, PlatformFault> = await withCheckedContinuation { continuation in
            DispatchQueue.global(qos: .utility).async {
                continuation.resume(returning: Result { () throws(PlatformFault) in try body() })
            }
        }
        return try result.get()
    }

    // MARK: On a thread that may wait for the disk

    private func read() throws(PlatformFault) -> Step {
        try state.withLock { state throws(PlatformFault) in
            takeLines(&state)
            if state.lines.isEmpty, !state.hasBegun || query.follow, !state.isLast {
                try look(&state)
                takeLines(&state)
            }
            guard state.lines.isEmpty else { return .lines }
            return query.follow && !state.isLast ? .caughtUp(state.version) : .over
        }
    }

    private func look(_ state: inout State) throws(PlatformFault) {
        let known = state.cursors.compactMap { cursor in cursor.known.map { (cursor.replica, $0) } }
        let view = try log.view(of: query.instance, known: Dictionary(known) { first, _ in first })
        for index in state.cursors.indices {
            guard let file = view.files[state.cursors[index].replica] else { continue }
            state.cursors[index].extend(file)
        }
        let old = Set(state.cursors.map(\.replica))
        for (replica, file) in view.files.sorted(by: { $0.key < $1.key }) where !old.contains(replica) {
            var cursor = LogCursor(replica: replica, since: query.since)
            cursor.extend(file)
            state.cursors.append(cursor)
        }
        (state.version, state.isLast) = (view.version, view.isLast)
        if !state.hasBegun { keepTail(&state) }
        state.hasBegun = true
    }

    /// Each replica's last lines may be among the last ones of all; which of them are not is found out by counting.
    private func keepTail(_ state: inout State) {
        guard let tail = query.tail, tail > 0 else { return }
        var count = 0
        for index in state.cursors.indices {
            state.cursors[index].keepLast(tail)
            var copy = state.cursors[index]
            while copy.pop() != nil { count += 1 }
        }
        state.skipped = max(0, count - tail)
    }

    private func takeLines(_ state: inout State) {
        var lines: [LogLine] = []
        while lines.count < Self.linesAtOnce, let line = nextLine(&state) {
            if state.skipped > 0 { state.skipped -= 1 } else { lines.append(line) }
        }
        state.lines = lines[...]
    }

    /// The oldest of the replicas' next lines.
    private func nextLine(_ state: inout State) -> LogLine? {
        var oldest: (index: Int, time: Timestamp)?
        for index in state.cursors.indices {
            guard let entry = state.cursors[index].peek() else { continue }
            if oldest.map({ entry.time < $0.time }) ?? true { oldest = (index, entry.time) }
        }
        guard let index = oldest?.index, let entry = state.cursors[index].pop() else { return nil }
        return LogLine(
            name: log.function.name,
            namespace: log.function.namespace,
            instance: state.cursors[index].replica,
            timestamp: entry.time,
            text: entry.text
        )
    }
}
