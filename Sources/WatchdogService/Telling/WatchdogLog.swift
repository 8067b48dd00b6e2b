// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import FunctionProcesses
import InvocationEngine
import NIOCore
import ProcessControl
import Synchronization
import Telemetry

/// What the watchdog and its function print, as Go's logger has it: `2026/01/02 03:04:05 text`.
final class WatchdogLog: AccessLog {
    private let output = LineWriter(descriptor: 1)
    private let errors = LineWriter(descriptor: 2)
    private let prefixes: Bool
    private let tellsCallID: Bool
    private let lineLimit: Int?
    private let lastMoment = Mutex<(second: Int64, text: String)>((-1, ""))

    init(_ settings: WatchdogSettings) {
        prefixes = settings.prefixesLogs
        tellsCallID = settings.logsCallID
        lineLimit = settings.logLineLimit
    }

    /// Prints a line of the watchdog's own.
    func say(_ text: String) { errors.write("\(moment()) \(text)") }

    /// Opens a pipe whose lines are passed on; returns the end to write to, which the caller closes.
    func openPipe(for stream: FunctionStream, on loop: any EventLoop) throws(SpawnError) -> Int32 {
        let (readEnd, writeEnd) = try ProcessPipe.open()
        loop.execute { [self] in
            LineReader.read(readEnd, on: loop, lineLimit: lineLimit, take: { self.pass($0, from: stream) })
        }
        return writeEnd
    }

    /// Passes a line of the function on, to the stream it came from.
    private func pass(_ line: String, from stream: FunctionStream) {
        let writer = stream == .output ? output : errors
        writer.write(prefixes ? "\(moment()) \(stream.rawValue): \(line)" : line)
    }

    /// The function's own streams.
    enum FunctionStream: String {
        case output = "stdout"
        case errors = "stderr"
    }

    /// Returns when everything is written.
    func close() async {
        await output.close()
        await errors.close()
    }

    // MARK: Calls

    func wants(status: Int) -> Bool { true }

    func note(_ call: AccessRecord) {
        // Kubernetes asks every few seconds.
        guard !call.isFrom("kube-probe") else { return }
        var line = moment()
        line.reserveCapacity(128)
        line += " "
        line += call.method
        line += " "
        line += call.target
        line += " - "
        line += String(call.status)
        let phrase = ReasonPhrase.of(call.status)
        if !phrase.isEmpty { line += " " + phrase }
        line += " - ContentLength: "
        line += String(call.bytes)
        line += "B ("
        line += seconds(call.duration)
        line += "s)"
        if tellsCallID, !call.callID.isEmpty { line += " [\(call.callID)]" }
        errors.write(line)
    }

    /// With four decimals.
    private func seconds(_ duration: Duration) -> String {
        let parts = duration.components
        let decimals = String(parts.attoseconds / 100_000_000_000_000)
        return "\(parts.seconds)." + String(repeating: "0", count: 4 - decimals.count) + decimals
    }

    /// The time as Go's logger has it, put together once a second.
    private func moment() -> String {
        let now = Timestamp.now()
        let second = now.nanosecondsSinceEpoch / 1_000_000_000
        return lastMoment.withLock { last in
            if last.second != second {
                let text = now.formatted(fractionDigits: 0)
                last = (second, text.prefix(10).replacing("-", with: "/") + " " + text.dropFirst(11).prefix(8))
            }
            return last.text
        }
    }
}
