// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Testing

/// Rules of functions with numbers that nobody should write.
struct RuleFuzzTests {
    private static let words = [
        "", "0", "-1", "1", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e300", "-1e300",
        "nan", "inf", "2562047h", "9223372036s", "9223372037s", "0.0000000001ns", "1e308h", "999999999999999999999Ei",
        "9e18", "8999999999999999999", "0x7f", "٣", ".", "-", "+1", " 1", "1,2,,3", "99,1000", "{}", "\u{0}",
    ]

    private func use(_ deployment: FunctionDeployment) {
        let id = FunctionID(name: "f", namespace: "fn")
        for spec in [try? FunctionSpec(deployment), FunctionSpec(stored: deployment, of: id)].compactMap({ $0 }) {
            _ = spec.scaling.rules?.labels
            _ = try? spec.filled(with: ImageDefaults(environment: deployment.envVars ?? [:]))
            for duration in [spec.calls.deadline, spec.run.gracePeriod, spec.calls.retry.firstWait] {
                _ = duration.map { GoDuration.format($0) }
            }
        }
    }

    @Test func `whatever a deployment says, it is parsed or refused`() {
        let variables = [
            "exec_timeout", "grace_period", "max_inflight", "log_buffer_size", "mode", "upstream_url", "ready_path",
        ]
        let probe = [
            "path", "initialDelaySeconds", "periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold",
        ]
        let annotations =
            probe.flatMap { ["com.openfaas.ready.http.\($0)", "com.openfaas.health.http.\($0)"] }
            + ["attempts", "codes", "min_wait", "max_wait"].map { "com.openfaas.retry.\($0)" }
        let scale = [
            "min", "max", "factor", "type", "target", "target-proportion", "zero", "zero-duration", "down.window",
        ]
        let labels =
            scale.map { "com.openfaas.scale.\($0)" } + PlatformLabel.all.map(\.name)
        for word in Self.words {
            for name in variables {
                use(FunctionDeployment(service: "f", image: "host", envProcess: "cat", envVars: [name: word]))
            }
            for name in labels {
                for type in ["rps", "cpu", "queue"] {
                    var deployment = FunctionDeployment(service: "f", image: "host", envProcess: "cat")
                    deployment.labels = ["com.openfaas.scale.type": type].merging([name: word]) { _, new in new }
                    use(deployment)
                }
            }
            for name in annotations {
                var deployment = FunctionDeployment(service: "f", image: "host", envProcess: "cat")
                let paths = ["com.openfaas.ready.http.path": "/", "com.openfaas.health.http.path": "/"]
                deployment.annotations = paths.merging([name: word]) { _, new in new }
                use(deployment)
            }
            for amounts in [FunctionResources(memory: word, cpu: nil), FunctionResources(memory: nil, cpu: word)] {
                var deployment = FunctionDeployment(service: "f", image: "host", envProcess: "cat")
                deployment.limits = amounts
                use(deployment)
            }
        }
    }

    @Test(arguments: ["1e300", "-1e300", "1e19", "-9223372036854775808", "9223372036854775807", "0.1"])
    func `whatever a status tells, people can be told of it`(number: String) throws {
        let text =
            "{\"name\":\"f\",\"invocationCount\":\(number),\"usage\":{\"cpu\":\(number),\"totalMemoryBytes\":\(number)}}"
        let status = try JSONDecoder().decode(FunctionStatus.self, from: Data(text.utf8))
        #expect(status.invocations >= 0)
        // Counts below zero are left out, like those of zero.
        _ = try JSONDecoder().decode(FunctionStatus.self, from: JSONEncoder().encode(status))
    }
}
