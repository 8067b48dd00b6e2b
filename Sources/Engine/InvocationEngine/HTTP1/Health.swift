// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// What a watchdog answers.
public enum HealthAnswer: Sendable {
    /// A status with a short text.
    case status(Int, String)
    /// What the function itself answers at a path, past all limits of calls.
    case askFunction(path: String)
}

extension HTTP1Connection {
    /// Answers for the health of what stands behind this door.
    func answerHealth(_ question: HealthQuestion, _ head: RequestHead) {
        guard head.method == .get || head.method == .head else {
            return answerPlainly(status: 405, fields: [("Allow", "GET, HEAD")], body: "")
        }
        switch registry.health?(question) ?? .status(200, "OK") {
        case .status(let status, let text):
            answerPlainly(status: status, fields: [("Content-Type", "text/plain; charset=utf-8")], body: text)
        case .askFunction(let path):
            // The path takes its place behind the head's own bytes, where the call's path is looked up.
            let start = headBytes.readableBytes
            let length = headBytes.writeString(path)
            invoke(WatchdogFunction.probes, start..<start + length)
        }
    }
}
