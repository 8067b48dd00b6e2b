// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Glibc
import InvocationEngine
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

/// Counts that outlive the process, whatever the disk is like.
struct InvocationCountsTests {
    private let folder = TemporaryFolder()

    private func open() throws -> InvocationCounts { try InvocationCounts(path: "\(folder.path)/counters") }

    private func id(_ number: Int) throws -> FunctionID {
        try #require(FunctionID(address: "function-\(number)", defaultNamespace: "ns"))
    }

    @Test func `counts are there again`() throws {
        try open().cell(for: id(1)).add()
        let counts = try open()
        counts.cell(for: try id(1)).add()
        #expect(counts.count(of: try id(1)) == 2)
        #expect(counts.count(of: try id(2)) == 0)
    }

    @Test func `functions that are made at the same time beyond a segment have places of their own`() async throws {
        let counts = try open()
        let ids = try (0..<4000).map { try id($0) }
        await withDiscardingTaskGroup { group in
            for part in 0..<8 {
                group.addTask {
                    for index in stride(from: part, to: ids.count, by: 8) { counts.cell(for: ids[index]).add() }
                }
            }
        }
        #expect(ids.filter { counts.count(of: $0) != 1 }.isEmpty)
        let again = try open()
        #expect(ids.filter { again.count(of: $0) != 1 }.isEmpty)
    }

    @Test func `a place that became free counts from 0`() throws {
        let counts = try open()
        counts.cell(for: try id(1)).add()
        counts.remove(try id(1))
        #expect(counts.count(of: try id(1)) == 0)
        counts.cell(for: try id(2)).add()
        #expect(counts.count(of: try id(2)) == 1)
        counts.keepOnly([try id(3)])
        #expect(counts.count(of: try id(2)) == 0)
    }

    @Test func `a call that ends behind its function's deletion counts for nobody`() throws {
        let counts = try open()
        let late = counts.cell(for: try id(1))
        counts.remove(try id(1))
        let next = counts.cell(for: try id(2))
        late.add()
        next.add()
        #expect(counts.count(of: try id(2)) == 1)
    }

    @Test func `the file has no holes, a file with holes that is found included`() throws {
        let path = "\(folder.path)/counters"
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT, 0o600)
        defer { close(descriptor) }
        ftruncate(descriptor, 192 * 1024)
        try open().cell(for: id(1)).add()
        var status = stat()
        stat(path, &status)
        #expect(status.st_blocks * 512 >= 192 * 1024)
    }

    // A file system of its own, in a process of its own: mounting needs the rights of root.
    @Test(.enabled(if: geteuid() == 0, "mounts a small file system"))
    func `a full disk costs persistence, and it is told, and no call`() async {
        await #expect(processExitsWith: .success) {
            let path = try FullDisk.make()
            let reports = Mutex(0)
            let counts = try InvocationCounts(path: "\(path)/counters") { _ in reports.withLock { $0 += 1 } }
            let first = try #require(FunctionID(address: "a", defaultNamespace: "ns"))
            for _ in 0..<3 { counts.cell(for: first).add() }
            #expect(counts.count(of: first) == 3)
            #expect(reports.withLock { $0 } == 1)
            FullDisk.makeRoom(path)
            let later = try InvocationCounts(path: "\(path)/counters")
            later.cell(for: first).add()
            #expect(later.count(of: first) == 1)
        }
    }
}

/// A disk without room that only this process sees.
private enum FullDisk {
    struct Failure: Error {}

    static func make() throws -> String {
        let path = "/tmp/martlet-full-disk-\(getpid())"
        guard detachMounts(), mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0 else {
            throw Failure()
        }
        mkdir(path, 0o700)
        guard mount("tmpfs", path, "tmpfs", 0, "size=256k") == 0 else { throw Failure() }
        let filler = open("\(path)/filler", O_WRONLY | O_CREAT, 0o600)
        let bytes = [UInt8](repeating: 1, count: 4096)
        while write(filler, bytes, bytes.count) > 0 {}
        close(filler)
        return path
    }

    /// This process's mounts become its own; `unshare` is not among what Swift sees of the C library.
    private static func detachMounts() -> Bool {
        typealias Unshare = @convention(c) (Int32) -> Int32
        let newMountNamespace: Int32 = 0x20000
        guard let symbol = dlsym(nil, "unshare") else { return false }
        return unsafeBitCast(symbol, to: Unshare.self)(newMountNamespace) == 0
    }

    static func makeRoom(_ path: String) { unlink("\(path)/filler") }
}
