// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import InvocationEngine
import Telemetry

/// What the gateway exports, under OpenFaaS' names (contract §12.5).
enum GatewayMetrics {
    static func families(
        _ functions: [FunctionMetrics],
        replicas: [ReplicaCount],
        version: String
    ) -> [MetricFamily] {
        [
            invocations(functions),
            MetricFamily(
                "gateway_function_invocation_started",
                .counter,
                help: "Calls of functions that began.",
                samples: functions.map { sample($0, Double($0.started)) }
            ),
            MetricFamily(
                "gateway_function_invocation_inflight",
                .gauge,
                help: "Calls of functions that have not ended.",
                samples: functions.map { sample($0, Double($0.inFlight)) }
            ),
            durations(functions),
            MetricFamily(
                "gateway_service_count",
                .gauge,
                help: "Desired replicas of functions.",
                samples: replicas.map { sample($0.name, Double($0.desired)) }
            ),
            MetricFamily(
                "gateway_service_ready_count",
                .gauge,
                help: "Ready replicas of functions.",
                samples: replicas.map { sample($0.name, Double($0.ready)) }
            ),
            MetricFamily(
                "martlet_build_info",
                .gauge,
                help: "The running version, always 1.",
                samples: [MetricFamily.Sample(labels: [.init("version", version)], value: 1)]
            ),
        ]
    }

    /// The replicas of one function.
    struct ReplicaCount: Sendable {
        var name: String
        var desired: Int
        var ready: Int
    }

    private static func invocations(_ functions: [FunctionMetrics]) -> MetricFamily {
        MetricFamily(
            "gateway_function_invocation_total",
            .counter,
            help: "Calls of functions that ended, by status.",
            samples: functions.flatMap { function in
                sorted(function).map { status, answers in
                    MetricFamily.Sample(labels: labels(function, status), value: Double(answers.count))
                }
            }
        )
    }

    private static func durations(_ functions: [FunctionMetrics]) -> MetricFamily {
        MetricFamily(
            "gateway_functions_seconds",
            .histogram,
            help: "Durations of calls of functions, in seconds.",
            samples: functions.flatMap { function in
                sorted(function).flatMap { $0.value.histogram(labels: labels(function, $0.key)) }
            }
        )
    }

    private static func sorted(
        _ function: FunctionMetrics
    ) -> [(key: Int, value: FunctionMetrics.Answers)] {
        function.answers.sorted { $0.key < $1.key }
    }

    private static func labels(_ function: FunctionMetrics, _ status: Int) -> [MetricFamily.Label] {
        [.init("function_name", function.id.description), .init("code", String(status))]
    }

    private static func sample(_ function: FunctionMetrics, _ value: Double) -> MetricFamily.Sample {
        sample(function.id.description, value)
    }

    private static func sample(_ name: String, _ value: Double) -> MetricFamily.Sample {
        MetricFamily.Sample(labels: [.init("function_name", name)], value: value)
    }
}
