// SPDX-License-Identifier: Apache-2.0

public import InvocationEngine

extension FunctionMetrics.Answers {
    /// The samples of a histogram in seconds, with Go's default buckets (contract §12.5, §15.7).
    public func histogram(labels: [MetricFamily.Label]) -> [MetricFamily.Sample] {
        var samples: [MetricFamily.Sample] = []
        var total: UInt64 = 0
        let bounds = FunctionMetrics.bucketBounds.map(MetricsText.number) + ["+Inf"]
        for (bound, count) in zip(bounds, buckets) {
            total += count
            samples.append(.init(suffix: "_bucket", labels: labels + [.init("le", bound)], value: Double(total)))
        }
        samples.append(.init(suffix: "_sum", labels: labels, value: Double(nanoseconds) / 1e9))
        samples.append(.init(suffix: "_count", labels: labels, value: Double(count)))
        return samples
    }
}
