// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import ProcessControl
import PrometheusClient
import Synchronization
import SystemClient
import TestSupport
import Testing

/// Metrics, alerts and loads with the real Prometheus and the real AlertManager (contract §12.4, §12.5).
@Suite(.enabled(if: MonitoringPeers.areThere))
struct PrometheusTests {
    private let folder = TemporaryFolder()

    private func replicas(_ name: String, _ martlet: RunningMartlet) async throws -> Int {
        try await martlet.client.function(name, in: nil).replicas
    }

    @Test
    func `an alert lets a function grow, its end lets it shrink; custom loads are followed; dashboards have data`()
        async throws
    {
        let peers = try await MonitoringPeers(
            in: folder,
            moreRules: """
                groups:
                  - name: jobs
                    rules:
                      - record: job:function_current_load:sum
                        expr: label_replace(vector(25), "function_name", "ruled.openfaas-fn", "", "")
                        labels:
                          scaling_type: jobs
                """
        )
        let martlet = peers.martlet
        try await martlet.deploy("hot", scaledBy: ["max": "4", "factor": "100"])
        try await martlet.deploy("ruled", scaledBy: ["type": "jobs", "target": "10", "target-proportion": "1"])
        try await martlet.deploy(
            "asked",
            scaledBy: ["type": "custom", "target": "1", "target-proportion": "1"],
            annotations: ["com.martlet.scale.query": "gateway_service_count{function_name=\"$function_name\"} * 0 + 3"]
        )
        #expect(try await martlet.ask("POST", "/async-function/hot", "x", withLogin: false).status == 202)
        let hasGrown = try await eventually(within: .seconds(60)) {
            for _ in 0..<20 { #expect(try await martlet.call("hot").status == 200) }
            return try await replicas("hot", martlet) == 4
        }
        #expect(hasGrown, "\(martlet.output.suffix(2000))")
        #expect(try await eventually { try await replicas("ruled", martlet) == 3 })
        #expect(try await eventually { try await replicas("asked", martlet) == 3 })
        try await checkDashboards(peers.client)
        #expect(try await eventually(within: .seconds(90)) { try await replicas("hot", martlet) == 1 })
        await peers.stop()
    }

    /// Every expression is understood, and every metric in it is there.
    private func checkDashboards(_ prometheus: PrometheusClient) async throws {
        let folder = MonitoringPeers.files.appendingPathComponent("grafana")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count == 3)
        let names = Set(
            try await prometheus.query("count by (__name__) ({__name__=~\".+\"})").compactMap { $0.labels["__name__"] }
        )
        for file in files {
            let dashboard = try JSONDecoder().decode(Dashboard.self, from: Data(contentsOf: file))
            let expressions = dashboard.panels.flatMap(\.targets).map(\.expr)
            #expect(expressions.count >= dashboard.panels.count && !expressions.isEmpty)
            for expression in expressions {
                _ = try await prometheus.query(
                    expression.replacingOccurrences(of: "$function", with: "hot.openfaas-fn")
                )
                for name in expression.matches(of: /(gateway|martlet|queue_worker|pod|http|process)_[a-z_]+/) {
                    #expect(names.contains(String(name.output.0)), "\(name.output.0) of \(file.lastPathComponent)")
                }
            }
        }
    }

    private struct Dashboard: Decodable {
        struct Panel: Decodable {
            struct Target: Decodable {
                var expr: String
            }

            var targets: [Target]
        }

        var panels: [Panel]
    }

    @Test func `promtool has nothing to say but of names that compatibility demands`() async throws {
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data")
        try await martlet.deploy("fn", scaledBy: ["target": "5"])
        _ = try await martlet.call("fn")
        _ = try await martlet.ask("POST", "/async-function/fn", "x", withLogin: false)
        _ = try await martlet.client.scaling(of: "fn", in: nil)
        let client = SystemClient(
            baseURL: "http://127.0.0.1:\(martlet.metricsPort)",
            login: nil,
            http: RunningMartlet.http
        )
        let metrics = try await client.collect(try await client.send("GET", "/metrics"))
        let check = try await ProgramRun.run(
            ["promtool", "check", "metrics"],
            environment: ProcessInfo.processInfo.environment,
            in: folder.path,
            input: Array(metrics)
        )
        let complaints = (check.output + check.error).split(separator: "\n").map { String($0.prefix { $0 != " " }) }
        #expect(
            complaints.sorted()
                == ["gateway_function_invocation_started", "gateway_service_count", "gateway_service_ready_count"],
            "\(check.output)\(check.error)"
        )
        _ = await martlet.stop()
    }

    @Test func `counts of all gateways come from Prometheus, and its end changes nothing but them`() async throws {
        let body = """
            {"status":"success","data":{"resultType":"vector","result":[{"metric":{"function_name":"fn.openfaas-fn"},\
            "value":[1700000000,"1234"]}]}}
            """
        let isUp = Atomic<Bool>(true)
        let origin = try await ScriptedOrigin { _ in
            guard isUp.load(ordering: .relaxed) else { return [.close] }
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"), .close]
        }
        let martlet = try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            environment: ["faas_prometheus_host": "127.0.0.1", "faas_prometheus_port": "\(origin.port)"]
        )
        try await martlet.deploy("fn", scaledBy: [:])
        _ = try await martlet.call("fn")
        func count() async throws -> Double? { try await martlet.client.functions(in: nil).first?.invocationCount }
        #expect(try await eventually { try await count() == 1234 })
        isUp.store(false, ordering: .relaxed)
        #expect(try await eventually { try await count() == 1 })
        _ = await martlet.stop()
    }
}
