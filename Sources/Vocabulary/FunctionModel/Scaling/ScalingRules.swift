// SPDX-License-Identifier: Apache-2.0

public import FaultModel

/// How the number of a function's replicas follows its load: the labels of the autoscaler (contract §13, §14.1).
///
/// The least and the greatest number are `ScalingSpec`'s.
public struct ScalingRules: Sendable, Equatable {
    /// What is taken for the load.
    public enum Mode: Sendable, Equatable {
        /// Calls that come in per second.
        case rps
        /// Calls that have not ended.
        case capacity
        /// CPU that all replicas use together, in thousandths of a core.
        case cpu
        /// Memory that all replicas use together, in bytes.
        case memory
        /// Asynchronous calls that are due or in flight.
        case queue
        /// What Prometheus answers to an expression.
        case query(String)
        /// What Prometheus has recorded as `job:function_current_load:sum` under this `scaling_type`.
        case rule(String)
    }

    /// What is taken for the load.
    public var mode: Mode
    /// The load that one replica is meant for, in the mode's unit; more than 0.
    public var target: Double
    /// The part of `target` at which the next replica is started, more than 0 and at most 1.
    public var proportion: Double
    /// How far back the greatest need counts when replicas are taken away; nil means as the autoscaler sees fit.
    public var downWindow: Duration?
    /// How long nothing has to be called until no replica is kept; nil means that one is always kept.
    public var zeroAfter: Duration?

    /// Makes rules.
    public init(
        mode: Mode = .rps,
        target: Double = 50,
        proportion: Double = 0.9,
        downWindow: Duration? = nil,
        zeroAfter: Duration? = nil
    ) {
        self.mode = mode
        self.target = target
        self.proportion = proportion
        self.downWindow = downWindow
        self.zeroAfter = zeroAfter
    }

    /// The longest `com.openfaas.scale.down.window`.
    public static let longestDownWindow = Duration.seconds(300)
}

extension ScalingRules {
    private static let prefix = "com.openfaas.scale"
    private static let ownPrefix = PlatformLabel.prefix + "scale."
    private static let queryName = PlatformLabel.scaleQuery.name

    /// Whether a function is the autoscaler's business, and thus none of alerts' (martlet-api "Scaling").
    public static func apply(labels: [String: String], annotations: [String: String]) -> Bool {
        let names = ["type", "target", "target-proportion", "zero", "zero-duration", "down.window"]
        return names.contains { labels["\(prefix).\($0)"] != nil }
            || labels.keys.contains { $0.hasPrefix(ownPrefix) }
            || annotations.keys.contains { $0.hasPrefix(ownPrefix) }
    }

    /// Reads the labels; nil where none of them is the autoscaler's.
    ///
    /// - Throws: `invalidValue` naming the label that cannot be parsed.
    public init?(labels: [String: String], annotations: [String: String]) throws(PlatformFault) {
        guard Self.apply(labels: labels, annotations: annotations) else { return nil }
        func label(_ name: String) -> String? { labels["\(Self.prefix).\(name)"] }
        let query = annotations[Self.queryName] ?? labels[Self.queryName]
        mode = try Self.mode(label("type"), query: query)
        target = try Self.target(label("target"), of: mode)
        proportion = try Self.proportion(label("target-proportion"))
        downWindow = try Self.downWindow(label("down.window"))
        let idle = try label("zero-duration").map { text throws(PlatformFault) in
            try Self.idleTime(text)
        }
        zeroAfter = try Self.flag(label("zero")) ? idle ?? .seconds(900) : nil
    }

    /// The labels that these rules can be read from again.
    public var labels: [String: String] {
        var labels = [
            "\(Self.prefix).type": mode.name,
            "\(Self.prefix).target": target == target.rounded() && target < 1e15 ? "\(Int64(target))" : "\(target)",
            "\(Self.prefix).target-proportion": "\(proportion)",
        ]
        if case .query(let query) = mode { labels[Self.queryName] = query }
        if let downWindow { labels["\(Self.prefix).down.window"] = GoDuration.format(downWindow) }
        if let zeroAfter {
            labels["\(Self.prefix).zero"] = "true"
            labels["\(Self.prefix).zero-duration"] = GoDuration.format(zeroAfter)
        }
        return labels
    }

