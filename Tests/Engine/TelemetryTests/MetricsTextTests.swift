// SPDX-License-Identifier: Apache-2.0

import Telemetry
import Testing

struct MetricsTextTests {
    private let family = MetricFamily(
        "calls_total",
        .counter,
        help: "Calls.",
        samples: [.init(labels: [.init("name", "a\"b\\c\nd")], value: 3)]
    )

    @Test func `the text format has help, type and escaped labels (§12.5)`() {
        #expect(
            MetricsText(accept: nil).encode([family])
                == "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{name=\"a\\\"b\\\\c\\nd\"} 3\n"
        )
    }

    @Test func `OpenMetrics drops _total from the family and ends with EOF`() {
        let text = MetricsText(accept: "application/openmetrics-text;version=1.0.0").encode([family])
        #expect(text.contains("# TYPE calls counter\n"))
        #expect(text.hasSuffix("# EOF\n"))
    }

    @Test func `a counter without _total is unknown to OpenMetrics`() {
        let misnamed = MetricFamily("gateway_function_invocation_started", .counter, help: "Started.", value: 1)
        #expect(MetricsText.openMetrics.encode([misnamed]).contains("_started unknown"))
        #expect(MetricsText.prometheus.encode([misnamed]).contains("_started counter"))
    }

    @Test func `the process tells of itself`() {
        let names = ProcessMetrics.families().map(\.name)
        #expect(names.contains("process_resident_memory_bytes"))
    }
}
