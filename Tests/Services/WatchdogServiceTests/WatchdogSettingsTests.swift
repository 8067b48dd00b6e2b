// SPDX-License-Identifier: Apache-2.0

import ProviderContract
import Testing

@testable import WatchdogService

struct WatchdogSettingsTests {
    private func settings(_ variables: [String: String]) throws -> WatchdogSettings {
        try WatchdogSettings(["fprocess": "cat"].merging(variables) { _, new in new })
    }

    @Test func `defaults are of-watchdog's (§15.2)`() throws {
        let all = try settings([:])
        #expect(all.mode == .streaming && all.port == 8080 && all.metricsPort == 8081)
        #expect(all.readTimeout == .seconds(30) && all.writeTimeout == .seconds(30) && all.execTimeout == .seconds(30))
        #expect(all.healthcheckInterval == .seconds(30) && all.contentType == "application/octet-stream")
        #expect(all.writesLock && all.prefixesLogs && !all.logsCallID && !all.buffersBody)
        #expect(all.maxInFlight == nil && all.logLineLimit == 65_536 && all.readyPath == nil)
        #expect(all.staticPath == "/home/app/public")
        #expect(all.headerTimeout == .seconds(10) && all.headLimit == 131_072)
    }

    @Test func `variables are read under all their names (§15.2)`() throws {
        let all = try settings([
            "function_process": "python3 x.py", "mode": "http", "upstream_url": "http://127.0.0.1:1",
            "http_upstream_url": "http://127.0.0.1:5000/base/", "exec_timeout": "0", "write_timeout": "2m",
            "buffer_http": "1", "max_inflight": "7", "prefix_logs": "false", "log_buffer_size": "-1",
            "log_callid": "true", "ready_path": "ready", "suppress_lock": "true",
        ])
        #expect(all.command == ["python3", "x.py"], "function_process wins")
        #expect(all.upstream?.address == .tcp(host: "127.0.0.1", port: 5000), "http_upstream_url wins")
        #expect(all.upstream?.pathPrefix == "/base")
        #expect(all.execTimeout == nil && all.healthcheckInterval == .seconds(120), "as long as write_timeout")
        #expect(all.buffersBody && all.maxInFlight == 7 && !all.prefixesLogs && all.logLineLimit == nil)
        #expect(all.logsCallID && all.readyPath == "/ready" && !all.writesLock)
    }

    @Test func `what is wrong is told at once and stops the start (§15.1, §15.9)`() throws {
        let problems = #expect(throws: WatchdogSettings.Problems.self) {
            try WatchdogSettings([
                "mode": "inproc", "write_timeout": "0", "read_timeout": "soon", "log_buffer_size": "many",
                "jwt_auth": "true", "upstream_url": "ftp://x",
            ])
        }
        let text = problems?.sentences.joined(separator: "\n") ?? ""
        for word in ["inproc", "HTTP write timeout must be over 0s", "soon", "many", "jwt_auth", "ftp://x", "fprocess"]
        {
            #expect(text.contains(word), "\(word) is not told in \(text)")
        }
        #expect(throws: WatchdogSettings.Problems.self, "an upstream is needed") { try settings(["mode": "http"]) }
    }
}
