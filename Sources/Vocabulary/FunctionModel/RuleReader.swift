// SPDX-License-Identifier: Apache-2.0

import FaultModel

/// Reads single rules and says which one is wrong.
struct RuleReader {
    let environment: [String: String]
    let labels: [String: String]
    let annotations: [String: String]

    func text(_ variable: String) -> String? { environment[variable] }

    func flag(_ variable: String) -> Bool { ["true", "1"].contains(environment[variable]) }

    func mode(default bundleMode: String?) throws(PlatformFault) -> FunctionRules.Mode {
        let fallback = environment["upstream_url"] ?? environment["http_upstream_url"] == nil ? "streaming" : "http"
        let word = environment["mode"] ?? bundleMode ?? fallback
        guard let mode = FunctionRules.Mode(rawValue: word) else {
            throw PlatformFault(
                .invalidValue,
                "The variable mode is \"\(NameRule.printable(word))\".",
                hint: "Use http, streaming or serializing."
            )
        }
        return mode
    }

    func limit(_ variable: String, default fallback: Duration) throws(PlatformFault) -> Duration? {
        guard let text = environment[variable] else { return fallback }
        let duration = try Self.duration(text, of: variable)
        return duration == .zero ? nil : duration
    }

    func number(_ variable: String, in range: ClosedRange<Int>) throws(PlatformFault) -> Int? {
        try Self.number(environment[variable], of: "The variable \(variable)", in: range)
    }

    func label(_ label: String, in range: ClosedRange<Int>) throws(PlatformFault) -> Int? {
        try Self.number(labels[label], of: "The label \(label)", in: range)
    }

    /// One of Martlet's own settings: a label, or an annotation of the same name.
    func setting(_ name: String, in range: ClosedRange<Int>) throws(PlatformFault) -> Int? {
        try Self.number(labels[name] ?? annotations[name], of: "The label \(name)", in: range)
    }

    /// The probe of the annotations under a prefix (contract §14.2); nil when there is no path.
    func probe(_ prefix: String) throws(PlatformFault) -> FunctionRules.Probe? {
        guard let path = annotations["\(prefix).path"], !path.isEmpty else { return nil }
        var probe = FunctionRules.Probe(path: path.hasPrefix("/") ? path : "/" + path)
        probe.initialDelay = try delay("\(prefix).initialDelaySeconds", "\(prefix).initialDelay") ?? .zero
        probe.period = try delay("\(prefix).periodSeconds", "\(prefix).period")
        probe.timeout = try delay("\(prefix).timeoutSeconds", "\(prefix).timeout") ?? .seconds(1)
        probe.successThreshold = try threshold("\(prefix).successThreshold") ?? 1
        probe.failureThreshold = try threshold("\(prefix).failureThreshold") ?? 3
        return probe
    }

    /// What the annotations say of asynchronous calls.
    func retry() throws(PlatformFault) -> CallPolicy.Retry {
        let prefix = "com.openfaas.retry"
        var retry = CallPolicy.Retry()
        retry.attempts = try Self.number(
            annotations["\(prefix).attempts"],
            of: "The annotation \(prefix).attempts",
            in: 0...10_000
        ).map { max(1, $0) }
        retry.codes = try annotations["\(prefix).codes"].map { text throws(PlatformFault) in
            try Self.statuses(text, of: "The annotation \(prefix).codes")
        }
        retry.firstWait = try delay("\(prefix).min_wait")
        retry.longestWait = try delay("\(prefix).max_wait")
        return retry
    }

    private static func statuses(_ text: String, of name: String) throws(PlatformFault) -> [Int] {
        var statuses: [Int] = []
        for word in text.split(separator: ",") {
            let word = word.trimmed
            guard let status = Int(word), (100...999).contains(status) else {
                throw PlatformFault(
                    .invalidValue,
                    "\(name) is \"\(NameRule.printable(text))\".",
                    hint: "List statuses, as 429,502,503."
                )
            }
            statuses.append(status)
        }
        return statuses
    }

    private func delay(_ names: String...) throws(PlatformFault) -> Duration? {
        for name in names {
            if let text = annotations[name] { return try Self.duration(text, of: name) }
        }
        return nil
    }

    private func threshold(_ name: String) throws(PlatformFault) -> Int? {
        try Self.number(annotations[name], of: "The annotation \(name)", in: 1...1000)
    }

    static func duration(_ text: String, of name: String) throws(PlatformFault) -> Duration {
        guard let duration = GoDuration.parse(text) else {
            throw PlatformFault(
                .invalidValue,
                "\(name) is \"\(NameRule.printable(text))\", which is not a duration.",
                hint: "Write it as 30s, 1m30s or a number of seconds."
            )
        }
        return duration
    }

    static func number(
        _ text: String?,
        of name: String,
        in range: ClosedRange<Int>
    ) throws(PlatformFault) -> Int? {
        guard let text else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw PlatformFault(
                .invalidValue,
                "\(name) is \"\(NameRule.printable(text))\".",
                hint: "Use a whole number from \(range.lowerBound) to \(range.upperBound)."
            )
        }
        return number
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        let start = drop { $0 == " " }
        return start.lastIndex { $0 != " " }.map { start[...$0] } ?? ""
    }
}
