// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProcessControl
import TestSupport
import Testing

/// What a process started is found by its mark, wherever it went.
struct ProcessMarksTests {
    private let spawner = ProcessSpawner()
    private let folder = TemporaryFolder()
    private let owner = "test-\(UUID().uuidString)"

    /// A program that starts one which leaves its group and session, and its parent, and goes on itself.
    ///
    /// `loss` is what that one does first to be found less easily.
    private static func program(_ loss: String) -> String {
        """
        (\(loss) setsid sh -c 'echo $$ > left; exec sleep 1000' < /dev/null > /dev/null 2>&1 &)
        until [ -s left ]; do :; done
        exec sleep 1000
        """
    }

    private func start(
        _ mark: ProcessMarks.Mark,
        in name: String,
        losing loss: String = ""
    ) async throws -> (StartedProcess, Outcome<ProcessExit>) {
        let place = "\(folder.path)/\(name)"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        var spec = ProcessSpec(
            arguments: ["sh", "-c", Self.program(loss)],
            environment: [("PATH", "/usr/bin:/bin")],
            workingDirectory: place,
            streams: .combined(descriptor: STDERR_FILENO)
        )
        spec.mark = mark
        let exit = Outcome<ProcessExit>()
        let process = try await spawner.start(spec) { exit.resolve($0) }
        #expect(await eventually { runs(name) })
        return (process, exit)
    }

    private func runs(_ name: String) -> Bool {
        let text = (try? String(contentsOfFile: "\(folder.path)/\(name)/left", encoding: .utf8)) ?? ""
        guard let process = Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)) else { return false }
        let state = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
        return !state.isEmpty && !state.contains(") Z ")
    }

    /// The limit can be lifted by root alone.
    @Test(arguments: ["", "env -i", "ulimit -m unlimited;"])
    func `what left group, session and parent ends when the mark is withdrawn, and nothing else does`(
        loss: String
    ) async throws {
        let marks = ProcessMarks(owner: owner)
        let (one, other) = (marks.issue(), marks.issue())
        let (first, firstExit) = try await start(one, in: "one", losing: loss)
        let (second, secondExit) = try await start(other, in: "other")
        spawner.signalGroup(of: first.processID, SIGKILL)
        #expect(await firstExit.value() == .signalled(9))
        await marks.endStrays()
        #expect(runs("one"), "its mark is in use")
        marks.withdraw(one)
        await marks.endStrays()
        #expect(await eventually { !runs("one") })
        #expect(runs("other"))
        marks.withdrawAll()
        await marks.endStrays()
        #expect(await eventually { !runs("other") })
        #expect(await secondExit.value() == .signalled(9))
        spawner.signalGroup(of: second.processID, SIGKILL)
    }

    @Test func `what an earlier run of the same owner left ends; another owner's does not`() async throws {
        let (_, mine) = try await start(ProcessMarks(owner: owner).issue(), in: "mine")
        let stranger = ProcessMarks(owner: owner + "2")
        let (_, theirs) = try await start(stranger.issue(), in: "theirs")
        await ProcessMarks(owner: owner).endStrays()
        #expect(await mine.value() == .signalled(9))
        #expect(await eventually { !runs("mine") })
        #expect(runs("theirs"))
        stranger.withdrawAll()
        await stranger.endStrays()
        #expect(await theirs.value() == .signalled(9))
    }

    @Test func `many who ask at once all hear of it`() async {
        let marks = ProcessMarks(owner: owner)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { await marks.endStrays() } }
        }
    }

    @Test func `what ended by itself leaves nothing for long either`() async throws {
        let marks = ProcessMarks(owner: owner)
        let mark = marks.issue()
        let (process, exit) = try await start(mark, in: "one")
        spawner.signalGroup(of: process.processID, SIGTERM)
        _ = await exit.value()
        marks.withdraw(mark)
        for _ in 0..<100 { marks.endStraysLater() }
        #expect(await eventually { !runs("one") })
    }
}
