// SPDX-License-Identifier: Apache-2.0

import InvocationEngine
import Telemetry

/// What the watchdog exports, under of-watchdog's names (contract §15.7).
enum WatchdogMetrics {
    static func families(_ metrics: FunctionMetrics?) -> [MetricFamily] {
        let rows = (metrics?.byMethod ?? [:]).sorted { ($0.key.status, $0.key.method) < ($1.key.status, $1.key.method) }
        func labels(_ key: FunctionMetrics.Key) -> [MetricFamily.Label] {
            [.init("code", String(key.status)), .init("method", key.method)]
        }
        return [
            MetricFamily(
                "http_requests_total",
                .counter,
                help: "Calls that ended, by status and method.",
                samples: rows.map { MetricFamily.Sample(labels: labels($0.key), value: Double($0.value.count)) }
            ),
            MetricFamily(
                "http_request_duration_seconds",
                .histogram,
                help: "Durations of calls, in seconds.",
                samples: rows.flatMap { $0.value.histogram(labels: labels($0.key)) }
            ),
            MetricFamily(
                "http_requests_in_flight",
                .gauge,
                help: "Calls that have not ended.",
                value: Double(metrics?.inFlight ?? 0)
            ),
        ]
    }
}
