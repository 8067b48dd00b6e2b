// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore

/// What an orchestrator asks a watchdog (contract §15.3).
public enum HealthQuestion: Sendable {
    /// Whether it lives: `/_/health`.
    case health
    /// Whether it takes calls now: `/_/ready`.
    case ready

    init?(_ path: UnsafeRawBufferPointer) {
        if equals(path, "/_/health") {
            self = .health
        } else if equals(path, "/_/ready") {
            self = .ready
        } else {
            return nil
        }
    }
}

/// The names under which a watchdog's table has its one function.
public enum WatchdogFunction {
    /// For calls.
    public static let calls = "function"
    /// For probes of its readiness, past the limit of calls.
    public static let probes = "ready"
}

/// What a watchdog answers.
public enum HealthAnswer: Sendable {
    /// A status with a short text.
    case status(Int, String)
    /// What the function itself answers at a path, past all limits of calls.
    case askFunction(path: String)
}

extension FrontConnection {
    /// Answers for the health of what stands behind this door.
    func answerHealth(_ question: HealthQuestion, _ head: RequestHead) {
        guard head.method == .get || head.method == .head else {
            return answerPlainly(status: 405, fields: "Allow: GET, HEAD\r\n", body: "")
        }
        switch loopContext.settings.health?(question) ?? .status(200, "OK") {
        case .status(let status, let text):
            answerPlainly(status: status, fields: "Content-Type: text/plain; charset=utf-8\r\n", body: text)
        case .askFunction(let path):
            // The path takes its place behind the head's own bytes, where the call's path is looked up.
            let start = headBytes.readableBytes
            let length = headBytes.writeString(path)
            invoke(WatchdogFunction.probes, start..<start + length)
        }
    }
}
