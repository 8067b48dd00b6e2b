// SPDX-License-Identifier: Apache-2.0

import DequeModule
public import FunctionModel

/// What was seen of a function at one moment.
public struct ScalingSample: Sendable, Equatable {
    /// Calls that have begun since the function is known; only rises.
    public var started: UInt64
    /// Calls that have not ended.
    public var inFlight: Int
    /// Asynchronous calls that are due or in flight.
    public var backlog: Int
    /// What the mode's source says, where it is none of the above: CPU, memory, Prometheus; nil while it says nothing.
    public var reading: Double?

    /// Makes a sample.
    public init(started: UInt64, inFlight: Int, backlog: Int = 0, reading: Double? = nil) {
        self.started = started
        self.inFlight = inFlight
        self.backlog = backlog
        self.reading = reading
    }
}

/// What the autoscaler remembers of one function: enough for its rates, and for not going down too soon.
///
/// A pure value. Moments are durations since any fixed one; each is later than the one before.
public struct ScalingHistory: Sendable {
    /// Rates and averages look back so far.
    static let averageOver = Duration.seconds(10)
    /// A sudden rise is believed at once when so many calls came within the last second or two.
    static let burst: UInt64 = 10
    /// How far back the greatest need counts where the function names no window.
    static let holdFor = Duration.seconds(30)

    private var samples: Deque<(at: Duration, sample: ScalingSample)> = []
    /// Recommendations of the window, each greater than all after it: the first is the greatest.
    private var needs: Deque<(at: Duration, replicas: Int)> = []
    private var lastActive: Duration

    /// Nothing seen yet; the function counts as just called.
    public init(now: Duration) { lastActive = now }

    /// How long the function has had no call begin, in flight or due.
    public func idle(now: Duration) -> Duration { max(.zero, now - lastActive) }

    /// Something else than a call happened for which the function must not be put to sleep at once.
    public mutating func noteActivity(now: Duration) { lastActive = now }

    /// Takes over what was seen.
    ///
    /// A count of started calls that fell belongs to a new function of the same name.
    public mutating func add(_ sample: ScalingSample, now: Duration) {
        if let last = samples.last?.sample, sample.started < last.started {
            samples = []
            needs = []
        }
        let began = samples.last.map { $0.sample.started != sample.started } ?? false
        if began || sample.inFlight > 0 || sample.backlog > 0 { lastActive = now }
        samples.append((now, sample))
        // One sample at or before the beginning stays: rates are counted from it.
        while samples.count > 1, samples[1].at <= now - Self.averageOver { samples.removeFirst() }
    }

    /// The load by a mode; nil while its source says nothing.
    public func load(_ mode: ScalingRules.Mode) -> Double? {
        guard let (now, last) = samples.last else { return nil }
        switch mode {
        case .rps: return max(averageRate(now, last), latestRate(now, last))
        case .capacity: return Double(last.inFlight)
        case .queue: return Double(last.backlog)
        // Starting costs CPU: a single reading would take that for load and start more.
        case .cpu: return averageReading
        case .memory, .query, .rule: return last.reading
        }
    }

    /// Calls over the whole look-back; a function seen for less counts as idle before.
    private func averageRate(_ now: Duration, _ last: ScalingSample) -> Double {
        guard let (at, first) = samples.first, now > at else { return 0 }
        return Double(last.started - first.started) / max(now - at, Self.averageOver).inSeconds
    }

    /// Calls since the sample before; none when there are too few to tell a rise from chance.
    private func latestRate(_ now: Duration, _ last: ScalingSample) -> Double {
        guard samples.count > 1 else { return 0 }
        let (at, before) = samples[samples.count - 2]
        let calls = last.started - before.started
        // Two looks may follow one another closely, behind a pause of the machine: their calls are of a second still.
        return calls >= Self.burst ? Double(calls) / max(now - at, .seconds(1)).inSeconds : 0
    }

    private var averageReading: Double? {
        guard samples.last?.sample.reading != nil else { return nil }
        let readings = samples.compactMap(\.sample.reading)
        return readings.reduce(0, +) / Double(readings.count)
    }

    /// Remembers how many replicas were needed, for a window.
    ///
    /// What there is when looking begins counts as needed: a platform that starts again under load takes nothing away.
    mutating func note(need: Int, current: Int, window: Duration?, now: Duration) {
        let replicas = needs.isEmpty ? max(need, current) : need
        while let last = needs.last, last.replicas <= replicas { needs.removeLast() }
        needs.append((now, replicas))
        let horizon = now - (window ?? Self.holdFor)
        while let first = needs.first, first.at <= horizon { needs.removeFirst() }
    }

    /// The greatest need of the window.
    var greatestNeed: Int { needs.first?.replicas ?? 0 }
}
