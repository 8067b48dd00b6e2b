// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Glibc
import Logging
import Telemetry

/// What the platform says, on standard output and as its log on standard error.
///
/// Both are written by threads of their own: whoever reads them may be slow, or gone, and costs lines, nothing else.
final class PlatformLog: Sendable {
    /// Logs as the settings have it.
    let logger: Logger
    /// Standard error: the log, and the calls where they are logged.
    let errors: LineWriter
    private let output = LineWriter(descriptor: STDOUT_FILENO)

    init(_ settings: LogSettings) {
        let isJSON = settings.isJSON
        let errors = LineWriter(descriptor: STDERR_FILENO) { dropped in
            let notice = "\(dropped) lines were dropped: nobody read fast enough"
            return isJSON ? JSONLogHandler.line(notice, level: .warning) : notice
        }
        self.errors = errors
        var logger = Logger(label: "martlet") { label -> any LogHandler in
            isJSON
                ? JSONLogHandler(writer: errors) : StreamLogHandler(label: label, stream: LineStream(writer: errors))
        }
        logger.logLevel = Logger.Level(rawValue: settings.level.rawValue) ?? .info
        self.logger = logger
    }

    /// Runs the platform with a log, whose last lines are written however it ends.
    static func with(
        _ settings: LogSettings,
        _ body: (PlatformLog) async throws -> Void
    ) async throws {
        let log = PlatformLog(settings)
        do {
            try await body(log)
        } catch {
            await log.close()
            throw error
        }
        await log.close()
    }

    /// Says something to whoever started the platform.
    func say(_ text: String) { output.write(text) }

    /// Says on standard error, outside the log's form, what whoever started the platform should know.
    func warn(_ text: String) { errors.write(text) }

    /// Logs what of a function elsewhere cannot be parsed here, or, without a function, what is wrong with its provider.
    func warnOfProvider(_ id: FunctionID?, _ why: String) {
        guard let id else { return logger.warning("\(why)") }
        logger.warning(
            "a part of a function's deployment counts as absent",
            metadata: ["function": "\(id)", "why": "\(why)"]
        )
    }

    private func close() async {
        await output.close()
        await errors.close()
    }
}

/// Hands whole lines to a writer.
private struct LineStream: TextOutputStream {
    let writer: LineWriter

    func write(_ text: String) {
        writer.write(text.hasSuffix("\n") ? String(text.dropLast()) : text)
    }
}
