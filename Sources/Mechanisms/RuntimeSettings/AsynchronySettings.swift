// SPDX-License-Identifier: Apache-2.0

/// How asynchronous calls are kept and tried again; see the table for what each means.
public struct AsynchronySettings: Sendable {
    /// In bytes.
    public let bodyLimit: Int
    /// Whether this process carries calls out, too.
    public let isCarriedOutHere: Bool
    /// How long a call stays a worker's without a sign of life of it.
    public let lease: Duration
    /// Calls of one function at a time.
    public let concurrency: Int
    /// At least 1.
    public let attempts: Int
    /// See the table.
    public let firstWait: Duration
    /// See the table.
    public let longestWait: Duration
    /// HTTP statuses.
    public let codes: Set<Int>
    /// `full`, `equal` or `exponential`.
    public let backoff: String
    /// In bytes.
    public let resultLimit: Int
    /// See the table.
    public let resultRetention: Duration
    /// See the table.
    public let callRetention: Duration
    /// Nil means for ever.
    public let timeToLive: Duration?

    /// Nil where asynchronous calls are switched off; the settings are read all the same, so that each is checked.
    init?(_ reader: inout SettingsReader) {
        let isOn = reader.flag("async")
        bodyLimit = reader.number("async-body-limit", in: 0...Int(Int32.max))
        isCarriedOutHere = reader.flag("async-worker")
        lease = reader.duration("async-lease", allowsZero: false)
        concurrency = reader.number("async-concurrency", in: 1...100_000)
        attempts = max(1, reader.number("retry-attempts", in: 0...10_000))
        firstWait = reader.duration("retry-first-wait", allowsZero: true)
        longestWait = reader.duration("retry-longest-wait", allowsZero: true)
        codes = reader.statuses("retry-codes")
        backoff = reader.word("retry-backoff", of: ["full", "equal", "exponential"])
        resultLimit = reader.number("result-limit", in: 0...Int(Int32.max))
        resultRetention = reader.duration("result-retention", allowsZero: true)
        callRetention = reader.duration("call-retention", allowsZero: true)
        let limit = reader.duration("call-ttl", allowsZero: true)
        timeToLive = limit == .zero ? nil : limit
        guard isOn else { return nil }
    }
}
