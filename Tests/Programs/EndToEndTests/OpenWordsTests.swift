// SPDX-License-Identifier: Apache-2.0

import Foundation
import ProcessControl
import TestSupport
import Testing

/// Words that only a newer gateway says.
struct OpenWordsTests {
    private let folder = TemporaryFolder()

    @Test(arguments: ["text", "json"])
    func `a state that this version does not know is printed as its word`(output: String) async throws {
        let status =
            #"{"revision":1,"readyRevision":1,"state":"canarying","reason":"","limitsEnforced":true,"#
            + #""since":"2026-01-02T15:04:05Z"}"#
        let body = #"[{"name":"fn","namespace":"openfaas-fn","image":"i","martlet":\#(status)}]"#
        let gateway = try await ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        var environment = ProcessInfo.processInfo.environment
        environment["HOME"] = folder.path
        environment["MARTLET_DATA_DIR"] = folder.path
        environment["OPENFAAS_URL"] = "http://127.0.0.1:\(gateway.port)"
        let list = try await ProgramRun.run(
            [RunningProgram.folder.appendingPathComponent("martlet").path, "list", "--output", output],
            environment: environment,
            in: folder.path,
            input: []
        )
        #expect(list.exit == .exited(0) && list.output.contains("canarying"), "\(list)")
    }
}
