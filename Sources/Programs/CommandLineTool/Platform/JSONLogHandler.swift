// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Logging
import Telemetry

/// Logs as one JSON object per line, for machines.
struct JSONLogHandler: LogHandler {
    /// Takes the lines and never blocks.
    let writer: LineWriter
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    init(writer: LineWriter) { self.writer = writer }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, new in new }.mapValues { "\($0)" }
        writer.write(Self.line("\(event.message)", level: event.level, fields))
    }

    /// A line by itself; fields of ours win over those of a message that bear their names.
    static func line(_ message: String, level: Logger.Level, _ fields: [String: String] = [:]) -> String {
        var fields = fields
        fields["time"] = Timestamp.now().description
        fields["level"] = level.rawValue
        fields["message"] = message
        let pairs = fields.sorted { $0.key < $1.key }.map { "\(JSONText.quoted($0.key)):\(JSONText.quoted($0.value))" }
        return "{\(pairs.joined(separator: ","))}"
    }
}
