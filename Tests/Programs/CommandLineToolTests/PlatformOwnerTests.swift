// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import ProcessControl
import TestSupport
import Testing

@testable import CommandLineTool

/// Who is told the password of a data directory: the process that has its lock, and the port alone.
struct PlatformOwnerTests {
    private let folder = TemporaryFolder()

    private var owner: PlatformOwner { PlatformOwner(dataDirectory: folder.path) }

    /// The lock as a process has it: its number within, and the file open.
    private func lock(saying processID: Int32) throws -> FileHandle {
        try #require(FileHandle(forReadingAtPath: folder.write("lock", "\(processID)\n")))
    }

    @Test func `a port is the platform's when the process with the lock listens on it`() async throws {
        let origin = try await ScriptedOrigin { _ in [] }
        #expect(!owner.holds(port: origin.port), "without a lock")
        let lock = try lock(saying: getpid())
        #expect(owner.holds(port: origin.port))
        #expect(!owner.holds(port: try ReservedPort.claim()), "nobody listens there")
        try lock.close()
        #expect(!owner.holds(port: origin.port), "the lock is nobody's any more")
    }

    @Test func `another process on the port is a look-alike, whatever the lock says`() async throws {
        let port = try ReservedPort.claim()
        let script = """
            import socket, sys
            s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", \(port))); s.listen(1); print("listening", flush=True); sys.stdin.read()
            """
        let other = try await RunningProgram(["/usr/bin/env", "python3", "-c", script], environment: path)
        #expect(await other.prints("listening"))
        let mine = try lock(saying: getpid())
        #expect(!owner.holds(port: port), "the process with the lock does not listen")
        let lock = try lock(saying: other.processID)
        #expect(!owner.holds(port: port), "the process that listens does not have the lock")
        try lock.close()
        try mine.close()
        other.signal(SIGKILL)
        _ = await other.exitCode()
    }

    private let path = ["PATH": "/usr/local/bin:/usr/bin:/bin"]

    @Test(arguments: ["", "x", "-1", "0", "99999999999999999999", "1 2"])
    func `a lock that says nothing sensible is nobody's`(text: String) async throws {
        let origin = try await ScriptedOrigin { _ in [] }
        folder.write("lock", text)
        #expect(!owner.holds(port: origin.port))
    }

    @Test func `the kernel's table is read, and what is odd in it is passed over`() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0
               1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0
               2: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4713 1
               3: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1 0 100 0
               4: 0100007F:1F90 00000000:0000 0A short
            """
        #expect(ListeningSockets.listeners(inTable: Data(table.utf8), port: 8080) == [4711, 4713])
        #expect(ListeningSockets.listeners(inTable: Data(), port: 8080) == [])
    }

    @Test func `a port is found among more than a page of others`() async throws {
        let lock = try lock(saying: getpid())
        var origins: [ScriptedOrigin] = []
        for _ in 0..<100 { origins.append(try await ScriptedOrigin { _ in [] }) }
        for origin in origins { #expect(owner.holds(port: origin.port)) }
        try lock.close()
    }

    @Test(arguments: [
        "http://example.org:8080", "http://127.0.0.2:8080", "nothing", "", "http://[::1]x", "http://127.0.0.1:99999",
    ])
    func `another machine is told no password of this one`(url: String) {
        folder.write("basic-auth-password", "secret\n")
        let login = LocalLogin(environment: ["MARTLET_DATA_DIR": folder.path])
        if case .login = login.answer(for: url) { Issue.record("\(url) was told the password") }
    }

    @Test func `the platform is told the password, a look-alike is not`() async throws {
        folder.write("basic-auth-password", "secret\n")
        let origin = try await ScriptedOrigin { _ in [] }
        let login = LocalLogin(environment: ["MARTLET_DATA_DIR": folder.path])
        guard case .withheld = login.answer(for: "http://127.0.0.1:\(origin.port)") else {
            Issue.record("a look-alike was told the password")
            return
        }
        let lock = try lock(saying: getpid())
        guard case .login = login.answer(for: "http://localhost:\(origin.port)") else {
            Issue.record("the platform was not told the password")
            return
        }
        try lock.close()
    }

    @Test func `a socket in the file system is told the password where the process with the lock listens`() throws {
        folder.write("basic-auth-password", "secret\n")
        let path = folder.path + "/s.sock"
        let login = LocalLogin(environment: ["MARTLET_DATA_DIR": folder.path])
        let (_, socket) = try SocketFile.listen(at: path, mode: 0o600)
        defer { close(socket) }
        guard case .withheld = login.answer(for: "unix://\(path)") else {
            Issue.record("a look-alike was told the password")
            return
        }
        let lock = try lock(saying: getpid())
        guard case .login = login.answer(for: "unix://\(path)") else {
            Issue.record("the platform was not told the password")
            return
        }
        #expect(!owner.holds(socket: folder.path + "/none"))
        try lock.close()
    }
}
