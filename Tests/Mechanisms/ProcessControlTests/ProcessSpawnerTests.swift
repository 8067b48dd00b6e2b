// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProcessControl
import TestSupport
import Testing

struct ProcessSpawnerTests {
    private let spawner = ProcessSpawner()
    private let folder = TemporaryFolder()

    /// Runs a program to its end; returns how it ended and what it printed.
    private func run(
        _ arguments: [String],
        environment: [(name: String, value: String)] = [("PATH", "/usr/bin:/bin")],
        group: ControlGroup? = nil
    ) async throws -> (exit: ProcessExit, output: String) {
        let output = folder.path + "/\(UUID().uuidString)"
        let descriptor = open(output, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        let spec = ProcessSpec(
            arguments: arguments,
            environment: environment,
            workingDirectory: folder.path,
            streams: .combined(descriptor: descriptor),
            controlGroup: group
        )
        let exit: ProcessExit = try await withCheckedThrowingContinuation { continuation in
            spawner.start(
                spec,
                started: { if case .failure(let error) = $0 { continuation.resume(throwing: error) } },
                ended: { continuation.resume(returning: $0) }
            )
        }
        return (exit, try String(contentsOfFile: output, encoding: .utf8))
    }

    @Test func `a process has exactly the environment it was given`() async throws {
        let result = try await run(["env"], environment: [("PATH", "/usr/bin:/bin"), ("A", "b=c d")])
        #expect(result.output.split(separator: "\n").sorted() == ["A=b=c d", "PATH=/usr/bin:/bin"])
    }

    @Test func `a process has its folder and no descriptors but the standard three`() async throws {
        let result = try await run(["sh", "-c", "pwd; ls /proc/self/fd | wc -l"])
        // `ls` itself opens the folder it lists.
        #expect(result.output == "\(folder.path)\n4\n")
    }

    @Test func `signals are as usual in a process`() async throws {
        let result = try await run(["sh", "-c", "grep -E '^Sig(Ign|Blk):' /proc/self/status"])
        #expect(
            result.output.split(separator: "\n").allSatisfy { $0.hasSuffix("0000000000000000") },
            "\(result.output)"
        )
    }

    @Test(arguments: [("exit 0", ProcessExit.exited(0)), ("exit 7", .exited(7)), ("kill -9 $$", .signalled(9))])
    func `how a process ended is told`(script: String, exit: ProcessExit) async throws {
        #expect(try await run(["sh", "-c", script]).exit == exit)
    }

    @Test func `a missing program is told in Go's words (§15.4)`() async throws {
        let missing = await #expect(throws: SpawnError.self) { try await run(["no-such-program"]) }
        #expect(missing?.message == "exec: \"no-such-program\": executable file not found in $PATH")
        let path = await #expect(throws: SpawnError.self) { try await run(["/no/such"]) }
        #expect(path?.message == "fork/exec /no/such: no such file or directory")
        let file = folder.write("plain", "text")
        let plain = await #expect(throws: SpawnError.self) { try await run([file]) }
        #expect(plain?.message == "fork/exec \(file): permission denied")
    }

