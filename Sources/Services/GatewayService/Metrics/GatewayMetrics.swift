// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import InvocationEngine
import ProviderContract
import SystemAPI
import Telemetry

/// What the gateway exports, under OpenFaaS' names (contract §12.5).
enum GatewayMetrics {
    static func families(_ functions: [FunctionMetrics], routes: [FunctionRoute]) -> [MetricFamily] {
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
            gauge("gateway_service_count", "Desired replicas of functions.", routes) { $0.desiredReplicas },
            gauge("gateway_service_ready_count", "Ready replicas of functions.", routes) { $0.replicas.count },
            gauge("gateway_service_min", "The least replicas of functions that are awake.", routes) {
                $0.scaling.min
            },
            targets(routes),
        ]
    }

    /// The running version.
    static func build(_ version: String) -> MetricFamily {
        MetricFamily(
            "martlet_build_info",
            .gauge,
            help: "The running version, always 1.",
            samples: [MetricFamily.Sample(labels: [.init("version", version)], value: 1)]
        )
    }

    /// What the autoscaler takes for the load of functions.
    static func loads(_ loads: [(id: FunctionID, mode: String, load: Double)]) -> MetricFamily {
        MetricFamily(
            "martlet_scaling_load",
            .gauge,
            help: "The load of functions as the autoscaler sees it, in the unit of its kind.",
            samples: loads.map { scalingSample($0.id, $0.mode, $0.load) }
        )
    }

    /// What functions use, under the names of OpenFaaS' provider for Kubernetes.
    static func usage(_ readings: [(id: FunctionID, usage: FunctionUsage)]) -> [MetricFamily] {
        func labels(_ id: FunctionID) -> [MetricFamily.Label] {
            [.init("function_name", id.description), .init("namespace", id.namespace)]
        }
        return [
            MetricFamily(
                "pod_cpu_usage_seconds_total",
                .counter,
                help: "CPU time that functions have used, in seconds.",
                samples: readings.compactMap { id, usage in
                    usage.cpuSecondsTotal.map { MetricFamily.Sample(labels: labels(id), value: $0) }
                }
            ),
            MetricFamily(
                "pod_memory_working_set_bytes",
                .gauge,
                help: "Memory that functions use, in bytes.",
                samples: readings.map { MetricFamily.Sample(labels: labels($0.id), value: $0.usage.totalMemoryBytes) }
            ),
        ]
    }

    /// The API's requests, under the gateway's names or those of a provider.
    static func requests(
        _ rows: [(key: RequestCounts.Key, answers: FunctionMetrics.Answers)],
        isProvider: Bool
    ) -> [MetricFamily] {
        let (prefix, status) = isProvider ? ("provider_http_request", "code") : ("http_request", "status")
        func labels(_ key: RequestCounts.Key) -> [MetricFamily.Label] {
            [.init("method", key.method), .init("path", key.path), .init(status, String(key.status))]
        }
        return [
            MetricFamily(
                "\(prefix)s_total",
                .counter,
                help: "Requests to the API.",
                samples: rows.map { MetricFamily.Sample(labels: labels($0.key), value: Double($0.answers.count)) }
            ),
            MetricFamily(
                "\(prefix)_duration_seconds",
                .histogram,
                help: "Durations of requests to the API, in seconds.",
                samples: rows.flatMap { $0.answers.histogram(labels: labels($0.key)) }
            ),
        ]
    }

    private static func targets(_ routes: [FunctionRoute]) -> MetricFamily {
        MetricFamily(
            "gateway_service_target_load",
            .gauge,
            help: "The load that one replica of a function is meant for, in the unit of its kind.",
            samples: routes.compactMap { route in
                route.scaling.rules.map { scalingSample(route.id, $0.mode.name, $0.target) }
            }
        )
    }

    private static func scalingSample(_ id: FunctionID, _ mode: String, _ value: Double) -> MetricFamily.Sample {
        let labels = [MetricFamily.Label("function_name", id.description), .init("scaling_type", mode)]
        return MetricFamily.Sample(labels: labels, value: value)
    }

    private static func gauge(
        _ name: String,
        _ help: String,
        _ routes: [FunctionRoute],
        _ number: (FunctionRoute) -> Int
    ) -> MetricFamily {
        MetricFamily(
            name,
            .gauge,
            help: help,
            samples: routes.map { sample($0.id.description, Double(number($0))) }
        )
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
