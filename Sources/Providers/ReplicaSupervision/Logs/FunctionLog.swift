// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
package import FunctionModel
import FunctionProcesses
import NIOCore
import Synchronization

/// One function's log, for as long as there is the function: a file for each replica, bounded, and who follows it.
///
/// Lines are written a tenth of a second after they came, many at once: a function that is just starting is not kept
/// waiting for its log, and one that writes faster than the disk is slowed down by its full pipe. Only a platform that is
/// killed loses the last of them. Whoever reads reads the files, at his own pace.
package final class FunctionLog: Sendable {
    private struct State {
        var folder: String
        var files: [String: LogFile] = [:]
        /// No place of a file that is forgotten lies behind this one.
        var origin: Int64 = 0
        /// Raised with all that there is to be read.
        var version = 0
        var followers: [Int: CheckedContinuation<Void, Never>] = [:]
        var lastFollower = 0
        var isWritingPlanned = false
        /// Nobody comes back to write: each line is written at once.
        var isClosed = false
        var isRemoved = false
        var isLeft = false
        var knowsEarlierFiles = false
    }

    let function: FunctionID
    private let loop: any EventLoop
    private let state: Mutex<State>
    private static let writeDelay = TimeAmount.milliseconds(100)
    /// Most bytes of one replica that wait.
    private static let writeAtOnce = 65_536
    /// So many files of replicas that have ended are kept, the newest.
    private static let fileLimit = 20

    init(_ function: FunctionID, folder: String, loop: any EventLoop) {
        self.function = function
        self.loop = loop
        state = Mutex(State(folder: folder))
    }

    /// Whether its function is being deleted.
    package var isLeft: Bool { state.withLock { $0.isLeft } }

    // MARK: Writing

    /// Begins to read what one process prints, from a pipe, until its other end is closed everywhere.
    package func read(_ descriptor: Int32, replica: String, lineLimit: Int?) {
        loop.execute { [self, loop] in
            LineReader.read(descriptor, on: loop, lineLimit: lineLimit) { [self] in add($0, replica) }
        }
    }

    /// Writes a line, one of the platform's own or one that a home was told with its moment.
    package func note(_ text: String, replica: String, at moment: Timestamp? = nil) {
        loop.execute { [self] in add(text, replica, at: moment ?? .now()) }
    }

    /// Writes lines that a replica printed; returns when they are taken, so that who reads faster than they are kept waits.
    package func write(_ lines: [String], replica: String) async {
        await withCheckedContinuation { continuation in
            loop.execute { [self] in
                for line in lines { add(line, replica) }
                continuation.resume()
            }
        }
    }

    private func add(_ text: String, _ replica: String, at moment: Timestamp = .now()) {
        let line = "\(moment.formatted(fractionDigits: 9))\t\(text)\n"
        let plansWriting = state.withLock { state -> Bool in
            guard !state.isRemoved else { return false }
            let waiting = state.files[replica, default: LogFile(name: replica, origin: state.origin)].add(line)
            if state.isClosed || waiting >= Self.writeAtOnce { Self.write(&state) }
            defer { state.isWritingPlanned = true }
            return !state.isWritingPlanned && !state.isClosed
        }
        guard plansWriting else { return }
        loop.scheduleTask(in: Self.writeDelay) { [self] in
            state.withLock { state in
                state.isWritingPlanned = false
                Self.write(&state)
            }
        }
    }

    private static func write(_ state: inout State) {
        guard !state.isRemoved else { return }
        var hasWritten = false
        for replica in state.files.keys where state.files[replica]?.write(in: state.folder) == true {
            hasWritten = true
        }
        guard hasWritten else { return }
        wakeFollowers(&state)
    }

    private static func wakeFollowers(_ state: inout State) {
        state.version += 1
        let followers = state.followers.values
        state.followers = [:]
        for follower in followers { follower.resume() }
    }

    /// Keeps the files of replicas that live, and of the newest others.
    func prune(living: Set<String>) {
        loop.execute { [self] in
            state.withLock { state in
                Self.write(&state)
                for name in LogFile.oldest(in: state.folder, besides: Self.fileLimit, and: living) {
                    unlink("\(state.folder)/\(name)")
                    let forgotten = state.files.removeValue(forKey: LogFile.replica(of: name))
                    state.origin = max(state.origin, forgotten?.end ?? 0)
                }
            }
        }
    }

    /// Moves the files away; what is written from now on is written there.
    func move(to folder: String) {
        state.withLock { state in
            state.isLeft = true
            rename(state.folder, folder)
            state.folder = folder
        }
    }

    /// Removes the files; what comes later is not written.
    func remove() {
        let folder = state.withLock { state in
            Self.write(&state)
            state.isRemoved = true
            state.isClosed = true
            Self.wakeFollowers(&state)
            return state.folder
        }
        // Who follows has them open, and reads them to their end.
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Writes what waits, and from now on each line at once; those who follow come to the end.
    func close() {
        state.withLock { state in
            Self.write(&state)
            state.isClosed = true
            Self.wakeFollowers(&state)
        }
    }

    // MARK: Reading

    /// The lines of a query, oldest first, then new ones where they are wanted.
    ///
    /// Read as fast as they are taken, and no faster: nothing waits in memory for who does not keep up.
    func lines(_ query: LogQuery) -> AsyncThrowingStream<LogLine, any Error> {
        let reading = LogReading(self, query)
        return AsyncThrowingStream { try await reading.next() }
    }

    /// What there is to be read now, for who knows the files that `known` names already.
    struct View {
        var files: [String: LogFile.View]
        var version: Int
        /// Nothing will follow.
        var isLast: Bool
    }

    /// Writes what waits and opens what is new.
    ///
    /// Waits for the disk. - Throws: `storageUnavailable` when a file cannot be opened.
    func view(of replica: String?, known: [String: Int64]) throws(PlatformFault) -> View {
        try state.withLock { state throws(PlatformFault) in
            Self.write(&state)
            Self.discover(&state)
            var files: [String: LogFile.View] = [:]
            for name in state.files.keys where replica == nil || replica == name {
                files[name] = try state.files[name]?.view(in: state.folder, known: known[name])
            }
            return View(files: files, version: state.version, isLast: state.isClosed)
        }
    }

    /// Somebody else may have written, or made files.
    func lookAgain() {
        state.withLock { state in
            state.knowsEarlierFiles = false
            Self.wakeFollowers(&state)
        }
    }

    /// Replicas of earlier runs have files too; those of this run are known.
    private static func discover(_ state: inout State) {
        guard !state.isRemoved, !state.knowsEarlierFiles else { return }
        state.knowsEarlierFiles = true
        for name in (try? FileManager.default.contentsOfDirectory(atPath: state.folder)) ?? [] {
            let replica = LogFile.replica(of: name)
            if state.files[replica] == nil { state.files[replica] = LogFile(name: replica, origin: state.origin) }
        }
    }

    /// Returns when there is more to be read than at that version, or the caller is cancelled.
    func change(after version: Int) async {
        let number = state.withLock { state in
            state.lastFollower += 1
            return state.lastFollower
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    let isOver = state.version != version || state.isClosed || Task.isCancelled
                    if !isOver { state.followers[number] = continuation }
                    return isOver
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.followers.removeValue(forKey: number) }?.resume()
        }
    }
}
