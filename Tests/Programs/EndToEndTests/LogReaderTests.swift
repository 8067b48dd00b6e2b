// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Glibc
import SystemClient
import TestSupport
import Testing

/// Whoever reads what the platform prints may go away, or stop reading: that ends nothing and blocks nothing.
struct LogReaderTests {
    private let folder = TemporaryFolder()

    private func start(_ redirection: String, _ format: String) async throws -> RunningMartlet {
        let martlet = try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--access-log", "all", "--log-format", format],
            redirection: redirection
        )
        try await martlet.client.create(.init(service: "cat", image: "host", envProcess: "cat"))
        return martlet
    }

    private func lostLines(_ martlet: RunningMartlet) async throws -> Double {
        try await martlet.metric("martlet_log_lines_lost_total")
    }

    @Test(arguments: ["text", "json"])
    func `a log whose reader went away costs lines, which are counted`(format: String) async throws {
        let martlet = try await start("2> >(true)", format)
        #expect(
            try await eventually {
                _ = try await martlet.call("cat", method: "POST", body: "hi")
                return try await lostLines(martlet) > 0
            }
        )
        #expect(try await martlet.call("cat", method: "POST", body: "hi").body == "hi")
        #expect(await martlet.stop() == 0)
    }

    @Test func `a log that nobody reads neither blocks calls nor the end`() async throws {
        mkfifo("\(folder.path)/fifo", 0o600)
        // Open both ways, so that it has a reader, which never reads.
        let martlet = try await start("2<>\(folder.path)/fifo", "json")
        let query = String(repeating: "x", count: 4000)
        for _ in 0..<30 { #expect(try await martlet.call("cat?\(query)", method: "POST", body: "hi").status == 200) }
        #expect(await martlet.stop() == 0)
    }

    @Test func `a platform without standard streams keeps its files apart from what it prints`() async throws {
        let martlet = try await start("2>&- <&-", "json")
        for _ in 0..<5 { _ = try await martlet.call("cat", method: "POST", body: "hi") }
        #expect(await martlet.stop() == 0)
        let again = try await RunningMartlet(dataDirectory: folder.path + "/data")
        #expect(try await again.call("cat", method: "POST", body: "hi").body == "hi")
        #expect(await again.stop() == 0)
    }
}
