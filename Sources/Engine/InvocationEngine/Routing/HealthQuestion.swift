// SPDX-License-Identifier: Apache-2.0

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
