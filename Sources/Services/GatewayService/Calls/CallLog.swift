// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
public import InvocationEngine
public import Telemetry

/// A line per call on standard error, as text or JSON.
public final class CallLog: AccessLog {
    private let writer: LineWriter
    private let leastStatus: Int
    private let isJSON: Bool

    /// Writes to what others write to as well; with `errorsOnly` calls that ended well are left out.
    public init(writer: LineWriter, errorsOnly: Bool, isJSON: Bool) {
        self.writer = writer
        leastStatus = errorsOnly ? 400 : 0
        self.isJSON = isJSON
    }

    /// Whether a call is written.
    public func wants(status: Int) -> Bool { status >= leastStatus }

    /// Writes a call.
    public func note(_ call: AccessRecord) { writer.write(isJSON ? json(call) : text(call)) }

    private func text(_ call: AccessRecord) -> String {
        let milliseconds = Double(call.duration.components.attoseconds / 1_000_000_000_000) / 1000
        let time = "\(Double(call.duration.components.seconds) * 1000 + milliseconds)ms"
        return "\(Timestamp.now()) \(or(call.clientAddress)) \(call.method) \(call.target) \(call.status) "
            + "\(call.bytes)B \(time) \(or(call.function)) call=\(or(call.callID)) trace=\(or(call.traceID))"
    }

    /// What is not there is a hyphen, so that columns stay in place.
    private func or(_ text: String?) -> String { text.flatMap { $0.isEmpty ? nil : $0 } ?? "-" }

    private func json(_ call: AccessRecord) -> String {
        let seconds = Double(call.duration.components.seconds) + Double(call.duration.components.attoseconds) / 1e18
        let texts = [
            ("time", "\(Timestamp.now())"), ("client", call.clientAddress), ("method", call.method),
            ("target", call.target), ("function", call.function ?? ""), ("callId", call.callID),
            ("traceId", call.traceID), ("userAgent", call.userAgent),
        ]
        let quoted = texts.map { "\"\($0.0)\":\(JSONText.quoted($0.1))" }.joined(separator: ",")
        return "{\(quoted),\"status\":\(call.status),\"bytes\":\(call.bytes),\"seconds\":\(seconds)}"
    }
}
