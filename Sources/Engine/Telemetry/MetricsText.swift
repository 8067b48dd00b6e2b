// SPDX-License-Identifier: Apache-2.0

/// Writes metrics as text, in the format that a scraper accepts (contract §12.5, §29).
public enum MetricsText: Sendable {
    /// The text format that every Prometheus reads.
    case prometheus
    /// OpenMetrics 1.0.
    case openMetrics

    /// The format for a scraper's `Accept`; OpenMetrics only where it is asked for.
    public init(accept: String?) {
        let ranges = (accept ?? "").split(separator: ",").map { $0.drop { $0 == " " } }
        self = ranges.contains { $0.hasPrefix("application/openmetrics-text") } ? .openMetrics : .prometheus
    }

    /// The media type of what `encode` writes.
    public var contentType: String {
        switch self {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
        }
    }

    /// Writes families in their order.
    public func encode(_ families: [MetricFamily]) -> String {
        var text = ""
        for family in families {
            let name = familyName(family)
            text += "# HELP \(name) \(escapedHelp(family.help))\n"
            text += "# TYPE \(name) \(kindWord(family))\n"
            for sample in family.samples { write(sample, of: family, to: &text) }
        }
        if self == .openMetrics { text += "# EOF\n" }
        return text
    }

    /// OpenMetrics names a counter's family without the `_total` of its samples.
    private func familyName(_ family: MetricFamily) -> String {
        guard self == .openMetrics, family.kind == .counter, family.name.hasSuffix("_total") else { return family.name }
        return String(family.name.dropLast("_total".count))
    }

    /// A counter without `_total`, which compatibility demands, has no type in OpenMetrics.
    private func kindWord(_ family: MetricFamily) -> String {
        let isMisnamed = family.kind == .counter && !family.name.hasSuffix("_total")
        return self == .openMetrics && isMisnamed ? "unknown" : family.kind.rawValue
    }

    private func write(_ sample: MetricFamily.Sample, of family: MetricFamily, to text: inout String) {
        text += family.name
        text += sample.suffix
        if !sample.labels.isEmpty {
            let labels = sample.labels.map { "\($0.name)=\"\(escapedValue($0.value))\"" }
            text += "{\(labels.joined(separator: ","))}"
        }
        text += " \(Self.number(sample.value))\n"
    }

    /// Whole numbers without a fraction, the others in Swift's shortest form.
    static func number(_ value: Double) -> String {
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if value.isNaN { return "NaN" }
        if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
        return "\(value)"
    }

    private func escapedValue(_ text: String) -> String { escaped(text, quotes: true) }

    private func escapedHelp(_ text: String) -> String { escaped(text, quotes: self == .openMetrics) }

    private func escaped(_ text: String, quotes: Bool) -> String {
        var out = ""
        for character in text.unicodeScalars {
            switch character {
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\"" where quotes: out += "\\\""
            default: out.unicodeScalars.append(character)
            }
        }
        return out
    }
}
