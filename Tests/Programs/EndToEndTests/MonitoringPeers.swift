// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import ProcessControl
import PrometheusClient
import TestSupport

/// The real Prometheus and AlertManager around a running Martlet, with the files that the project ships.
struct MonitoringPeers {
    let martlet: RunningMartlet
    let client: PrometheusClient
    private let prometheus: RunningProgram
    private let alertManager: RunningProgram

    /// Whether the tests can run; where they have to, a missing program is a failure.
    static var areThere: Bool {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let missing = ["prometheus", "prometheus-alertmanager", "promtool"].filter {
            (try? ExecutableLookup.find($0, path: path, in: "/")) == nil
        }
        return missing.isEmpty || ProcessInfo.processInfo.environment["CI"] == "true"
    }

    /// The folder of the shipped files.
    static var files: URL { Repository.file("deploy/prometheus") }

    /// Starts all three, each on free ports; `moreRules` are recorded besides the shipped ones.
    init(in folder: TemporaryFolder, moreRules: String) async throws {
        let environment = ProcessInfo.processInfo.environment
        // Each of the three has to know another: Prometheus begins with nothing to scrape and is told later.
        let config = folder.write("prometheus.yml", "scrape_configs: []\n")
        prometheus = try await RunningProgram(
            [
                "prometheus", "--config.file", config, "--web.listen-address", "127.0.0.1:0",
                "--storage.tsdb.path", "\(folder.path)/series",
            ],
            environment: environment
        )
        guard await prometheus.prints("Server is ready to receive web requests") else {
            throw RunningMartlet.StartFailure(output: prometheus.output)
        }
        let port = prometheus.number(after: "msg=\"Listening on\" address=127.0.0.1:")
        client = PrometheusClient(baseURL: "http://127.0.0.1:\(port)", http: RunningMartlet.http)
        martlet = try await RunningMartlet(
            dataDirectory: "\(folder.path)/data",
            environment: ["faas_prometheus_host": "127.0.0.1", "faas_prometheus_port": "\(port)"]
        )
        let ports = [(":8080", martlet.port), (":8082", martlet.metricsPort)]
        try FileManager.default.createSymbolicLink(
            atPath: "\(folder.path)/basic-auth-password",
            withDestinationPath: "\(martlet.dataDirectory)/basic-auth-password"
        )
        alertManager = try await RunningProgram(
            [
                "prometheus-alertmanager", "--config.file", try Self.copy("alertmanager.yml", ports, to: folder),
                "--web.listen-address", "127.0.0.1:0", "--cluster.listen-address", "",
                "--storage.path", "\(folder.path)/alerts",
            ],
            environment: environment
        )
        guard await alertManager.prints("msg=\"Listening on\"") else {
            throw RunningMartlet.StartFailure(output: alertManager.output)
        }
        let alerts = alertManager.number(after: "msg=\"Listening on\" address=127.0.0.1:")
        for rules in ["alert.rules.yml", "recording.rules.yml"] { _ = try Self.copy(rules, [], to: folder) }
        _ = folder.write("more.rules.yml", moreRules)
        let told = try Self.copy("prometheus.yml", ports + [(":9093", alerts)], to: folder)
        let text = try String(contentsOfFile: told, encoding: .utf8)
        _ = folder.write(
            "prometheus.yml",
            text.replacingOccurrences(of: "  - alert.rules.yml\n", with: "  - alert.rules.yml\n  - more.rules.yml\n")
        )
        prometheus.signal(SIGHUP)
    }

    /// Copies a shipped file; all that changes are ports.
    private static func copy(_ file: String, _ ports: [(String, Int)], to folder: TemporaryFolder) throws -> String {
        var text = try String(contentsOf: files.appendingPathComponent(file), encoding: .utf8)
        for (port, real) in ports { text = text.replacingOccurrences(of: port, with: ":\(real)") }
        return folder.write(file, text)
    }

    /// Ends all three.
    func stop() async {
        _ = await martlet.stop()
        for program in [prometheus, alertManager] {
            program.signal(SIGTERM)
            _ = await program.exitCode()
        }
    }
}
