// SPDX-License-Identifier: Apache-2.0

/// Durations as OpenFaaS writes them: a Go duration (`1m30s`, `250ms`) or bare seconds (contract, "Legend").
public enum GoDuration {
    /// What fits into nanoseconds, as in Go: 292 years.
    private static let longestSeconds: Int64 = 9_223_372_036

    /// Reads a duration; nil when it is neither a Go duration nor a number of seconds, or is negative.
    public static func parse(_ text: String) -> Duration? {
        if let seconds = Int64(text) { return (0...longestSeconds).contains(seconds) ? .seconds(seconds) : nil }
        var rest = text.utf8[...]
        guard !rest.isEmpty else { return nil }
        var total = Duration.zero
        while !rest.isEmpty {
            guard let number = takeNumber(&rest), let unit = takeUnit(&rest) else { return nil }
            let nanoseconds = number * unit
            guard nanoseconds.isFinite, nanoseconds < 9.2e18 else { return nil }
            total += .nanoseconds(Int64(nanoseconds.rounded()))
            guard total <= .seconds(longestSeconds) else { return nil }
        }
        return total
    }

    /// Writes a duration as the shortest Go duration of hours, minutes, seconds and milliseconds.
    public static func format(_ duration: Duration) -> String {
        let milliseconds = duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
        guard milliseconds > 0 else { return "0s" }
        var text = ""
        let (hours, minutes) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60)
        let (seconds, rest) = (milliseconds / 1000 % 60, milliseconds % 1000)
        if hours > 0 { text += "\(hours)h" }
        if minutes > 0 { text += "\(minutes)m" }
        if seconds > 0 { text += "\(seconds)s" }
        if rest > 0 { text += "\(rest)ms" }
        return text
    }

    private static func takeNumber(_ rest: inout Substring.UTF8View) -> Double? {
        let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") }
        rest = rest.dropFirst(digits.count)
        return Double(Substring(digits))
    }

    private static func takeUnit(_ rest: inout Substring.UTF8View) -> Double? {
        let letters = rest.prefix { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) && $0 != UInt8(ascii: ".") }
        rest = rest.dropFirst(letters.count)
        switch Substring(letters) {
        case "ns": return 1
        case "us", "µs", "μs": return 1e3
        case "ms": return 1e6
        case "s": return 1e9
        case "m": return 60e9
        case "h": return 3600e9
        default: return nil
        }
    }
}

extension Duration {
    /// The duration in seconds, for JSON and metrics.
    public var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
