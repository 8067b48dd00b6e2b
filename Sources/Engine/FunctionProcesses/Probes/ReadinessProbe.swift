// SPDX-License-Identifier: Apache-2.0

public import FunctionModel
public import NIOCore
public import ProviderContract

/// The replicas that are asked on one event loop at the moment: where hundreds start at once, asking each of them every
/// millisecond would take the time that they need.
public final class ProbeCrowd {
    /// How many are asked.
    fileprivate(set) var asking = 0

    /// Nobody is asked yet.
    public init() {}

    /// Ten questions a millisecond are asked at most.
    fileprivate var interval: TimeAmount { .microseconds(Int64(100 * asking)) }
}

/// Asks a starting replica again and again whether it is ready: by its port, or by a path that must answer 2xx.
///
/// A process cannot be asked to say when it listens, so this one thing is polled: often at first, when a quick function
/// comes up in milliseconds, then less and less.
public final class ReadinessProbe {
    private let loop: any EventLoop
    private let address: Upstream.Address
    private let probe: ProbeSpec
    private let whenReady: () -> Void
    private var successes = 0
    private var interval: TimeAmount
    private var isOver = false
    private var isCounted = false
    private let crowd: ProbeCrowd

    /// Describes a probe; everything happens on the loop, `whenReady` at most once.
    public init(
        _ address: Upstream.Address,
        probe: ProbeSpec,
        among crowd: ProbeCrowd = ProbeCrowd(),
        on loop: any EventLoop,
        whenReady: @escaping () -> Void
    ) {
        self.address = address
        self.probe = probe
        self.loop = loop
        self.whenReady = whenReady
        self.crowd = crowd
        interval = .milliseconds(1)
    }

    /// Begins to ask.
    public func start() {
        isCounted = true
        crowd.asking += 1
        schedule(after: TimeAmount(probe.initialDelay))
    }

    /// Asks no more.
    public func cancel() { end() }

    private func end() {
        if isCounted { crowd.asking -= 1 }
        isCounted = false
        isOver = true
    }

    private func schedule(after delay: TimeAmount) {
        loop.assumeIsolated().scheduleTask(in: delay) { [self] in ask() }
    }

    private func ask() {
        guard !isOver else { return }
        ProbeQuestion.ask(address, probe: probe, on: loop) { [self] in answered($0) }
    }

    private func answered(_ isReady: Bool) {
        guard !isOver else { return }
        successes = isReady ? successes + 1 : 0
        if successes >= probe.successThreshold {
            end()
            return whenReady()
        }
        if let period = probe.period, probe.path != nil { return schedule(after: TimeAmount(period)) }
        schedule(after: max(interval, crowd.interval))
        // 1, 1, 2, 2, 3, … up to 50 ms: a tenth of the time waited so far, roughly.
        interval = min(.milliseconds(50), .nanoseconds(interval.nanoseconds * 11 / 10))
    }
}
