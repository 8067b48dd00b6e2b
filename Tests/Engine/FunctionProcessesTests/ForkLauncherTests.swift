// SPDX-License-Identifier: Apache-2.0

import Glibc
import NIOCore
import NIOPosix
import ProcessControl
import ProviderContract
import Synchronization
import TestSupport
import Testing

@testable import FunctionProcesses

/// Processes of calls: what they say, and what is left of them.
struct ForkLauncherTests {
    private let folder = TemporaryFolder()
    private let marks = ProcessMarks(owner: "test-\(UInt64.random(in: 0 ... .max))")
    private let spawner = ProcessSpawner()
    private let errors = Errors()

    /// The lines of all processes' standard error, as they are told.
    private final class Errors: Sendable {
        private let lines = Mutex<[String]>([])
        private let loop = MultiThreadedEventLoopGroup.singleton.next()

        var all: [String] { lines.withLock { $0 } }

        func read(_ descriptor: Int32) {
            loop.execute { [self] in
                LineReader.read(
                    descriptor,
                    on: loop,
                    lineLimit: nil,
                    take: { line in self.lines.withLock { $0.append(line) } }
                )
            }
        }
    }

    private func launcher(_ script: String) -> ForkLauncher {
        ForkLauncher(
            spec: ProcessSpec(
                arguments: ["sh", "-c", script],
                environment: [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("FOLDER", folder.path)],
                workingDirectory: folder.path,
                streams: .allPiped
            ),
            contentType: "text/plain",
            spawner: spawner,
            marks: marks,
            takeErrors: errors.read
        )
    }

    /// A call, whose process's input stays open until it is ended.
    private struct Call {
        let process: LaunchedProcess
        let end: Outcome<ProcessEnd>

        func finish() async -> ProcessEnd {
            close(process.standardInput)
            defer { close(process.standardOutput) }
            return await end.value()
        }
    }

    private func call(_ launcher: ForkLauncher, _ number: Int = 0) async throws -> Call {
        let end = Outcome<ProcessEnd>()
        let process = try await withCheckedThrowingContinuation { continuation in
            launcher.launch(
                requestVariables: [("NUMBER", "\(number)")],
                started: { continuation.resume(with: $0) },
                ended: { end.resolve($0) }
            )
        }
        return Call(process: process, end: end)
    }

    /// Whether the process runs whose id a file holds.
    private func runs(_ file: String) -> Bool {
        let text = SystemText.read("\(folder.path)/\(file)")
        guard let process = Int32(text.filter(\.isNumber)) else { return false }
        let state = SystemText.read("/proc/\(process)/stat")
        return !state.isEmpty && !state.contains(") Z ")
    }

    private enum SystemText {
        static func read(_ path: String) -> String {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return "" }
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 1024)
            let count = Glibc.read(descriptor, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }
    }

    // MARK: What they say

    @Test func `a last line without an end is told with its own process's end, not with the next call`() async throws {
        let launcher = launcher("printf 'said %s' $NUMBER >&2")
        #expect(await (try call(launcher, 1)).finish() == .exited(0))
        #expect(await eventually { errors.all == ["said 1"] })
        #expect(await (try call(launcher, 2)).finish() == .exited(0))
        #expect(await eventually { errors.all == ["said 1", "said 2"] })
    }

    @Test func `lines of processes that run at the same time do not mix`() async throws {
        // Each writes half a line, and the rest only when all have written their half.
        let launcher = launcher("printf 'a%sb' $NUMBER >&2; cat; echo \"c${NUMBER}d\" >&2")
        var calls: [Call] = []
        for number in 1...10 { calls.append(try await call(launcher, number)) }
        for call in calls.reversed() { #expect(await call.finish() == .exited(0)) }
        #expect(await eventually { errors.all.count == 10 })
        #expect(errors.all.sorted() == (1...10).map { "a\($0)bc\($0)d" }.sorted())
    }

    // MARK: What is left

    private static let escape = """
        setsid sh -c 'echo $$ > $FOLDER/left; exec sleep 1000' < /dev/null > /dev/null 2>&1 &
        until [ -s $FOLDER/left ]; do :; done
        """

    @Test func `what left its group and session ends with a call that ends by itself`() async throws {
        let call = try await call(launcher(Self.escape))
        #expect(await call.finish() == .exited(0))
        #expect(await eventually { !runs("left") })
    }

    @Test func `what left its group and session ends with a call that is given up`() async throws {
        let call = try await call(launcher(Self.escape + "\nsleep 1000"))
        #expect(await eventually { runs("left") })
        call.process.kill()
        #expect(await call.finish() == .signalled(9))
        #expect(await eventually { !runs("left") })
    }

    @Test func `a call that goes on keeps what it has started while others end`() async throws {
        let slow = try await call(launcher(Self.escape + "\ncat"))
        #expect(await eventually { runs("left") })
        for _ in 1...3 { #expect(await (try call(launcher("true"))).finish() == .exited(0)) }
        await marks.endStrays()
        #expect(runs("left"))
        #expect(await slow.finish() == .exited(0))
        #expect(await eventually { !runs("left") })
    }

    @Test func `a launcher that is retired ends what runs, and what was on its way`() async throws {
        let launcher = launcher("sleep 1000")
        let running = try await call(launcher)
        launcher.retire()
        #expect(await running.finish() == .signalled(9))
        #expect(await (try call(launcher)).finish() == .signalled(9))
    }
}
