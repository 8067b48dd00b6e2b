// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import Glibc
import ProcessControl
import PrometheusClient
import TestSupport
import Testing

/// A Prometheus that is there and says nothing more.
struct FrozenPrometheusTests {
    private func client(port: Int, timeout: Duration) -> PrometheusClient {
        PrometheusClient(baseURL: "http://127.0.0.1:\(port)", http: RunningMartlet.http, timeout: timeout)
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\""])
    func `an answer that breaks off is given up in time, wherever it does`(start: String) async throws {
        let origin = try await ScriptedOrigin { _ in [.send(start)] }
        let client = client(port: origin.port, timeout: .milliseconds(100))
        let fault = await #expect(throws: PlatformFault.self) { _ = try await client.query("up") }
        #expect(fault?.code == .prometheusFailed)
        #expect(fault?.message.hasSuffix(" within 0.1 seconds.") == true, "\(String(describing: fault))")
    }

    private static var isThere: Bool {
        let environment = ProcessInfo.processInfo.environment
        return (try? ExecutableLookup.find("prometheus", path: environment["PATH"] ?? "", in: "/")) != nil
            || environment["CI"] == "true"
    }

    @Test(.enabled(if: isThere))
    func `a Prometheus that is frozen is given up in time, and asked again when it goes on`() async throws {
        let folder = TemporaryFolder()
        let config = folder.write("prometheus.yml", "scrape_configs: []\n")
        let prometheus = try await RunningProgram(
            [
                "prometheus", "--config.file", config, "--web.listen-address", "127.0.0.1:0",
                "--storage.tsdb.path", "\(folder.path)/series",
            ],
            environment: ProcessInfo.processInfo.environment
        )
        #expect(await prometheus.prints("Server is ready to receive web requests"))
        let port = prometheus.number(after: "msg=\"Listening on\" address=127.0.0.1:")
        let patient = client(port: port, timeout: .seconds(60))
        #expect(try await patient.query("vector(7)").map(\.value) == [7])
        prometheus.signal(SIGSTOP)
        let hasty = client(port: port, timeout: .milliseconds(100))
        var fault: PlatformFault?
        // It may answer once more before it is frozen.
        _ = await eventually {
            do throws(PlatformFault) { _ = try await hasty.query("vector(7)") } catch { fault = error }
            return fault != nil
        }
        #expect(fault?.message.hasSuffix(" within 0.1 seconds.") == true, "\(String(describing: fault))")
        prometheus.signal(SIGCONT)
        #expect(try await patient.query("vector(8)").map(\.value) == [8])
        prometheus.signal(SIGKILL)
        _ = await prometheus.exitCode()
    }
}
