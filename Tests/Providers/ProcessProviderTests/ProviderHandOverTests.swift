// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import ProcessControl
import ProviderContract
import TestSupport
import Testing

@testable import FunctionBuilder
@testable import ProcessProvider
@testable import ReplicaSupervision

/// Two providers on one data directory: one ends its calls while the other begins.
struct ProviderHandOverTests {
    private let folder = TemporaryFolder()

    // MARK: Bundles

    private func archive(_ program: String) -> [UInt8] {
        var tar = TarWriter()
        tar.add("bundle.json", Data(#"{"fprocess":"\#(program)"}"#.utf8), isExecutable: false)
        return [UInt8](tar.finished())
    }

    private func store(_ name: String, _ program: String, in provider: LocalProcessProvider) async throws -> String {
        let (pieces, continuation) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
        continuation.yield(archive(program))
        continuation.finish()
        return try await provider.storeBundle(name: name, tag: "latest", archive: pieces).digest
    }

    private func contents() -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder.path + "/data/bundles")) ?? []
    }

    @Test func `a bundle that is stored while what the run before left is removed stays`() async throws {
        let old = try await RunningProvider(in: folder)
        let new = try await old.successor()
        await old.stop()
        for round in 0..<25 {
            async let cleaned: Void = new.provider.predecessorEnded()
            let digests = try await withThrowingTaskGroup(of: String.self) { uploads in
                for number in 0..<4 {
                    uploads.addTask { try await store("b\(number)", "cat \(round) \(number)", in: new.provider) }
                }
                return try await uploads.reduce(into: []) { $0.append($1) }
            }
            await cleaned
            #expect(Set(digests).isSubset(of: contents()), "round \(round)")
        }
        await new.stop()
    }

    @Test func `an upload to the successor goes on when the run before ends, whose own leftovers are removed`()
        async throws
    {
        let old = try await RunningProvider(in: folder)
        let new = try await old.successor()
        let left = [".new-even-1", ".old-even-2", ".new-even-3.tar"]
        for name in left { folder.write("data/bundles/\(name)", "half") }
        let (pieces, continuation) = AsyncThrowingStream<[UInt8], any Error>.makeStream()
        let bytes = archive("cat")
        continuation.yield(Array(bytes.prefix(700)))
        async let stored = new.provider.storeBundle(name: "late", tag: "latest", archive: pieces)
        #expect(await eventually { contents().contains { $0.hasSuffix(".tar") && !left.contains($0) } })
        await old.stop()
        await new.provider.predecessorEnded()
        continuation.yield(Array(bytes.dropFirst(700)))
        continuation.finish()
        let digest = try await stored.digest
        #expect(try BundleDescription(folder: new.provider.home.contents.place(of: digest)).fprocess == "cat")
        #expect(await eventually { contents() == [digest] }, "\(contents())")
        await new.stop()
    }

    @Test func `content that the run before still uses stays when its name goes`() async throws {
        let old = try await RunningProvider(in: folder)
        let digest = try await store("used", "cat", in: old.provider)
        try await old.provider.create(FunctionSpec(FunctionDeployment(service: "fn", image: "used")))
        let replica = try await old.replica(of: "fn")
        let new = try await old.successor()
        try await new.provider.delete(RunningProvider.id("fn"))
        try await new.provider.deleteBundle(name: "used", tag: "latest")
        #expect(contents() == [digest])
        #expect(await (try ForkedCall(at: replica)).end() == .exited(0))
        await old.stop()
        await new.provider.predecessorEnded()
        #expect(await eventually { contents().isEmpty })
        await new.stop()
    }

    // MARK: Logs

    @Test(.timeLimit(.minutes(1)))
    func `whoever follows a log gets each line once, whichever run's replica printed it`() async throws {
        let old = try await RunningProvider(in: folder)
        let first = try await old.create("talk", script: "echo $WORD >&2")
        func say(_ word: String, _ replica: Replica) async throws {
            #expect(await (try ForkedCall(at: replica, [("WORD", word)])).end() == .exited(0))
        }
        try await say("one", first)
        #expect(try await eventually { try await old.lines(of: "talk") == ["one"] })
        let new = try await old.successor()
        let second = try await new.replica(of: "talk")
        #expect(first.id != second.id)
        let query = LogQuery(function: RunningProvider.id("talk"), follow: true)
        var following = try await new.provider.logs(query).makeAsyncIterator()
        #expect(try await following.next()?.text == "one")
        try await say("two", second)
        #expect(try await following.next()?.text == "two")
        try await say("three", first)
        #expect(try await eventually { try await old.lines(of: "talk").last == "three" })
        try await say("four", second)
        #expect(try await following.next()?.text == "three")
        #expect(try await following.next()?.text == "four")
        try await say("five", first)
        await old.stop()
        await new.provider.predecessorEnded()
        #expect(try await following.next()?.text == "five")
        #expect(try await new.lines(of: "talk") == ["one", "two", "three", "four", "five"])
        await new.stop()
    }

    // MARK: Calls that came before

    @Test func `a function is woken for calls that came before the successor, whose own number stays`() async throws {
        let old = try await RunningProvider(in: folder)
        _ = try await old.create("sleepy", script: "true")
        let id = RunningProvider.id("sleepy")
        try await old.provider.scale(id, to: 0)
        let new = try await old.successor()
        #expect(try await old.provider.wake(id, atLeast: 1) == 1)
        let replica = try await old.replica(of: "sleepy")
        #expect(await (try ForkedCall(at: replica)).end() == .exited(0))
        #expect(try await new.provider.function(id, includingUsage: false).replicas == 0)
        await #expect(throws: PlatformFault.self) { try await old.provider.scale(id, to: 2) }
        await old.stop()
        await new.stop()
    }

    @Test func `whoever wakes a function while it is handed over is not refused`() async throws {
        let old = try await RunningProvider(in: folder)
        let names = (0..<20).map { "sleepy-\($0)" }
        for name in names {
            _ = try await old.create(name, script: "true")
            try await old.provider.scale(RunningProvider.id(name), to: 0)
        }
        async let next = old.successor()
        try await withThrowingTaskGroup(of: Void.self) { calls in
            for name in names {
                calls.addTask { try await old.provider.wake(RunningProvider.id(name), atLeast: 1) }
            }
            try await calls.waitForAll()
        }
        for name in names { _ = try await old.replica(of: name) }
        let new = try await next
        await old.stop()
        await new.stop()
    }

    // MARK: Ports of their own

    private let server = """
        exec python3 -c "
        import os, socket
        listening = socket.create_server(('127.0.0.1', int(os.environ['OWN_PORT'])))
        while True: listening.accept()"
        """

    private func variables(_ port: Int) -> [String: String] {
        ["mode": "http", "upstream_url": "http://127.0.0.1:\(port)", "OWN_PORT": "\(port)"]
    }

    @Test(.timeLimit(.minutes(2)))
    func `a port of a function's own goes over when no call needs it, and late calls go where it went`() async throws {
        let port = try ReservedPort.claim()
        let old = try await RunningProvider(in: folder)
        let id = RunningProvider.id("fixed")
        let first = try await old.create("fixed", script: server, variables: variables(port))
        let new = try await old.successor()
        let (isIdle, asked) = (Outcome<Void>(), Outcome<Void>())
        let releasing = Task {
            await old.provider.releasePorts { functions in
                asked.resolve(())
                await isIdle.value()
                return functions
            }
        }
        await asked.value()
        #expect(!first.isDraining)
        #expect(try await new.provider.function(id, includingUsage: false).availableReplicas == 0)
        isIdle.resolve(())
        let second = try await new.replica(of: "fixed")
        #expect(first.isDraining && !second.isDraining)
        releasing.cancel()
        await releasing.value
        #expect(try await old.provider.wake(id, atLeast: 1) == 1)
        let borrowed = try await old.replica(of: "fixed")
        #expect((borrowed.target as? Upstream)?.address == .tcp(host: "127.0.0.1", port: port))
        await old.stop()
        await new.provider.predecessorEnded()
        #expect(!second.isDraining && PortPool.accepts(port) == true)
        await new.stop()
    }

    @Test func `where no run before has the port, a function whose port is taken says so at once`() async throws {
        let old = try await RunningProvider(in: folder)
        let new = try await old.successor()
        await old.stop()
        await new.provider.predecessorEnded()
        let taken = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(taken) }
        #expect(listen(taken, 1) == 0)
        let port = try #require(SocketName.port(of: taken))
        let script = "exec python3 -c \"import os, socket; socket.create_server(('', int(os.environ['OWN_PORT'])))\""
        let program = folder.write("serve", "#!/bin/sh\n\(script)", isExecutable: true)
        let deployment = FunctionDeployment(
            service: "fixed",
            image: "host",
            envProcess: program,
            envVars: variables(port)
        )
        try await new.provider.create(FunctionSpec(deployment))
        let hasFailed = try await eventually(within: .seconds(30)) {
            let status = try await new.provider.function(RunningProvider.id("fixed"), includingUsage: false)
            return status.martlet?.reason.contains("exited") == true
        }
        #expect(hasFailed)
        await new.stop()
    }
}
