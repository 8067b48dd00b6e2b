// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import NIOPosix
import ProcessControl
import TestSupport
import Testing

@testable import ReplicaSupervision

/// What is kept of what functions print, and what those get who read it.
struct FunctionLogsTests {
    private let folder = TemporaryFolder()
    private let loop = MultiThreadedEventLoopGroup.singleton.next()
    private let id = FunctionID(name: "talk", namespace: "fn")
    private var logs: FunctionLogs { FunctionLogs(folder: folder.path, loop: loop) }

    /// Prints lines as a process does.
    private func print(_ text: String, to log: FunctionLog, replica: String = "talk-1-1", limit: Int? = nil) throws {
        let (readEnd, writeEnd) = try ProcessPipe.open()
        log.read(readEnd, replica: replica, lineLimit: limit)
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(writeEnd, $0.baseAddress, $0.count) }
            rest = rest.dropFirst(max(0, count))
        }
        close(writeEnd)
    }

    private func query(_ tail: Int? = nil, since: Timestamp? = nil, follow: Bool = false) -> LogQuery {
        LogQuery(function: id, tail: tail, since: since, follow: follow)
    }

    private func texts(_ log: FunctionLog, _ query: LogQuery) async throws -> [String] {
        var texts: [String] = []
        for try await line in log.lines(query) { texts.append(line.text) }
        return texts
    }

    /// Waits until a line is a log's last one.
    private func has(_ text: String, _ log: FunctionLog) async throws -> Bool {
        try await eventually { try await texts(log, query(1)) == [text] }
    }

    // MARK: Following

    @Test func `who follows a long log gets all of it, and all that comes, however slowly he reads`() async throws {
        let log = logs.log(of: id)
        try print((1...30_000).map { "line \($0)\n" }.joined(), to: log)
        #expect(try await has("line 30000", log))
        var count = 0
        for try await line in log.lines(query(follow: true)) {
            count += 1
            #expect(line.text == "line \(count)")
            if count == 5 { try print((30_001...45_000).map { "line \($0)\n" }.joined(), to: log) }
            if count == 45_000 { break }
        }
    }

    @Test func `who is too slow for what is kept is told how much he has missed`() async throws {
        let log = logs.log(of: id)
        let long = String(repeating: "x", count: 60_000)
        try print("first\n", to: log)
        #expect(try await has("first", log))
        var following = log.lines(query(follow: true)).makeAsyncIterator()
        #expect(try await following.next()?.text == "first")
        for number in 1...4 {
            try print((1...88).map { _ in long + "\n" }.joined() + "end \(number)\n", to: log)
            #expect(try await has("end \(number)", log))
        }
        var (lines, missed) = (1, 0)
        while let line = try await following.next() {
            if line.text == "end 4" { break }
            if line.text.hasPrefix("martlet: ") {
                #expect(
                    line.text.hasSuffix(" bytes of the log were left out here: they came faster than they were read")
                )
                missed += Int(line.text.split(separator: " ")[1]) ?? 0
            } else {
                lines += line.text == long ? 1 : 0
            }
        }
        #expect(missed > 0)
        // A line has its time, 30 characters, a tab and an end besides.
        let lost = 4 * 88 - (lines - 1)
        #expect((lost * 60_032...lost * 60_032 + 200).contains(missed), "\(lost) lines, \(missed) bytes")
    }

    @Test(.timeLimit(.minutes(1)))
    func `a follower who goes is no more, and the others go on`() async throws {
        let log = logs.log(of: id)
        try print("one\n", to: log)
        #expect(try await has("one", log))
        let seen = Outcome<Void>()
        let gone = Task {
            for try await _ in log.lines(query(follow: true)) { seen.resolve(()) }
        }
        await seen.value()
        gone.cancel()
        try await gone.value
        var following = log.lines(query(follow: true)).makeAsyncIterator()
        #expect(try await following.next()?.text == "one")
        try print("two\n", to: log)
        #expect(try await following.next()?.text == "two")
    }

    @Test(.timeLimit(.minutes(1)))
    func `when the platform stops, followers get the last lines and their end`() async throws {
        let logs = logs
        let log = logs.log(of: id)
        try print("one\n", to: log)
        #expect(try await has("one", log))
        var following = log.lines(query(follow: true)).makeAsyncIterator()
        #expect(try await following.next()?.text == "one")
        log.note("last", replica: "talk-1-1")
        logs.close()
        #expect(try await following.next()?.text == "last")
        #expect(try await following.next() == nil)
    }

    // MARK: Which lines

    @Test func `lines of all replicas come in the order of time; tail, since and instance choose`() async throws {
        let log = logs.log(of: id)
        for number in 1...6 {
            log.note("n\(number)", replica: number.isMultiple(of: 2) ? "talk-1-2" : "talk-1-1")
        }
        #expect(try await has("n6", log))
        let all = (1...6).map { "n\($0)" }
        #expect(try await texts(log, query()) == all)
        for tail in 1...7 { #expect(try await texts(log, query(tail)) == Array(all.suffix(tail))) }
        #expect(try await texts(log, query(Int.max)) == all)
        var moments: [Timestamp] = []
        for try await line in log.lines(query()) { moments.append(line.timestamp) }
        #expect(try await texts(log, query(since: moments[3])) == ["n4", "n5", "n6"])
        #expect(try await texts(log, query(2, since: moments[5])) == ["n6"])
        let one = LogQuery(function: id, instance: "talk-1-2", tail: 2)
        #expect(try await texts(log, one) == ["n4", "n6"])
    }

    @Test func `the last lines are found behind where the file was moved aside`() async throws {
        let log = logs.log(of: id)
        let long = String(repeating: "x", count: 60_000)
        let lines = (1...100).map { "\($0) \(long)" }
        try print(lines.map { $0 + "\n" }.joined(), to: log)
        #expect(try await eventually { try await texts(log, query(1)).first?.hasPrefix("100 ") == true })
        #expect(FileManager.default.fileExists(atPath: "\(folder.path)/fn/talk/talk-1-1.log.1"))
        for tail in [1, 5, 12, 13, 14, 60, 99, 100, 101] {
            #expect(try await texts(log, query(tail)) == Array(lines.suffix(tail)))
        }
    }

    // MARK: Names

    @Test func `a function created again under its name has a log of its own`() async throws {
        let logs = logs
        let old = logs.log(of: id)
        let (readEnd, writeEnd) = try ProcessPipe.open()
        old.read(readEnd, replica: "talk-1-1", lineLimit: nil)
        #expect(write(writeEnd, "old\n", 4) == 4)
        #expect(try await has("old", old))
        logs.leave(old)
        let new = logs.log(of: id)
        #expect(try await texts(new, query()).isEmpty)
        // The old one's replica prints on, also when the new one has begun.
        try print("new\n", to: new)
        #expect(try await has("new", new))
        #expect(write(writeEnd, "late\n", 5) == 5)
        close(writeEnd)
        #expect(try await has("late", old))
        logs.remove(old)
        old.note("later", replica: "talk-1-1")
        new.note("newer", replica: "talk-1-1")
        #expect(try await has("newer", new))
        #expect(try await texts(new, query()) == ["new", "newer"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/.left").isEmpty)
    }

    @Test(.timeLimit(.minutes(1)))
    func `who follows a function that is deleted gets its last lines, and none of its successor's`() async throws {
        let logs = logs
        let old = logs.log(of: id)
        old.note("one", replica: "talk-1-1")
        #expect(try await has("one", old))
        var following = old.lines(query(follow: true)).makeAsyncIterator()
        #expect(try await following.next()?.text == "one")
        logs.leave(old)
        logs.log(of: id).note("new", replica: "talk-1-1")
        old.note("two", replica: "talk-1-1")
        #expect(try await following.next()?.text == "two")
        logs.remove(old)
        #expect(try await following.next() == nil)
    }

    @Test func `what functions left whose deletion was cut short is gone after the next start`() async throws {
        folder.write("fn/talk/talk-1-1.log", "2026-01-02T03:04:05.000000000Z\tkept\n")
        folder.write("fn/gone/gone-1-1.log", "2026-01-02T03:04:05.000000000Z\tgone\n")
        folder.write(".left/x/gone-1-1.log", "2026-01-02T03:04:05.000000000Z\tgone\n")
        let logs = logs
        logs.removeLeftovers(besides: [id])
        #expect(
            try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted() == [
                "fn", "fn/talk", "fn/talk/talk-1-1.log",
            ]
        )
        #expect(try await texts(logs.log(of: id), query()) == ["kept"])
    }

    // MARK: Files

    @Test func `the last line of a run that was killed is not glued to the first of the next`() async throws {
        folder.write(
            "fn/talk/talk-1-1.log",
            "2026-01-02T03:04:05.000000000Z\twhole\n2026-01-02T03:04:05.000000000Z\thal"
        )
        let log = logs.log(of: id)
        log.note("next", replica: "talk-1-1")
        #expect(try await has("next", log))
        #expect(try await texts(log, query()) == ["whole", "hal", "next"])
    }

    @Test func `lines that found no place are counted, and said so when there is place again`() async throws {
        let log = logs.log(of: id)
        // A file where the folder should be: nothing can be written.
        folder.write("fn", "")
        log.note(String(repeating: "x", count: 70_000), replica: "talk-1-1")
        log.note("second", replica: "talk-1-1")
        await workIsDone()
        #expect(try await texts(log, query()).isEmpty)
        folder.remove("fn")
        log.note("third", replica: "talk-1-1")
        #expect(try await has("third", log))
        let lines = try await texts(log, query())
        #expect(lines.count == 2 && lines[0].hasSuffix("bytes of the log could not be written"), "\(lines)")
        #expect((Int(lines[0].split(separator: " ")[1]) ?? 0) > 70_000)
    }

    /// Returns when the loop has done what it was given up to now.
    private func workIsDone() async {
        let done = Outcome<Void>()
        loop.execute { done.resolve(()) }
        await done.value()
    }

    @Test func `only the newest replicas' files are kept, and those of replicas that live`() async throws {
        let log = logs.log(of: id)
        for number in 1...30 { log.note("x", replica: "talk-1-\(number)") }
        #expect(
            try await eventually {
                try await texts(log, query()).count == 30
            }
        )
        log.prune(living: ["talk-1-1", "talk-1-30"])
        await workIsDone()
        let files = try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/fn/talk")
        #expect(files.count == 22 && files.contains("talk-1-1.log") && files.contains("talk-1-30.log"))
        log.note("y", replica: "talk-1-1")
        #expect(try await has("y", log))
    }
}
