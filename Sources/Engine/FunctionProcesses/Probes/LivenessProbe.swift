// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import NIOCore
public import ProviderContract

/// Asks a ready replica from time to time whether it still answers (contract §14.2 `com.openfaas.health.http.*`).
///
/// Only for functions that name a path: a process that lives but hangs is noticed by nothing else.
public final class LivenessProbe {
    private let loop: any EventLoop
    private let address: Upstream.Address
    private let probe: ProbeSpec
    private let whenDead: () -> Void
    private var failures = 0
    private var isOver = false

    /// Time between probes where the annotations name none; Kubernetes' own.
    private static let usualPeriod = Duration.seconds(10)

    /// Describes a probe; everything happens on the loop, `whenDead` at most once.
    public init(
        _ address: Upstream.Address,
        probe: ProbeSpec,
        on loop: any EventLoop,
        whenDead: @escaping () -> Void
    ) {
        self.address = address
        self.probe = probe
        self.loop = loop
        self.whenDead = whenDead
    }

    /// Begins to ask.
    public func start() { schedule(after: max(probe.initialDelay, .milliseconds(1))) }

    /// Asks no more.
    public func cancel() { isOver = true }

    private func schedule(after delay: Duration) {
        loop.assumeIsolated().scheduleTask(in: TimeAmount(delay)) { [self] in
            guard !isOver else { return }
            ProbeQuestion.ask(address, probe: probe, on: loop) { [self] in answered($0) }
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
