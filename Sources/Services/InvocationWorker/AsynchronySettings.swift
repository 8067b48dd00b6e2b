// SPDX-License-Identifier: Apache-2.0

import Foundation
public import QueueContract
public import RuntimeSettings

/// How asynchronous calls are kept and tried again.
public struct AsynchronySettings: SettingsSection {
    /// Below which they stand in the file.
    public static let name: String? = "queue"

    /// Whether any are accepted.
    public let isOn: Bool
    /// Whether this process carries calls out, too.
    public let isCarriedOutHere: Bool
    /// How long a call stays a worker's without a sign of life of it.
    public let lease: Duration
    /// Calls of one function at a time.
    public let concurrency: Int
    /// When they are tried again.
    public let retry: RetryPolicy
    /// What is kept of them, and how long.
    public let queue: QueueSettings

    /// Reads them.
    public init(_ reader: inout SettingsReader) {
        isOn = reader.bool(
            Setting("async", default: "true", "Whether calls are accepted for later (/async-function/).")
        )
        let bodyLimit = reader.number(
            Setting(
                "async-body-limit",
                default: "16777216",
                "Longest body of an asynchronous call, in bytes.",
                flag: .value
            ),
            in: 0...Int(Int32.max)
        )
        isCarriedOutHere = reader.bool(
            Setting(
                "async-worker",
                default: "true",
                "Whether this process carries asynchronous calls out itself, or leaves them to martlet queue-worker.",
                flag: .value
            )
        )
        lease = reader.duration(
            Setting(
                "async-lease",
                also: ["ack_wait"],
                default: "60s",
                "How long a call stays a worker's without a sign of life; calls may take longer than that."
            )
        )
        concurrency = reader.number(
            Setting(
                "async-concurrency",
                also: ["max_inflight"],
                default: "100",
                "Most asynchronous calls of one function at a time, where the function has no limit of its own."
            ),
            in: 1...100_000
        )
        retry = RetryPolicy(&reader)
        queue = QueueSettings(&reader, bodyLimit: bodyLimit)
    }
}

extension RetryPolicy {
    fileprivate init(_ reader: inout SettingsReader) {
        let attempts = reader.number(
            Setting(
                "retry-attempts",
                also: ["max_retry_attempts"],
                default: "10",
                "Most attempts of an asynchronous call; 0 and 1 mean that it is not tried again."
            ),
            in: 0...10_000
        )
        self.init(
            attempts: max(1, attempts),
            firstWait: reader.duration(
                Setting(
                    "retry-first-wait",
                    also: ["initial_retry_wait"],
                    default: "10s",
                    "The wait behind an asynchronous call's first attempt; it doubles each time."
                ),
                allowsZero: true
            ),
            longestWait: reader.duration(
                Setting(
                    "retry-longest-wait",
                    also: ["max_retry_wait"],
                    default: "120s",
                    "The longest wait between attempts."
                ),
                allowsZero: true
            ),
            codes: reader.statuses(
                Setting(
                    "retry-codes",
                    also: ["retry_http_codes"],
                    default: "408,429,500,502,503,504",
                    "Statuses of a function that are tried again."
                )
            ),
            backoff: reader.word(
                Setting(
                    "retry-backoff",
                    also: ["backoff"],
                    default: "full",
                    "How waits spread: full (0 to 100 %), equal (50 to 100 %), exponential (no chance)."
                )
            )
        )
    }
}

extension QueueSettings {
    fileprivate init(_ reader: inout SettingsReader, bodyLimit: Int) {
        self.init(
            bodyLimit: bodyLimit,
            resultLimit: reader.number(
                Setting("result-limit", default: "1048576", "Longest body of an answer that is kept, in bytes."),
                in: 0...Int(Int32.max)
            ),
            resultRetention: reader.duration(
                Setting("result-retention", default: "24h", "How long answers of asynchronous calls are kept."),
                allowsZero: true
            ),
            callRetention: reader.duration(
                Setting(
                    "call-retention",
                    default: "336h",
                    "How long dead calls, and the traces of all others, are kept."
                ),
                allowsZero: true
            )
        )
        let limit = reader.duration(
            Setting(
                "call-ttl",
                default: "0",
                "How long an asynchronous call may wait once it is due; 0 means for ever."
            ),
            allowsZero: true
        )
        timeToLive = limit == .zero ? nil : limit
    }
}

extension SettingsReader {
    /// A list of HTTP statuses.
    fileprivate mutating func statuses(_ setting: Setting) -> Set<Int> {
        let words = text(setting).split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        let statuses = words.compactMap { Int($0) }.filter { (100...999).contains($0) }
        guard statuses.count == words.count else {
            return refuse(setting.name, "is not a list of statuses, as 429,502,503", [])
        }
        return Set(statuses)
    }
}

extension WorkerSettings {
    /// What a worker is told of the settings.
    public init(
        _ settings: AsynchronySettings,
        defaultNamespace: String,
        ownHosts: Set<String>,
        proxies: ProxyRules,
        userAgent: String
    ) {
        var callbackRetry = settings.retry
        callbackRetry.backoff = .equal
        self.init(
            retry: settings.retry,
            callbackRetry: callbackRetry,
            concurrency: settings.concurrency,
            lease: settings.lease,
            answerLimit: settings.queue.resultLimit,
            callbackAnswerLimit: max(settings.queue.resultLimit, settings.queue.bodyLimit),
            defaultNamespace: defaultNamespace,
            proxies: proxies,
            userAgent: userAgent
        )
        self.ownHosts.formUnion(ownHosts)
    }
}
