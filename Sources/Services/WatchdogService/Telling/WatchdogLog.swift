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
        read(readEnd, from: stream, on: loop)
        return writeEnd
    }

    /// Passes on what comes from a pipe, line by line; takes the descriptor over.
    func read(_ descriptor: Int32, from stream: FunctionStream, on loop: any EventLoop) {
        loop.execute { [self] in
            LineReader.read(descriptor, on: loop, lineLimit: lineLimit, take: { self.pass($0, from: stream) })
        }
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
        let moment = moment()
        errors.write { line in
            line.append(contentsOf: moment.utf8)
            line.append(0x20)
            call.appendMethod(to: &line)
            line.append(0x20)
            call.appendTarget(to: &line)
            line.append(contentsOf: " - \(call.status)".utf8)
            let phrase = ReasonPhrase.of(call.status)
            if !phrase.isEmpty {
                line.append(0x20)
                line.append(contentsOf: phrase.utf8)
            }
            line.append(contentsOf: " - ContentLength: ".utf8)
            line.append(contentsOf: String(call.bytes).utf8)
            line.append(contentsOf: "B (".utf8)
            append(call.duration, to: &line)
            line.append(contentsOf: "s)".utf8)
            if tellsCallID, !call.callID.isEmpty { line.append(contentsOf: " [\(call.callID)]".utf8) }
        }
    }

    /// Seconds with four decimals.
    private func append(_ duration: Duration, to line: inout [UInt8]) {
        let (seconds, attoseconds) = duration.components
        line.append(contentsOf: String(seconds).utf8)
        line.append(UInt8(ascii: "."))
        // A leading one keeps the zeros.
        line.append(contentsOf: String(10_000 + attoseconds / 100_000_000_000_000).utf8.dropFirst())
    }

    /// The time as Go's logger has it, put together once a second.
    private func moment() -> String {
        let now = Timestamp.now()
        let second = now.nanosecondsSinceEpoch / 1_000_000_000
        return lastMoment.withLock { last in
            if last.second != second {
                let text = now.formatted(fractionDigits: 0)
                let day = text.prefix(10).split(separator: "-").joined(separator: "/")
                last = (second, "\(day) \(text.dropFirst(11).prefix(8))")
            }
            return last.text
        }
    }
}
