// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import TestSupport
import Testing

@testable import ProcessControl

/// The file of a socket: who may have it, and when it goes.
struct SocketFileTests {
    private let folder = TemporaryFolder()

    private var path: String { folder.path + "/s.sock" }

    private var mode: mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode : nil
    }

    @Test(arguments: [0o600, 0o660, 0o777] as [UInt32])
    func `it has the rights that were asked for, whatever the process takes away from others`(rights: UInt32) throws {
        let (file, socket) = try SocketFile.listen(at: path, mode: rights)
        defer { close(socket) }
        #expect(mode == S_IFSOCK | rights)
        _ = try RawConnection(path: path)
        #expect(SocketFile.listener(at: path) == getpid())
        file.remove()
        #expect(mode == nil)
    }

    @Test func `one that somebody listens on is not taken, and one that nobody listens on any more is`() throws {
        let (_, first) = try SocketFile.listen(at: path, mode: 0o600)
        let problem = #expect(throws: SocketFile.Problem.self) { try SocketFile.listen(at: path, mode: 0o600) }
        guard case .inUse = problem else {
            Issue.record("\(String(describing: problem))")
            return
        }
        _ = try RawConnection(path: path)
        SocketFile.removeLeftover(at: path)
        #expect(mode != nil, "somebody listens there")
        close(first)
        #expect(SocketFile.listener(at: path) == nil)
        let (_, second) = try SocketFile.listen(at: path, mode: 0o600)
        _ = try RawConnection(path: path)
        close(second)
        SocketFile.removeLeftover(at: path)
        #expect(mode == nil)
    }

    @Test func `files that are no sockets are left alone`() throws {
        folder.write("s.sock", "mine")
        let problem = #expect(throws: SocketFile.Problem.self) { try SocketFile.listen(at: path, mode: 0o600) }
        #expect("\(problem.map { "\($0)" } ?? "")".contains("not a socket"))
        SocketFile.removeLeftover(at: path)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    }

    @Test(arguments: ["/nowhere/at/all.sock", "/" + String(repeating: "x", count: 120), "/proc/s.sock"])
    func `where no socket can be, the system's words say why`(path: String) {
        #expect(throws: SocketFile.Problem.self) { try SocketFile.listen(at: path, mode: 0o600) }
        #expect(SocketFile.listener(at: path) == nil)
    }

    @Test func `a file that somebody else has put in its place is not removed`() throws {
        let (file, first) = try SocketFile.listen(at: path, mode: 0o600)
        close(first)
        unlink(path)
        // Another file in between, so that the new one cannot have the old one's number.
        folder.write("between", "")
        let (_, second) = try SocketFile.listen(at: path, mode: 0o600)
        defer { close(second) }
        file.remove()
        _ = try RawConnection(path: path)
    }

    @Test func `a socket that was handed on is the receiver's to remove`() throws {
        let (_, socket) = try SocketFile.listen(at: path, mode: 0o600)
        defer { close(socket) }
        let file = try #require(SocketFile.adopt(socket, at: path, mode: 0o640))
        #expect(mode == S_IFSOCK | 0o640)
        file.remove()
        #expect(mode == nil)
        #expect(SocketFile.adopt(socket, at: path, mode: 0o640) == nil)
    }
}
