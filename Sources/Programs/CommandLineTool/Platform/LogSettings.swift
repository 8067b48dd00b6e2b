// SPDX-License-Identifier: Apache-2.0

import Glibc
import RuntimeSettings

/// What is logged.
struct LogSettings: SettingsSection {
    /// Which calls of functions.
    enum Calls: String, Sendable, CaseIterable {
        case off
        case errors
        case all
    }

    enum Level: String, Sendable, CaseIterable {
        case debug
        case info
        case warning
        case error
    }

    enum Format: String, Sendable, CaseIterable {
        case auto
        case text
        case json
    }

    static let name: String? = "logs"

    let calls: Calls
    let level: Level
    let format: Format

    init(_ reader: inout SettingsReader) {
        calls = reader.word(
            Setting(
                "access-log",
                default: "off",
                "A line per call of a function: off, errors (400 and above), all.",
                flag: .value
            )
        )
        level = reader.word(
            Setting("log-level", default: "info", "How much is logged: debug, info, warning, error.", flag: .value)
        )
        format = reader.word(
            Setting("log-format", default: "auto", "Logs as text or json; auto: text on a terminal.", flag: .value)
        )
    }

    var isJSON: Bool { format == .json || (format == .auto && isatty(STDERR_FILENO) == 0) }
}
