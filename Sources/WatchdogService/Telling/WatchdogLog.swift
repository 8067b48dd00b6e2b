// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import InvocationEngine
import Telemetry

/// What the watchdog and its function print, as Go's logger has it: `2026/01/02 03:04:05 text`.
final class WatchdogLog: AccessLog {
    private let output = LineWriter(descriptor: 1)
    private let errors = LineWriter(descriptor: 2)
    private let prefixes: Bool
    private let tellsCallID: Bool

    init(_ settings: WatchdogSettings) {
        prefixes = settings.prefixesLogs
        tellsCallID = settings.logsCallID
    }

    /// Prints a line of the watchdog's own.
    func say(_ text: String) { errors.write("\(Self.moment()) \(text)") }

    /// Passes a line of the function on, to the stream it came from.
    func pass(_ line: String, from stream: FunctionStream) {
        let writer = stream == .output ? output : errors
        writer.write(prefixes ? "\(Self.moment()) \(stream.rawValue): \(line)" : line)
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
        guard !call.userAgent.hasPrefix("kube-probe") else { return }
        let id = tellsCallID && !call.callID.isEmpty ? " [\(call.callID)]" : ""
        let phrase = ReasonPhrase.of(call.status)
        let answer = phrase.isEmpty ? "\(call.status)" : "\(call.status) \(phrase)"
        say(
            "\(call.method) \(call.target) - \(answer) - ContentLength: \(call.bytes)B (\(seconds(call.duration))s)\(id)"
        )
    }

    /// With four decimals.
    private func seconds(_ duration: Duration) -> String {
        let parts = duration.components
        let decimals = String(parts.attoseconds / 100_000_000_000_000)
        return "\(parts.seconds)." + String(repeating: "0", count: 4 - decimals.count) + decimals
    }

    private static func moment() -> String {
        let text = Timestamp.now().formatted(fractionDigits: 0)
        return text.prefix(10).replacing("-", with: "/") + " " + text.dropFirst(11).prefix(8)
    }
}