    @Test func `pipes carry input and output`() async throws {
        let errors = open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(errors) }
        let spec = ProcessSpec(
            arguments: ["cat"],
            environment: [("PATH", "/usr/bin:/bin")],
            workingDirectory: "/",
            streams: .piped(errorDescriptor: errors)
        )
        let process: StartedProcess = try await withCheckedThrowingContinuation { continuation in
            spawner.start(spec, started: { continuation.resume(with: $0) }, ended: { _ in })
        }
        let input = FileHandle(fileDescriptor: try #require(process.standardInput), closeOnDealloc: true)
        let output = FileHandle(fileDescriptor: try #require(process.standardOutput), closeOnDealloc: true)
        _ = fcntl(output.fileDescriptor, F_SETFL, 0)
        try input.write(contentsOf: Data("hello".utf8))
        try input.close()
        #expect(try output.readToEnd() == Data("hello".utf8))
    }

    @Test func `a pipe is handed on when something comes, and closed when nothing does`() async throws {
        let (silent, silentEnd) = try ProcessPipe.open()
        spawner.whenReadable(silent) { _ in Issue.record("nothing came") }
        close(silentEnd)
        let (talking, talkingEnd) = try ProcessPipe.open()
        let come = Outcome<Int32>()
        spawner.whenReadable(talking) { come.resolve($0) }
        #expect(write(talkingEnd, "x", 1) == 1)
        #expect(await come.value() == talking)
        var byte: UInt8 = 0
        #expect(read(talking, &byte, 1) == 1 && byte == UInt8(ascii: "x"))
        close(talking)
        close(talkingEnd)
    }

    @Test func `ending a process takes its group with it`() async throws {
        let result = try await run(["sh", "-c", "sleep 1000 & echo $!; kill -9 $$"])
        let child = try #require(Int32(result.output.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(await eventually { kill(child, 0) != 0 || isZombie(child) })
    }

    @Test func `hundreds of quick processes all report, and leave no descriptor open`() async throws {
        try await withThrowingTaskGroup(of: ProcessExit.self) { group in
            for _ in 0..<200 { group.addTask { try await run(["true"]).exit } }
            for try await exit in group { #expect(exit == .exited(0)) }
        }
        #expect(await eventually { openProcessDescriptors() < 20 })
    }

    @Test func `a process starts while thousands of descriptors are open, and gets the usual limit`() async throws {
        let many = (0..<1_100).map { _ in open("/dev/null", O_RDONLY | O_CLOEXEC) }
        defer { many.forEach { close($0) } }
        try #require(many.last! > 1_024, "needs a higher limit: ulimit -n 4096")
        #expect(try await run(["sh", "-c", "ulimit -n"]).output == "1024\n")
    }

    @Test func `orphans are known by what they carry, not by their id`() async throws {
        let marker = "HOME=\(folder.path)/run/"
        let spec = ["sh", "-c", "sleep 1000"]
        async let marked = run(spec, environment: [("PATH", "/usr/bin:/bin"), ("HOME", "\(folder.path)/run/a")])
        #expect(await eventually { ProcessTable.killOrphans(carrying: marker) > 0 })
        #expect(try await marked.exit == .signalled(9))
        #expect(ProcessTable.killOrphans(carrying: "HOME=\(folder.path)/elsewhere/") == 0)
    }

    @Test func `ports are below the ephemeral range and never given twice`() throws {
        let pool = PortPool()
        let ports = (0..<50).compactMap { _ in pool.claim() }
        #expect(Set(ports).count == 50)
        #expect(ports.allSatisfy { (10_000..<65_000).contains($0) })
    }

    @Test func `two pools never give the same port, and a released one can be had again`() throws {
        let range = 61_000..<61_400
        let (one, other) = (PortPool(range: range), PortPool(range: range))
        let ports = (0..<100).flatMap { _ in [one.claim(), other.claim()] }.compactMap { $0 }
        #expect(Set(ports).count == 200)
        for port in ports {
            one.release(port)
            other.release(port)
        }
        let third = PortPool(range: range)
        #expect(Set((0..<400).compactMap { _ in third.claim() }).count > 350)
    }

    @Test func `a port accepts as soon as somebody listens on it, and no more when nobody does`() throws {
        let pool = PortPool()
        let port = try #require(pool.claim())
        #expect(PortPool.accepts(port) == false)
        let listener = try #require(ListeningSocket(port))
        #expect(PortPool.accepts(port) == true)
        listener.close()
        #expect(PortPool.accepts(port) == false)
    }

    /// Listens on a loopback port and accepts nobody.
    private struct ListeningSocket {
        private let descriptor: Int32

        init?(_ port: Int) {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = UInt16(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let isBound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            guard isBound, listen(descriptor, 8) == 0 else { return nil }
        }

        func close() { Glibc.close(descriptor) }
    }

    /// Pidfds of this process; other tests run beside this one, with a few of their own.
    private func openProcessDescriptors() -> Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        let targets = names.map {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) ?? ""
        }
        return targets.count { $0.contains("pidfd") }
    }

    private func isZombie(_ process: Int32) -> Bool {
        (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8))?.contains(") Z ") ?? true
    }
}

