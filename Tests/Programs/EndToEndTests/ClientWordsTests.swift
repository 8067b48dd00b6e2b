// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

/// Deployments as OpenFaaS' own clients word them, and what no machine could start (contract §8.1).
struct ClientWordsTests {
    private let folder = TemporaryFolder()

    private func body(_ image: String, _ variables: [String: String] = [:]) throws -> String {
        let deployment: [String: Any] = [
            "service": "env", "image": image, "envProcess": "env", "envVars": variables,
            "limits": ["memory": "1e9", "cpu": "1e0"],
        ]
        return String(decoding: try JSONSerialization.data(withJSONObject: deployment), as: UTF8.self)
    }

    @Test func `host with a tag runs a program, and an environment that cannot be had is refused`() async throws {
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data")
        // faas-cli gives every image a tag.
        let created = try await martlet.ask("POST", "/system/functions", try body("host:latest", ["A": "0755"]))
        #expect(created.status == 202, "\(created)")
        #expect(try await martlet.call("env").body.contains("A=0755\n"))
        let long = try body("host:latest", ["LONG": String(repeating: "x", count: 131_072)])
        let refused = try await martlet.ask("PUT", "/system/functions", long)
        #expect(refused.status == 400 && refused.body.contains("LONG"), "\(refused)")
        let most = String(repeating: "x", count: 131_072 - "LONG=".utf8.count - 1)
        let taken = try await martlet.ask("PUT", "/system/functions", try body("host:latest", ["LONG": most]))
        #expect(taken.status == 202, "\(taken)")
        #expect(try await eventually { try await martlet.call("env").body.contains("LONG=\(most)\n") })
        let all = Dictionary(uniqueKeysWithValues: (0..<12).map { ("V\($0)", String(most.prefix(100_000))) })
        #expect(try await martlet.ask("PUT", "/system/functions", try body("host:latest", all)).status == 400)
        #expect(await martlet.stop() == 0)
    }
}
