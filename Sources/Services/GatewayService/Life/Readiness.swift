// SPDX-License-Identifier: Apache-2.0

import FaultModel

/// Whether a program can serve at the moment, as against whether it is alive.
///
/// A state that is looked at, never noted: what it is made of cannot contradict it.
public struct Readiness: Sendable {
    /// Says in a sentence what is missing; nil where nothing is.
    public typealias Condition = @Sendable () -> String?

    private let conditions: [Condition]
    private let limits: [Condition]

    /// Made of what has to hold, and of what should: what keeps no call from being served.
    public init(_ conditions: [Condition], limits: [Condition] = []) {
        self.conditions = conditions
        self.limits = limits
    }

    /// What is missing, a sentence each; empty where the program is ready.
    public var missing: [String] { conditions.compactMap { $0() } }

    /// What `/readyz` answers: 200, or 503 with what is missing; with what is limited, where something is.
    var answer: (status: Int, body: String) {
        let (missing, limited) = (missing, limits.compactMap { $0() })
        let rest = limited.isEmpty ? "" : ",\"limited\":\(Self.list(limited))"
        let body = "{\"ready\":\(missing.isEmpty),\"missing\":\(Self.list(missing))\(rest)}\n"
        return (missing.isEmpty ? 200 : 503, body)
    }

    private static func list(_ sentences: [String]) -> String {
        "[\(sentences.map { JSONText.quoted($0) }.joined(separator: ","))]"
    }
}
