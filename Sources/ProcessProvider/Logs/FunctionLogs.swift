// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import FunctionProcesses
import NIOCore
import ProviderContract

/// The logs of all functions: files per replica, bounded, and lines as they come for those who follow.
///
/// Everything happens on one event loop of its own, whose thread may wait for the disk. Lines are written a tenth of a
/// second after they came, many at once: a function that is just starting is not kept waiting for its log, and one that
/// writes faster than the disk is slowed down by its full pipe. Only a platform that is killed loses the last of them.
final class FunctionLogs: Sendable {
    let loop: any EventLoop
    private let folder: String
    private let followers: NIOLoopBoundBox<[Int: Follower]>
    private let unwritten: NIOLoopBoundBox<UnwrittenLines>
    private static let writeDelay = TimeAmount.milliseconds(100)
    /// Most bytes of one replica that wait.
    private static let writeAtOnce = 65_536

    private struct Follower {
        let query: LogQuery
        let continuation: AsyncThrowingStream<LogLine, any Error>.Continuation
    }

    init(folder: String, loop: any EventLoop) {
        self.folder = folder
        self.loop = loop
        followers = NIOLoopBoundBox.makeBoxSendingValue([:], eventLoop: loop)
        unwritten = NIOLoopBoundBox.makeBoxSendingValue(UnwrittenLines(), eventLoop: loop)
    }

    // MARK: Writing

    /// Begins to read a replica's output from a pipe until its other end is closed everywhere.
    func read(_ descriptor: Int32, of function: FunctionID, replica: String, lineLimit: Int?) {
        loop.execute { [self] in
            let file = LogFile(folder: folder(of: function), replica: replica)
            LineReader.read(descriptor, on: loop, lineLimit: lineLimit) { [self] text in
                take(LogLine(function, replica, text), file)
            }
        }
    }

    /// Writes a line of the platform's own into a function's log.
    func note(_ text: String, about function: FunctionID, replica: String) {
        loop.execute { [self] in
            take(LogLine(function, replica, text), LogFile(folder: folder(of: function), replica: replica))
        }
    }

    /// Removes a function's logs.
    func remove(_ function: FunctionID) {
        let folder = folder(of: function)
        loop.execute { [self] in
            unwritten.value.forget(folder)
            try? FileManager.default.removeItem(atPath: folder)
        }
    }

    /// Keeps the files of a function's newest replicas only.
    func prune(_ function: FunctionID) {
        let folder = folder(of: function)
        loop.execute { [self] in
            unwritten.value.write()
            LogFile.prune(folder)
        }
    }

    private func take(_ line: LogLine, _ file: LogFile) {
        let unwritten = unwritten.value
        if unwritten.isEmpty { scheduleWriting() }
        if unwritten.add(line, to: file) >= Self.writeAtOnce { unwritten.write() }
        for follower in followers.value.values where follower.query.wants(line) {
            // A follower that does not keep up loses its oldest lines, not the function its pace.
            follower.continuation.yield(line)
        }
    }

    private func scheduleWriting() {
        loop.assumeIsolated().scheduleTask(in: Self.writeDelay) { [self] in unwritten.value.write() }
    }

    private func folder(of function: FunctionID) -> String { "\(folder)/\(function.namespace)/\(function.name)" }

    // MARK: Reading

    /// The lines of a query, oldest first, then new ones where they are wanted.
    func lines(_ query: LogQuery) -> AsyncThrowingStream<LogLine, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(
            of: LogLine.self,
            bufferingPolicy: query.follow ? .bufferingNewest(10_000) : .unbounded
        )
        loop.execute { [self] in
            unwritten.value.write()
            // What is in the files now, and every line from now on: on this loop nothing falls in between.
            for line in LogFile.lines(in: folder(of: query.function), query) { continuation.yield(line) }
            guard query.follow else { return continuation.finish() }
            let number = (followers.value.keys.max() ?? 0) + 1
            followers.value[number] = Follower(query: query, continuation: continuation)
            continuation.onTermination = { [self] _ in loop.execute { [self] in followers.value[number] = nil } }
        }
        return stream
    }

    /// Writes what is left and ends all followers.
    func close() {
        loop.execute { [self] in
            unwritten.value.close()
            for follower in followers.value.values { follower.continuation.finish() }
            followers.value = [:]
        }
    }
}