struct ControlGroupTests {
    @Test(.enabled(if: ControlGroupTree.detect(name: "martlet-test-probe", processID: getpid())?.version == .v1))
    func `a process over its memory limit is killed and counted (v1, for real)`() async throws {
        let name = "martlet-test-\(UUID().uuidString)"
        let tree = try #require(ControlGroupTree.detect(name: name, processID: getpid()))
        let group = try tree.make(
            "limited",
            limits: ResourceLimits(memoryBytes: 32 << 20, milliCPU: 500, processes: 10)
        )
        let spec = ProcessSpec(
            arguments: ["python3", "-c", "x = b'x' * (256 << 20); print(len(x))"],
            environment: [
                ("PATH", "/usr/local/bin:/usr/bin:/bin:\(ProcessInfo.processInfo.environment["PATH"] ?? "")")
            ],
            workingDirectory: "/",
            streams: .combined(descriptor: STDERR_FILENO),
            controlGroup: group
        )
        let spawner = ProcessSpawner()
        let exit: ProcessExit = try await withCheckedThrowingContinuation { continuation in
            spawner.start(
                spec,
                started: { if case .failure(let error) = $0 { continuation.resume(throwing: error) } },
                ended: { continuation.resume(returning: $0) }
            )
        }
        #expect(exit == .signalled(9))
        #expect(group.outOfMemoryKills > 0)
        tree.removeLeftovers()
    }

    @Test(.enabled(if: ControlGroupTree.detect(name: "martlet-test-probe", processID: getpid())?.version == .v1))
    func `a group is emptied whatever its processes did, groups of their own included, and is gone (v1, for real)`()
        async throws
    {
        let folder = TemporaryFolder()
        let tree = try #require(ControlGroupTree.detect(name: "martlet-test-\(UUID().uuidString)", processID: getpid()))
        let group = try tree.make("busy", limits: ResourceLimits(processes: 50))
        let script = """
            inner=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)/inner
            mkdir $inner
            env -i setsid sh -c "echo \\$\\$ > $inner/cgroup.procs; echo > moved; while sleep 0.01; do sleep 1000 & done" &
            until [ -e moved ]; do :; done
            """
        let exit = Outcome<ProcessExit>()
        let spec = ProcessSpec(
            arguments: ["sh", "-c", script],
            environment: [("PATH", "/usr/bin:/bin")],
            workingDirectory: folder.path,
            streams: .combined(descriptor: STDERR_FILENO),
            controlGroup: group
        )
        _ = try await ProcessSpawner().start(spec) { exit.resolve($0) }
        #expect(await exit.value() == .exited(0))
        #expect(await eventually { (group.usage()?.memoryBytes ?? 0) > 0 })
        group.killAll()
        group.remove()
        #expect(group.usage() == nil)
        tree.remove()
    }

    @Test func `limits are written as version 2 has them (a fake tree: the machine has no version 2 controllers)`()
        throws
    {
        let root = TemporaryFolder()
        let own = root.write("own", "0::/system.slice/martlet.service\n")
        root.write("system.slice/martlet.service/cgroup.controllers", "cpu memory pids\n")
        root.write("system.slice/martlet.service/martlet/platform/cgroup.procs", "")
        root.write("system.slice/martlet.service/martlet/cgroup.subtree_control", "")
        for file in ["cgroup.procs", "memory.max", "memory.swap.max", "cpu.max", "pids.max"] {
            root.write("system.slice/martlet.service/martlet/fn/\(file)", "")
        }
        let tree = try #require(
            ControlGroupTree.detect(root: root.path, ownGroups: own, name: "martlet", processID: 42)
        )
        #expect(tree.version == .v2)
        _ = try tree.make("fn", limits: ResourceLimits(memoryBytes: 64 << 20, milliCPU: 250, processes: 5))
        func text(_ file: String) throws -> String {
            try String(contentsOfFile: "\(root.path)/system.slice/martlet.service/martlet/\(file)", encoding: .utf8)
        }
        #expect(try text("platform/cgroup.procs") == "42")
        #expect(try text("fn/memory.max") == "67108864")
        #expect(try text("fn/cpu.max") == "25000 100000")
        #expect(try text("fn/pids.max") == "5")
    }

    @Test func `without a writable tree there are no control groups`() {
        #expect(ControlGroupTree.detect(root: "/nowhere", name: "x", processID: 1) == nil)
    }
}
