// SPDX-License-Identifier: Apache-2.0

/// The one error type that crosses the boundaries between Martlet's parts.
///
/// A fault tells what happened in one sentence for the person who sees it, whose fault it was, and what to do next.
/// `FaultTable` alone decides which HTTP status and which exit code a fault becomes.
public struct PlatformFault: Error, Sendable {
    /// Who has to act so that the fault does not happen again.
    public enum Source: String, Sendable, Codable, CaseIterable {
        /// The request, the command or the deployment was wrong.
        case caller
        /// The code that a user deployed misbehaved.
        case function
        /// The back end that runs functions failed or cannot be reached.
        case provider
        /// Martlet itself failed.
        case platform
    }

    /// What kind of fault it is: stable, machine readable.
    public let code: FaultCode

    /// One sentence (or more) for the person who sees it.
    ///
    /// Contains neither secrets nor paths of the host.
    public let message: String

    /// What to do next, as a sentence; nil when the message says it already.
    public let hint: String?

    /// Seconds after which trying again makes sense; nil when unknown.
    public let retryAfterSeconds: Int?

    /// What led to this fault; for logs only, never sent to a client.
    public let cause: (any Error)?

    /// Makes a fault; its source follows from its code.
    public init(
        _ code: FaultCode,
        _ message: String,
        hint: String? = nil,
        retryAfterSeconds: Int? = nil,
        cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.hint = hint
        self.retryAfterSeconds = retryAfterSeconds
        self.cause = cause
    }

    /// Who has to act.
    public var source: Source { FaultTable.row(for: code).source }

    /// Whether the same request may succeed later without a change.
    public var isRetryable: Bool { FaultTable.row(for: code).isRetryable }

    /// Wraps an error that no part expected; a fault is returned unchanged.
    public static func unexpected(_ error: any Error, doing what: String) -> PlatformFault {
        if let fault = error as? PlatformFault { return fault }
        return PlatformFault(.internalError, "Martlet failed while \(what).", cause: error)
    }
}

extension PlatformFault: CustomStringConvertible {
    /// The sentence, the hint, and for logs the cause.
    public var description: String {
        var text = message
        if let hint { text += " \(hint)" }
        if let cause { text += " (cause: \(cause))" }
        return text
    }
}
