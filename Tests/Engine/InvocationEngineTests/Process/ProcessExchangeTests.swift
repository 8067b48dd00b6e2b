// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Glibc
import InvocationEngine
import ProviderContract
import TestSupport
import Testing

/// A call whose process was started but cannot be talked to.
struct ProcessExchangeTests {
    /// What the engine is handed as one of a process's streams, and how to see from outside whether it was closed.
    private enum Stream: Sendable, CaseIterable {
        /// The event loop takes pipes.
        case pipe
        /// And refuses files.
        case file
    }

    private final class Launcher: ProcessLauncher {
        let contentType = "text/plain"
        let collectsOutput = false
        let streams: (input: CInt, output: CInt)
        let kills = Counter()

        init(_ input: CInt, _ output: CInt) { streams = (input, output) }

        func launch(
            requestVariables: [(name: String, value: String)],
            started: @escaping @Sendable (Result<LaunchedProcess, ProcessLaunchError>) -> Void,
            ended: @escaping @Sendable (ProcessEnd) -> Void
        ) {
            let process = LaunchedProcess(
                processID: 1,
                standardInput: streams.input,
                standardOutput: streams.output
            ) { [kills] in
                kills.add()
                ended(.signalled(9))
            }
            started(.success(process))
        }
    }

    private let folder = TemporaryFolder()

    /// The engine's end of a pipe, and the test's; which end it is makes no difference to who sees it closed.
    private func pipe(enginesEnd: Int) throws -> (engine: CInt, isClosed: @Sendable () -> Bool) {
        var ends: [CInt] = [0, 0]
        try #require(Glibc.pipe(&ends) == 0)
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        let own = ends[1 - enginesEnd]
        return (
            ends[enginesEnd],
            {
                var question = pollfd(fd: own, events: 0, revents: 0)
                return poll(&question, 1, 0) == 1 && CInt(question.revents) & (POLLHUP | POLLERR) != 0
            }
        )
    }

    /// A file that is locked as long as the engine has it open.
    private func file(_ name: String) throws -> (engine: CInt, isClosed: @Sendable () -> Bool) {
        let path = folder.write(name, "")
        let (engines, own) = (open(path, O_RDWR | O_CLOEXEC), open(path, O_RDWR | O_CLOEXEC))
        try #require(engines >= 0 && own >= 0 && flock(engines, LOCK_EX) == 0)
        return (engines, { flock(own, LOCK_EX | LOCK_NB) == 0 })
    }

    @Test(arguments: [(Stream.file, Stream.pipe), (.pipe, .file), (.file, .file)])
    private func `what cannot be connected is closed, the process ended, and its caller told`(
        input: Stream,
        output: Stream
    ) async throws {
        let first = try input == .file ? file("in") : pipe(enginesEnd: 1)
        let second = try output == .file ? file("out") : pipe(enginesEnd: 0)
        let launcher = Launcher(first.engine, second.engine)
        let fixture = try await EngineFixture()
        let replica = Replica(id: "p", target: ProcessTarget(launcher), maxInFlight: nil)
        fixture.table.apply(.changed(try EngineFixture.route(replicas: [replica])))
        let answer = try await fixture.exchange(EngineFixture.request())
        #expect(answer.hasPrefix("HTTP/1.1 500 "), "\(answer)")
        #expect(await eventually { first.isClosed() && second.isClosed() })
        #expect(launcher.kills.count >= 1 && replica.inFlight == 0)
    }
}
