// SPDX-License-Identifier: Apache-2.0

/// The one table from fault to HTTP status, exit code and whose fault it is.
public enum FaultTable {
    /// What a fault code means on the wire and on the command line.
    public struct Row: Sendable {
        /// Who has to act.
        public let source: PlatformFault.Source
        /// The HTTP status, 400 to 599.
        public let status: Int
        /// The HTTP status in OpenFaaS' watchdog, whose clients know 500 for whatever its function does wrong but being
        /// slow (contract §15.4).
        public var watchdogStatus: Int { status == 502 ? 500 : status }
        /// The exit code of a command that ends with this fault: 1 failed, 64 bad use (sysexits.h, `EX_USAGE`).
        public let exitCode: Int32
        /// Whether the same request may succeed later without a change.
        public let isRetryable: Bool
    }

    /// The row of a code; an unknown code counts as an internal error.
    public static func row(for code: FaultCode) -> Row { rows[code] ?? internalRow }

    /// Every code that has a row, for tests and documentation.
    public static var codes: [FaultCode] { rows.keys.sorted { $0.rawValue < $1.rawValue } }

    private static let internalRow = Row(source: .platform, status: 500, exitCode: 1, isRetryable: false)

    private static let rows: [FaultCode: Row] = [
        .malformedBody: caller(400),
        .malformedRequest: caller(400),
        .invalidValue: caller(400),
        .unauthorized: caller(401),
        .forbidden: caller(403),
        .misdirected: caller(421),
        .functionNotFound: caller(404),
        .imageNotFound: caller(400),
        .secretMissing: caller(400),
        .namespaceMissing: caller(400),
        .notFound: caller(404),
        .alreadyExists: caller(409),
        .conflict: caller(409),
        .gone: caller(410),
        .methodNotAllowed: caller(405),
        .bodyTooLarge: caller(413),
        .targetTooLong: caller(414),
        .headTooLarge: caller(431),
        .versionNotSupported: caller(505),
        .requestTimeout: caller(408),
        .expectationFailed: caller(417),
        .tooManyCalls: caller(429, isRetryable: true),
        .notSupported: caller(501),
        .badUsage: caller(400, exitCode: 64),
        .badSettings: caller(400, exitCode: 64),
        .deadlineExceeded: function(504),
        .functionNotReady: function(504),
        .functionUnreachable: function(502),
        .functionBadAnswer: function(502),
        .processFailed: function(500),
        .providerUnreachable: provider(503),
        .providerFailed: provider(502),
        .prometheusFailed: platform(502),
        .storageUnavailable: platform(503),
        .overloaded: platform(503),
        .shuttingDown: platform(503),
        .internalError: internalRow,
    ]

    private static func caller(_ status: Int, exitCode: Int32 = 1, isRetryable: Bool = false) -> Row {
        Row(source: .caller, status: status, exitCode: exitCode, isRetryable: isRetryable)
    }

    private static func function(_ status: Int) -> Row {
        Row(source: .function, status: status, exitCode: 1, isRetryable: true)
    }

    private static func provider(_ status: Int) -> Row {
        Row(source: .provider, status: status, exitCode: 1, isRetryable: true)
    }

    private static func platform(_ status: Int) -> Row {
        Row(source: .platform, status: status, exitCode: 1, isRetryable: true)
    }
}
