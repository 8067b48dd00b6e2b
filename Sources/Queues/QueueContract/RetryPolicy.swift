// SPDX-License-Identifier: Apache-2.0

/// When a call is tried again, and how long that waits (contract §7.4).
public struct RetryPolicy: Sendable, Equatable {
    /// How waits grow and spread.
    public enum Backoff: String, Sendable, CaseIterable {
        /// Doubled each time, without chance.
        case exponential
        /// Doubled, then anything from 0 to that.
        case full
        /// Doubled, then anything from a half of it to that.
        case equal
    }

    /// Most attempts in all, at least 1.
    public var attempts: Int
    /// The wait behind the first attempt.
    public var firstWait: Duration
    /// The longest wait.
    public var longestWait: Duration
    /// Statuses that are tried again.
    public var codes: Set<Int>
    /// How waits grow and spread.
    public var backoff: Backoff

    /// Makes a policy; the defaults are those of the documentation.
    public init(
        attempts: Int = 10,
        firstWait: Duration = .seconds(10),
        longestWait: Duration = .seconds(120),
        codes: Set<Int> = [408, 429, 500, 502, 503, 504],
        backoff: Backoff = .full
    ) {
        self.attempts = attempts
        self.firstWait = firstWait
        self.longestWait = longestWait
        self.codes = codes
        self.backoff = backoff
    }

    /// What follows an attempt.
    public enum Decision: Sendable, Equatable {
        /// The call is over.
        case end(CallEnd)
        /// It waits for its next attempt.
        case retry(after: Duration)
    }

    /// Decides what follows an attempt that ended with a status.
    ///
    /// - Parameters:
    ///   - number: Which attempt it was, from 1.
    ///   - isPlatformFault: Whether the platform failed, not the function: that is tried again whatever the status.
    ///   - retryAfter: What `Retry-After` asked for; it replaces the computed wait and is never less than the first.
    ///   - chance: A number from 0 up to, but not including, 1.
    public func decide(
        status: Int,
        isPlatformFault: Bool,
        attempt number: Int,
        retryAfter: Duration?,
        chance: @autoclosure () -> Double
    ) -> Decision {
        if (200..<400).contains(status) { return .end(.succeeded) }
        guard codes.contains(status) || isPlatformFault else { return .end(.failed) }
        guard number < attempts else { return .end(.dead) }
        if let retryAfter, status == 429 || status == 503 { return .retry(after: max(retryAfter, firstWait)) }
        return .retry(after: wait(behind: number, chance: chance()))
    }

    /// The wait behind an attempt, counted from 1.
    public func wait(behind number: Int, chance: Double) -> Duration {
        var wait = min(firstWait, longestWait)
        for _ in 1..<max(1, number) where wait < longestWait { wait = min(wait * 2, longestWait) }
        switch backoff {
        case .exponential: return wait
        case .full: return wait * chance
        case .equal: return wait * (0.5 + chance / 2)
        }
    }
}