    private static func mode(_ word: String?, query: String?) throws(PlatformFault) -> Mode {
        switch (word, query) {
        case (nil, let query?), ("custom", let query?): return .query(query)
        case ("custom", nil):
            throw PlatformFault(
                .invalidValue,
                "The label \(prefix).type is custom, but there is no expression to scale by.",
                hint: "Give a PromQL expression in the annotation \(queryName)."
            )
        case (nil, nil), ("rps", nil): return .rps
        case ("capacity", nil): return .capacity
        case ("cpu", nil): return .cpu
        case ("memory", nil): return .memory
        case ("queue", nil): return .queue
        case (let word?, nil):
            guard isRuleName(word) else {
                throw PlatformFault(
                    .invalidValue,
                    "The label \(prefix).type is \"\(NameRule.printable(word))\".",
                    hint: "Use rps, capacity, cpu, memory, queue, custom, or the scaling_type of a recording rule."
                )
            }
            return .rule(word)
        case (let word?, .some):
            throw PlatformFault(
                .invalidValue,
                "\(queryName) is given, but the label \(prefix).type is \"\(NameRule.printable(word))\".",
                hint: "Set the type to custom, or leave one of them out."
            )
        }
    }

    private static func isRuleName(_ word: String) -> Bool {
        !word.isEmpty
            && word.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: "_")
            }
    }

    private static func target(_ text: String?, of mode: Mode) throws(PlatformFault) -> Double {
        guard let text else {
            guard mode == .memory else { return 50 }
            throw PlatformFault(
                .invalidValue,
                "The label \(prefix).target is missing: how much memory is one replica meant for?",
                hint: "Write it as 128Mi."
            )
        }
        let value =
            switch mode {
            case .memory: Quantity.parseMemoryBytes(text).map(Double.init)
            case .cpu where text.hasSuffix("m"): Double(text.dropLast())
            default: Double(text)
            }
        guard let value, value.isFinite, value > 0 else {
            throw PlatformFault(
                .invalidValue,
                "The label \(prefix).target is \"\(NameRule.printable(text))\".",
                hint: mode == .memory ? "Write it as 128Mi." : "Use a number above 0."
            )
        }
        return value
    }

    private static func proportion(_ text: String?) throws(PlatformFault) -> Double {
        guard let text else { return 0.9 }
        guard let value = Double(text), value >= 0.01, value <= 1 else {
            throw PlatformFault(
                .invalidValue,
                "The label \(prefix).target-proportion is \"\(NameRule.printable(text))\".",
                hint: "Use a part of the target, 0.01 to 1.0; without the label it is 0.90."
            )
        }
        return value
    }

    private static func downWindow(_ text: String?) throws(PlatformFault) -> Duration? {
        guard let text else { return nil }
        let window = try GoDuration.parse(text, of: "The label \(prefix).down.window")
        guard window <= longestDownWindow else {
            throw PlatformFault(
                .invalidValue,
                "The label \(prefix).down.window is \"\(NameRule.printable(text))\".",
                hint: "Use at most 5m."
            )
        }
        return window == .zero ? nil : window
    }

    private static func idleTime(_ text: String) throws(PlatformFault) -> Duration {
        let name = "The label \(prefix).zero-duration"
        let time = try GoDuration.parse(text, of: name)
        guard time > .zero else {
            throw PlatformFault(
                .invalidValue,
                "\(name) is \"\(NameRule.printable(text))\".",
                hint: "Use more than 0, as 5m; a function that is never to sleep goes without the label zero."
            )
        }
        return time
    }

    private static func flag(_ text: String?) throws(PlatformFault) -> Bool {
        switch text {
        case nil, "false", "0": return false
        case "true", "1": return true
        case .some(let text):
            throw PlatformFault(
                .invalidValue,
                "The label \(prefix).zero is \"\(NameRule.printable(text))\".",
                hint: "Use true or false."
            )
        }
    }
}

extension ScalingRules.Mode {
    /// The word of the label `com.openfaas.scale.type`.
    public var name: String {
        switch self {
        case .rps: "rps"
        case .capacity: "capacity"
        case .cpu: "cpu"
        case .memory: "memory"
        case .queue: "queue"
        case .query: "custom"
        case .rule(let name): name
        }
    }
}
