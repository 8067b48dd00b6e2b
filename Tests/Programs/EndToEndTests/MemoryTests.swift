// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// What clients cost that have come and have nothing to ask, and what is left of them when they are gone.
struct MemoryTests {
    private static let clients = 3000
    private static let request = "GET /healthz HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"

    /// The memory that a process has written to, in bytes: its heaps and stacks, not its program.
    private func anonymous(_ processID: Int32) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(processID)/smaps_rollup", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Anonymous:") })
        return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) }) * 1024
    }

    private func mayOpen(_ count: Int) -> Bool {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(7), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(7), &limit)
        return limit.rlim_cur > count + 500
    }

    @Test func `connections cost little while they are idle, and nothing when they are closed`() async throws {
        try #require(mayOpen(Self.clients), "too few descriptors are allowed here (ulimit -Hn)")
        let folder = TemporaryFolder()
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data")
        func connect() async throws -> RawConnection {
            let client = try RawConnection(port: martlet.port)
            try await client.send(Self.request)
            #expect(try await client.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
            return client
        }
        // What the first clients set up is there for all.
        var clients: [RawConnection] = []
        for _ in 0..<Self.clients / 6 { clients.append(try await connect()) }
        clients.removeAll()
        let start = try anonymous(martlet.processID)
        for _ in 0..<Self.clients { clients.append(try await connect()) }
        var each = 0
        let isLittle = try await eventually(within: .seconds(20)) {
            each = (try anonymous(martlet.processID) - start) / Self.clients
            return each <= 10 << 10
        }
        #expect(isLittle, "\(each) bytes a connection")
        clients.removeAll()
        var left = 0
        let isGivenBack = try await eventually(within: .seconds(60)) {
            left = try anonymous(martlet.processID) - start
            return left <= 4 << 20
        }
        #expect(isGivenBack, "\(left) bytes are left")
        #expect(await martlet.stop() == 0)
    }
}
