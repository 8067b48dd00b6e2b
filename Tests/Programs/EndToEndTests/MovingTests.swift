// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import SystemClient
import TestSupport
import Testing

/// Calls on their way from one platform to another, against the real binary.
struct MovingTests {
    private let folder = TemporaryFolder()

    private func start(_ name: String, _ arguments: String...) async throws -> RunningMartlet {
        let martlet = try await RunningMartlet(dataDirectory: "\(folder.path)/\(name)", arguments: arguments)
        try await martlet.client.create(FunctionDeployment(service: "count", image: "host", envProcess: "wc -c"))
        return martlet
    }

    private func send(_ id: String, _ size: Int, to martlet: RunningMartlet) async throws -> Int {
        let headers = [(name: "X-Call-Id", value: id), (name: "X-Delay", value: "1h")]
        let body = String(repeating: "x", count: size)
        return try await martlet.ask("POST", "/async-function/count", body, headers: headers, withLogin: false).status
    }

    @Test func `a call as long as any that is accepted moves, and one that the other side refuses is not lost`()
        async throws
    {
        let old = try await start("old")
        let (long, tooLong) = (12 * 1_048_576, 16 * 1_048_576)
        #expect(try await send("long", long, to: old) == 202)
        #expect(try await send("too-long", tooLong, to: old) == 202)
        let exported = try await old.run("calls", "export")
        #expect(exported.code == 0 && exported.output.split(separator: "\n").count == 2, "\(exported.error)")
        let new = try await start("new", "--async-body-limit", "\(long)")
        let imported = try await new.run("calls", "import", input: exported.output)
        #expect(imported.code == 1 && imported.output == "1 imported, 0 known before, 1 refused\n", "\(imported)")
        #expect(imported.error.contains("too-long: ") && imported.error.contains("async-body-limit"), "\(imported)")
        #expect(try await new.client.call("long").state == "waiting")
        // What was refused is still there, and what the other side has is not to be carried out twice.
        #expect(try await old.client.call("too-long").deadReason == "exported")
        try await old.client.takeBackCall("too-long")
        #expect(try await old.client.call("too-long").state == "waiting")
        let again = try await old.client.exportCall("too-long")
        #expect(again.body.utf8.count == (tooLong + 2) / 3 * 4)
        #expect(await old.stop() == 0)
        #expect(await new.stop() == 0)
    }

    @Test func `an export is undone, or comes back by an import, and each call goes on where it was`() async throws {
        let martlet = try await start("one")
        for id in ["a", "b"] { #expect(try await send(id, 5, to: martlet) == 202) }
        let before = try await martlet.client.call("a").notBefore
        let exported = try await martlet.run("calls", "export")
        #expect(exported.error.contains("2 exported"))
        #expect(try await martlet.run("calls", "export", "--undo").output == "2 wait here again\n")
        #expect(try await martlet.client.call("a").notBefore == before)
        #expect(try await martlet.run("calls", "export", "--undo").output == "0 wait here again\n")
        _ = try await martlet.run("calls", "export")
        let imported = try await martlet.run("calls", "import", input: exported.output)
        #expect(imported.output == "2 imported, 0 known before\n", "\(imported)")
        #expect(
            try await martlet.run("calls", "import", input: exported.output).output == "0 imported, 2 known before\n"
        )
        let numbers = try await martlet.client.queueNumbers().total
        #expect(numbers.waiting == 2 && numbers.accepted == 2 && numbers.cancelled == 0, "\(numbers)")
        #expect(try await martlet.ask("DELETE", "/system/calls/a/export").status == 409)
        #expect(try await martlet.ask("DELETE", "/system/calls/x/export").status == 404)
        #expect(await martlet.stop() == 0)
    }

    @Test func `an export whose output goes away gives the call back`() async throws {
        let martlet = try await start("one")
        for number in 0..<3 { #expect(try await send("c\(number)", 200_000, to: martlet) == 202) }
        let path = RunningProgram.folder.appendingPathComponent("martlet").path
        let run = try await martlet.export(path, to: "/dev/full")
        #expect(run != 0)
        let numbers = try await martlet.client.queueNumbers().total
        #expect(numbers.waiting == 3 && numbers.cancelled == 0, "\(numbers)")
        #expect(await martlet.stop() == 0)
    }
}

extension RunningMartlet {
    /// Runs `martlet calls export` with its output in a file; returns its exit code.
    fileprivate func export(_ program: String, to file: String) async throws -> Int32 {
        let command = "exec \(program) calls export > \(file)"
        let run = try await RunningProgram(
            ["/bin/sh", "-c", command],
            environment: ["PATH": "/usr/bin:/bin", "OPENFAAS_URL": client.baseURL, "MARTLET_DATA_DIR": dataDirectory]
        )
        return await run.exitCode()
    }
}
