// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Whether and when a call goes out again; only where the function cannot have seen it, or may see it twice.
struct Retries {
    private var attempts: UInt8 = 0
    private var refusals: UInt8 = 0
    private var hasHandedOverBody = false
    /// Milliseconds between attempts to connect: 0.8 s in all, many times what it takes to notice that a process ended.
    private static let pauses = [0, 1, 2, 5, 10, 20, 50, 100, 200, 400].map { TimeAmount.milliseconds($0) }

    /// The call goes to a replica.
    mutating func noteAttempt() { attempts = min(attempts, 254) + 1 }

    /// A piece of its body was handed over.
    mutating func noteBody() { hasHandedOverBody = true }

    /// How long to wait after a refused connection; nil when it was refused often enough.
    ///
    /// Nothing was sent, so the call may try again: at another replica, or until the provider has noticed that this one is
    /// gone and the call waits for its successor.
    mutating func pauseAfterRefusal() -> TimeAmount? {
        guard Int(refusals) < Self.pauses.count else { return nil }
        refusals += 1
        return Self.pauses[Int(refusals) - 1]
    }

    /// Whether a call whose connection was closed before a byte of an answer came goes out once more: nothing of a body was
    /// handed over and the method may be repeated (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
    ///
    /// A kept connection may just have timed out; a new one may have waited in the backlog of a process that ended.
    func mayRepeat(isIdempotent: Bool) -> Bool { isIdempotent && attempts < 2 && !hasHandedOverBody }
}
