// SPDX-License-Identifier: Apache-2.0

public import FunctionModel

/// What was counted for one function, summed over the event loops.
public struct FunctionMetrics: Sendable {
    /// Calls answered with one status.
    public struct Answers: Sendable, Equatable {
        /// How many.
        public var count: UInt64 = 0
        /// Their durations, summed, in nanoseconds.
        public var nanoseconds: UInt64 = 0
        /// How many took at most `FunctionMetrics.bucketBounds[i]`, but longer than the bound before.
        public var buckets = [UInt64](repeating: 0, count: FunctionMetrics.bucketBounds.count + 1)

        /// Nothing counted yet.
        public init() {}

        /// Counts one answer.
        public mutating func count(_ duration: Duration) {
            let (seconds, attoseconds) = duration.components
            count(nanoseconds: UInt64(max(0, seconds * 1_000_000_000 + attoseconds / 1_000_000_000)))
        }

        mutating func count(nanoseconds took: UInt64) {
            let bounds = FunctionMetrics.boundsInNanoseconds
            var bucket = 0
            while bucket < bounds.count, took > bounds[bucket] { bucket += 1 }
            count += 1
            nanoseconds += took
            buckets[bucket] += 1
        }

        mutating func add(_ other: Answers) {
            count += other.count
            nanoseconds += other.nanoseconds
            for index in buckets.indices { buckets[index] += other.buckets[index] }
        }
    }

    /// Upper bounds of the histogram in seconds: Go's default buckets (contract §12.5).
    public static let bucketBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    fileprivate static let boundsInNanoseconds: [UInt64] = bucketBounds.map { UInt64($0 * 1e9) }

    /// The function.
    public var id: FunctionID
    /// Calls that began.
    public var started: UInt64 = 0
    /// Calls that have not ended.
    public var inFlight: Int = 0
    /// Ended calls by status, whatever their method.
    public var answers: [Int: Answers] {
        byMethod.reduce(into: [:]) { sums, row in sums[row.key.status, default: Answers()].add(row.value) }
    }

    /// What ended calls are told apart by.
    public struct Key: Hashable, Sendable {
        /// The status of the answer.
        public var status: Int
        /// The method in lower case, as Prometheus' client library for Go has it; `unknown` for rare ones.
        public var method: String
    }

    /// Ended calls by status and method.
    public private(set) var byMethod: [Key: Answers] = [:]

    /// Nothing counted yet.
    public init(id: FunctionID) { self.id = id }

    mutating func add(_ counters: FunctionCounters) {
        started += counters.started
        inFlight += counters.inFlight
        for row in counters.rows {
            let key = Key(status: row.status, method: row.method.metricsName)
            byMethod[key, default: Answers()].add(row.answers)
        }
    }
}

/// How busy a function is, summed over the event loops.
public struct FunctionActivity: Sendable, Equatable {
    /// Calls that began.
    public var started: UInt64 = 0
    /// Calls that have not ended.
    public var inFlight = 0

    /// Makes a reading.
    public init(started: UInt64 = 0, inFlight: Int = 0) {
        self.started = started
        self.inFlight = inFlight
    }
}

/// One function's counters on one event loop: plain integers, no atomics, no look-up by name.
final class FunctionCounters {
    fileprivate(set) var started: UInt64 = 0
    fileprivate(set) var inFlight = 0
    fileprivate var rows: [(status: Int, method: RequestMethod, answers: FunctionMetrics.Answers)] = []

    func start() {
        started += 1
        inFlight += 1
    }

    /// Counts an ended call.
    ///
    /// A function answers with few different statuses: a scan beats a dictionary.
    func end(status: Int, method: RequestMethod, nanoseconds: UInt64) {
        inFlight -= 1
        let row = rows.firstIndex { $0.status == status && $0.method == method } ?? addRow(status, method)
        rows[row].answers.count(nanoseconds: nanoseconds)
    }

    private func addRow(_ status: Int, _ method: RequestMethod) -> Int {
        rows.append((status, method, FunctionMetrics.Answers()))
        return rows.count - 1
    }
}

/// Counts of ended calls that outlive the process; the gateway keeps them in a shared mapping.
public protocol InvocationLedger: Sendable {
    /// The place where a function's calls are counted; the same place each time it is asked for.
    func cell(for id: FunctionID) -> any InvocationCell
}

/// One function's count.
///
/// `add` is called for each call, on event loops, and must not block.
public protocol InvocationCell: AnyObject, Sendable {
    /// Counts one ended call.
    func add()
}
