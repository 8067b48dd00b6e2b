// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import ProcessControl
import ProviderContract
import TestSupport
import Testing

@testable import ProcessProvider
@testable import ReplicaSupervision

/// Functions as processes, from their creation to their last trace.
struct FunctionLifeTests {
    private let folder = TemporaryFolder()

    // MARK: Logs

    @Test(.timeLimit(.minutes(2)), arguments: ["0", "1", "-1", "2147483647"])
    func `no length of log lines stops the logs of others, or the platform`(limit: String) async throws {
        let running = try await RunningProvider()
        let odd = try await running.create("odd", script: "echo odd >&2", variables: ["log_buffer_size": limit])
        let even = try await running.create("even", script: "echo even >&2")
        for replica in [odd, even] { #expect(await (try ForkedCall(at: replica)).end() == .exited(0)) }
        #expect(try await eventually { try await running.lines(of: "even") == ["even"] })
        #expect(try await eventually { try await running.lines(of: "odd") == ["odd"] })
        await running.stop()
    }

    @Test func `a function created again while an old call runs keeps its log`() async throws {
        let running = try await RunningProvider()
        #expect(mkfifo(folder.path + "/gate", 0o600) == 0)
        let old = try await running.create("same", script: "echo old >&2; cat \(folder.path)/gate; echo late >&2")
        #expect(old.enter())
        let call = try await ForkedCall(at: old)
        #expect(try await eventually { try await running.lines(of: "same") == ["old"] })
        try await running.provider.delete(RunningProvider.id("same"))
        let new = try await running.create("same", script: "echo new >&2")
        #expect(await (try ForkedCall(at: new)).end() == .exited(0))
        #expect(try await eventually { try await running.lines(of: "same") == ["new"] })
        FileHandle(forWritingAtPath: folder.path + "/gate")?.write(Data("go".utf8))
        #expect(await call.end() == .exited(0))
        old.leave()
        #expect(await eventually { running.logsOfDeleted.isEmpty })
        #expect(await (try ForkedCall(at: new)).end() == .exited(0))
        #expect(try await eventually { try await running.lines(of: "same") == ["new", "new"] })
        await running.stop()
    }

    @Test func `a function starts while the disk is busy with something large`() async throws {
        let running = try await RunningProvider()
        let isDone = DispatchSemaphore(value: 0)
        running.provider.parts.disk.async { isDone.wait() }
        let replica = try await running.create("quick", script: "true")
        #expect(await (try ForkedCall(at: replica)).end() == .exited(0))
        isDone.signal()
        await running.stop()
    }

    @Test(.timeLimit(.minutes(1)))
    func `calls that go on for ever do not keep the platform from stopping`() async throws {
        let running = try await RunningProvider()
        let replica = try await running.create("endless", script: "sleep 1000", variables: ["exec_timeout": "0"])
        let call = try await ForkedCall(at: replica)
        #expect(replica.enter())
        async let stopped: Void = running.provider.shutdown(within: .milliseconds(200))
        #expect(await call.end() == .signalled(9))
        replica.leave()
        await stopped
    }

    // MARK: PATH

    @Test func `a program is looked up in the path that it runs with`() async throws {
        folder.write("tools/greet", "#!/bin/sh\necho hello $PATH >&2\n", isExecutable: true)
        let running = try await RunningProvider()
        let path = "\(folder.path)/tools:/bin"
        let replica = try await running.create("own", program: "greet", variables: ["PATH": path])
        #expect(await (try ForkedCall(at: replica)).end() == .exited(0))
        #expect(try await eventually { try await running.lines(of: "own") == ["hello \(path)"] })
        await running.stop()
    }

    @Test func `a program that is not in the path that it would run with is told of at once`() async throws {
        let running = try await RunningProvider()
        let deployment = FunctionDeployment(
            service: "none",
            image: "host",
            envProcess: "sh",
            envVars: ["PATH": folder.path]
        )
        try await running.provider.create(FunctionSpec(deployment))
        let status = try await running.provider.function(RunningProvider.id("none"), includingUsage: false)
        #expect(
            try await eventually {
                let status = try await running.provider.function(RunningProvider.id("none"), includingUsage: false)
                return status.martlet?.reason.contains("executable file not found") == true
            },
            "\(status)"
        )
        await running.stop()
    }