/// Lines that are not in their files yet; confined to the logs' event loop.
private final class UnwrittenLines {
    private var bytes: [LogFile: [UInt8]] = [:]
    private var isClosed = false

    var isEmpty: Bool { bytes.isEmpty }

    /// Returns how many bytes wait for the same file now.
    func add(_ line: LogLine, to file: LogFile) -> Int {
        defer { if isClosed { write() } }
        bytes[file, default: []] += "\(line.timestamp.formatted(fractionDigits: 9))\t\(line.text)\n".utf8
        return bytes[file, default: []].count
    }

    /// Writes what waits, and from now on each line at once: nobody comes back for it.
    func close() {
        isClosed = true
        write()
    }

    func forget(_ folder: String) { bytes = bytes.filter { $0.key.folder != folder } }

    func write() {
        for (file, bytes) in bytes { file.append(bytes) }
        bytes = [:]
    }
}

extension LogLine {
    fileprivate init(_ function: FunctionID, _ replica: String, _ text: String) {
        self.init(
            name: function.name,
            namespace: function.namespace,
            instance: replica,
            timestamp: .now(),
            text: text
        )
    }
}

extension LogQuery {
    fileprivate func wants(_ line: LogLine) -> Bool {
        line.name == function.name && line.namespace == function.namespace
            && (instance == nil || instance == line.instance)
    }
}

/// The file of one replica's log: `TIME<TAB>TEXT` per line, moved aside when it is large.
private struct LogFile: Hashable {
    let folder: String
    let replica: String
    private static let sizeLimit: off_t = 5 * 1_048_576
    private static let replicaLimit = 20

    private var path: String { "\(folder)/\(replica).log" }

    func append(_ bytes: [UInt8]) {
        var descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor < 0 {
            try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        }
        // A full disk costs log lines, not the function.
        guard descriptor >= 0 else { return }
        _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if lseek(descriptor, 0, SEEK_CUR) > Self.sizeLimit { rename(path, path + ".1") }
        close(descriptor)
    }

    static func prune(_ folder: String) {
        let files = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
        let oldestFirst = files.sorted { modified("\(folder)/\($0)") < modified("\(folder)/\($1)") }
        for file in oldestFirst.dropLast(replicaLimit) { unlink("\(folder)/\(file)") }
    }

    private static func modified(_ path: String) -> Int64 {
        var status = stat()
        guard stat(path, &status) == 0 else { return 0 }
        return Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }

    static func lines(in folder: String, _ query: LogQuery) -> [LogLine] {
        let files = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        let all = files.flatMap { file -> [LogLine] in
            let replica = String(file.prefix { $0 != "." })
            guard query.instance == nil || query.instance == replica else { return [] }
            return lines(of: "\(folder)/\(file)", replica, query)
        }
        let sorted = all.sorted { $0.timestamp < $1.timestamp }
        guard let tail = query.tail, tail > 0 else { return sorted }
        return Array(sorted.suffix(tail))
    }

    private static func lines(of path: String, _ replica: String, _ query: LogQuery) -> [LogLine] {
        guard let data = FileManager.default.contents(atPath: path) else { return [] }
        return data.split(separator: 0x0A).compactMap { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let tab = text.firstIndex(of: "\t"), let time = Timestamp(String(text[..<tab])) else { return nil }
            if let since = query.since, time < since { return nil }
            return LogLine(
                name: query.function.name,
                namespace: query.function.namespace,
                instance: replica,
                timestamp: time,
                text: String(text[text.index(after: tab)...])
            )
        }
    }
}
