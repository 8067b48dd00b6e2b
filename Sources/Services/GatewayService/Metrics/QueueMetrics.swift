// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import QueueContract
import Telemetry

/// What the queue exports, under the names of OpenFaaS' queue worker (contract §12.5) and of our own.
struct QueueMetrics {
    let queue: String
    let worker: String

    func families(_ counts: QueueCounts, processed: Int) -> [MetricFamily] {
        let functions = counts.functions.sorted { $0.key < $1.key }
        return [
            family("queue_worker_pending_messages", .gauge, "Calls that wait.", functions) { $0.waiting },
            family(
                "queue_worker_function_invocation_inflight",
                .gauge,
                "Asynchronous calls that are being carried out.",
                functions
            ) { $0.running },
            MetricFamily(
                "queue_worker_messages_submitted_total",
                .counter,
                help: "Calls that were accepted.",
                samples: [MetricFamily.Sample(value: Double(counts.total.accepted))]
            ),
            MetricFamily(
                "queue_worker_messages_processed_total",
                .counter,
                help: "Asynchronous calls that this worker has brought to an end.",
                samples: [
                    MetricFamily.Sample(
                        labels: [.init("queue_name", queue), .init("kubernetes_pod_name", worker)],
                        value: Double(processed)
                    )
                ]
            ),
            states(functions),
            family(
                "martlet_queue_drift",
                .gauge,
                "Calls that the queue has lost count of; anything but 0 is a fault of the queue.",
                functions
            ) { $0.drift },
            MetricFamily(
                "martlet_queue_oldest_seconds",
                .gauge,
                help: "How long the oldest waiting call has waited.",
                samples: [MetricFamily.Sample(value: counts.oldest?.inSeconds ?? 0)]
            ),
        ]
    }

    static func reconnections(_ name: String, _ count: Int) -> MetricFamily {
        MetricFamily(
            name,
            .counter,
            help: "How often the connection to the NATS server was made again.",
            samples: [MetricFamily.Sample(value: Double(count))]
        )
    }

    private func states(_ functions: [(key: FunctionID, value: CallCounts)]) -> MetricFamily {
        MetricFamily(
            "martlet_queue_calls",
            .gauge,
            help: "Asynchronous calls by state, since the queue was made.",
            samples: functions.flatMap { function, counts in
                (CallState.known + counts.others.keys).map { state in
                    MetricFamily.Sample(
                        labels: [.init("function_name", function.description), .init("state", state.rawValue)],
                        value: Double(counts[state])
                    )
                }
            }
        )
    }

    private func family(
        _ name: String,
        _ kind: MetricFamily.Kind,
        _ help: String,
        _ functions: [(key: FunctionID, value: CallCounts)],
        _ number: (CallCounts) -> Int
    ) -> MetricFamily {
        MetricFamily(
            name,
            kind,
            help: help,
            samples: functions.map { function, counts in
                MetricFamily.Sample(
                    labels: [.init("queue_name", queue), .init("function_name", function.description)],
                    value: Double(number(counts))
                )
            }
        )
    }
}