    // MARK: Limits

    @Test func `graphics processors are limited by nothing, which a status tells and --require-limits refuses`()
        async throws
    {
        let (lenient, strict) = (try await RunningProvider(), try await RunningProvider(requiresLimits: true))
        let id = RunningProvider.id("fn")
        var deployment = FunctionDeployment(service: "fn", image: "host", envProcess: "cat")
        deployment.limits = FunctionResources(gpus: ["nvidia.com/gpu": "1"])
        let limited = try FunctionSpec(deployment)
        try await lenient.provider.create(limited)
        #expect(try await lenient.provider.function(id, includingUsage: false).martlet?.limitsEnforced == false)
        deployment.limits = FunctionResources(gpus: ["nvidia.com/gpu": "0"])
        try await strict.provider.create(try FunctionSpec(deployment))
        #expect(try await strict.provider.function(id, includingUsage: false).martlet?.limitsEnforced == true)
        let fault = await #expect(throws: PlatformFault.self) {
            _ = try await strict.provider.update(limited, forced: false)
        }
        #expect(fault?.code == .invalidValue && fault?.hint?.contains("graphics processors") == true)
        await lenient.stop()
        await strict.stop()
    }

    // MARK: What is left

    /// A server that first starts one which makes itself a daemon, and says where that runs.
    private func daemon(_ clearing: String = "") -> String {
        """
        (\(clearing) setsid sh -c 'echo $$ > \(folder.path)/left; exec sleep 1000' < /dev/null > /dev/null 2>&1 &)
        until [ -s \(folder.path)/left ]; do :; done
        exec python3 -c "
        import os, socket
        listening = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
        while True: listening.accept()"
        """
    }

    private var isLeft: Bool { isRunning(folder.path + "/left") }

    @Test(arguments: ["", "env -i"])
    func `what a server started ends with it, also what made itself a daemon`(clearing: String) async throws {
        let running = try await RunningProvider()
        _ = try await running.create("serve", script: daemon(clearing), variables: ["mode": "http"])
        #expect(isLeft)
        try await running.provider.scale(RunningProvider.id("serve"), to: 0)
        #expect(await eventually { !isLeft })
        await running.stop()
    }

    @Test func `a server that crashes leaves nothing beside its successor`() async throws {
        let running = try await RunningProvider()
        let script = "echo $$ > \(folder.path)/server\n" + daemon()
        _ = try await running.create("serve", script: script, variables: ["mode": "http"])
        let first = try String(contentsOfFile: folder.path + "/left", encoding: .utf8)
        let server = try #require(
            Int32(try String(contentsOfFile: folder.path + "/server", encoding: .utf8).filter(\.isNumber))
        )
        #expect(unlink(folder.path + "/left") == 0)
        #expect(kill(server, SIGKILL) == 0)
        #expect(await eventually { isLeft })
        folder.write("first", first)
        #expect(await eventually { !isRunning(folder.path + "/first") })
        #expect(isLeft)
        await running.stop()
        #expect(!isLeft)
    }

    @Test func `nothing is left when the platform has stopped`() async throws {
        let running = try await RunningProvider()
        let script = daemon().replacing("exec python3", with: "sleep 1000 #")
        let replica = try await running.create("fork", script: script)
        let call = try await ForkedCall(at: replica)
        #expect(await eventually { isLeft })
        await running.stop()
        #expect(!isLeft)
        #expect(await call.end() == .signalled(9))
    }

    @Test(
        .enabled(
            "needs control groups",
            {
                ControlGroupTree.detect(name: "martlet-test-life", processID: getpid())?.version == .v1
            }
        )
    )
    func `with a control group also what has cleared its environment ends`() async throws {
        let running = try await RunningProvider()
        _ = try await running.create(
            "serve",
            script: daemon("env -i"),
            variables: ["mode": "http"],
            limits: FunctionResources(memory: "256Mi")
        )
        #expect(isLeft)
        try await running.provider.scale(RunningProvider.id("serve"), to: 0)
        #expect(await eventually { !isLeft })
        await running.stop()
    }
}
