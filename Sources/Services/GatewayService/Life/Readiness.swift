// SPDX-License-Identifier: Apache-2.0

import FaultModel

/// Whether a program can serve at the moment, as against whether it is alive.
///
/// A state that is looked at, never noted: what it is made of cannot contradict it.
public struct Readiness: Sendable {
    /// Says in a sentence what is missing; nil where nothing is.
    public typealias Condition = @Sendable () -> String?

    private let conditions: [Condition]

    /// Made of what has to hold.
    public init(_ conditions: [Condition]) { self.conditions = conditions }

    /// What is missing, a sentence each; empty where the program is ready.
    public var missing: [String] { conditions.compactMap { $0() } }

    /// What `/readyz` answers: 200, or 503 with what is missing.
    var answer: (status: Int, body: String) {
        let missing = missing
        let list = missing.map { JSONText.quoted($0) }.joined(separator: ",")
        return (missing.isEmpty ? 200 : 503, "{\"ready\":\(missing.isEmpty),\"missing\":[\(list)]}\n")
    }
}
