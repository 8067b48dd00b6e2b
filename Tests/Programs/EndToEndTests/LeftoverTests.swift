// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import SystemClient
import TestSupport
import Testing

/// What functions have started when the platform ends, in the real binary.
struct LeftoverTests {
    private let folder = TemporaryFolder()

    /// Starts the platform with a function whose server makes a daemon first, which outlives group, session and parent.
    private func start(_ clearing: String) async throws -> RunningMartlet {
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data")
        let script = folder.write(
            "serve.sh",
            """
            (\(clearing) setsid sh -c 'echo $$ > \(folder.path)/daemon; exec sleep 1000' < /dev/null > /dev/null 2>&1 &)
            until [ -s \(folder.path)/daemon ]; do :; done
            exec \(RunningMartlet.origin)
            """
        )
        let deployment = FunctionDeployment(
            service: "serve",
            image: "host",
            envProcess: "sh \(script)",
            envVars: ["mode": "http"]
        )
        try await martlet.client.create(deployment)
        #expect(await eventually { (try? await martlet.call("serve").status) == 200 })
        return martlet
    }

    private func daemon() throws -> Int32 {
        let text = try String(contentsOfFile: folder.path + "/daemon", encoding: .utf8)
        return try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    private func runs(_ process: Int32) -> Bool {
        let state = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
        return !state.isEmpty && !state.contains(") Z ")
    }

    @Test(arguments: ["", "env -i"])
    func `daemons of functions are gone when the platform has stopped`(clearing: String) async throws {
        let martlet = try await start(clearing)
        let daemon = try daemon()
        #expect(runs(daemon))
        #expect(await martlet.stop() == 0)
        #expect(!runs(daemon))
    }

    @Test(arguments: ["", "env -i"])
    func `daemons that outlived a killed platform are gone when it has started again`(clearing: String) async throws {
        let first = try await start(clearing)
        let daemon = try daemon()
        await first.kill()
        #expect(runs(daemon), "nobody was there to end it")
        let second = try await RunningMartlet(dataDirectory: folder.path + "/data")
        #expect(!runs(daemon))
        #expect(await second.stop() == 0)
    }
}
