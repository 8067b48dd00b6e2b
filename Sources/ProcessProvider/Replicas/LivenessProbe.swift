// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore

/// Asks a ready replica from time to time whether it still answers (contract §14.2 `com.openfaas.health.http.*`).
///
/// Only for functions that name a path: a process that lives but hangs is noticed by nothing else.
final class LivenessProbe {
    private let loop: any EventLoop
    private let port: Int
    private let probe: FunctionRules.Probe
    private let whenDead: () -> Void
    private var failures = 0
    private var isOver = false

    /// Time between probes where the annotations name none; Kubernetes' own.
    private static let usualPeriod = Duration.seconds(10)

    init(port: Int, probe: FunctionRules.Probe, on loop: any EventLoop, whenDead: @escaping () -> Void) {
        self.port = port
        self.probe = probe
        self.loop = loop
        self.whenDead = whenDead
    }

    func start() { schedule(after: max(probe.initialDelay, .milliseconds(1))) }

    func cancel() { isOver = true }

    private func schedule(after delay: Duration) {
        loop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) { [self] in
            guard !isOver else { return }
            ProbeQuestion.ask(port: port, probe: probe, on: loop) { [self] in answered($0) }
        }
    }

    private func answered(_ isAlive: Bool) {
        guard !isOver else { return }
        failures = isAlive ? 0 : failures + 1
        guard failures < probe.failureThreshold else {
            isOver = true
            return whenDead()
        }
        schedule(after: probe.period ?? Self.usualPeriod)
    }
}
