// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import QueueContract

/// The streams of one queue, and the subjects of what is in them.
///
/// | stream | subjects | what | how long |
/// |---|---|---|---|
/// | `OF_Q` | `Q.requests.NAMESPACE.NAME` | requests of calls that are not over | until they are |
/// | `OF_Q_log` | `Q.log.ID` | what happened to each call | `call-retention` |
/// | `OF_Q_kept` | `Q.kept.ID` | requests of calls that are over | `result-retention` |
/// | `OF_Q_dead` | `Q.dead.ID` | requests of dead calls | `call-retention` |
/// | `OF_Q_results` | `Q.results.ID.END.PART` | answers too long for the log | `result-retention` |
/// | `OF_Q_keys` | `Q.keys.NAMESPACE.NAME.KEY` | idempotency keys | `idempotency-window` |
/// | `OF_Q_state` | `Q.state.counts`, `Q.state.workers.NAME` | counts, and who works | for ever |
struct Streams: Sendable {
    /// The queue's name.
    let queue: String

    var requests: String { "OF_\(queue)" }
    var log: String { "OF_\(queue)_log" }
    var kept: String { "OF_\(queue)_kept" }
    var dead: String { "OF_\(queue)_dead" }
    var results: String { "OF_\(queue)_results" }
    var keys: String { "OF_\(queue)_keys" }
    var state: String { "OF_\(queue)_state" }

    func requestSubject(_ function: FunctionID) -> String { "\(queue).requests.\(function.namespace).\(function.name)" }
    func logSubject(_ id: String) -> String { "\(queue).log.\(Token.encode(id))" }
    func keptSubject(_ id: String) -> String { "\(queue).kept.\(Token.encode(id))" }
    func deadSubject(_ id: String) -> String { "\(queue).dead.\(Token.encode(id))" }
    func resultSubject(_ id: String, end: String, part: String) -> String {
        "\(queue).results.\(Token.encode(id)).\(end).\(part)"
    }
    func keySubject(_ function: FunctionID, _ key: String) -> String {
        "\(queue).keys.\(function.namespace).\(function.name).\(Token.encode(key))"
    }
    var countsSubject: String { "\(queue).state.counts" }
    func workerSubject(_ name: String) -> String { "\(queue).state.workers.\(Token.encode(name))" }
    /// Where those that use the queue say who they are, and are asked whether they still are there.
    func presenceSubject(_ incarnation: String) -> String { "\(queue).presence.\(incarnation)" }

    /// The id behind a subject of the log.
    func id(ofLog subject: String) -> String? {
        subject.split(separator: ".").last.flatMap { Token.decode(String($0)) }
    }

    /// A function's consumer.
    func consumer(_ function: FunctionID) -> String { "\(function.namespace)_\(function.name)" }

    // MARK: Making them

    /// How a stream is kept.
    private struct Configuration: Codable {
        var name: String
        var subjects: [String]
        var retention = "limits"
        var storage = "file"
        var discard = "new"
        var numReplicas: Int
        var maxAge: Int64 = 0
        var maxMsgsPerSubject: Int64 = -1
        var duplicateWindow: Int64 = 30_000_000_000
        var allowDirect = true
    }

    /// A stream as the server describes it.
    struct Information: Codable {
        struct State: Codable {
            var messages: Int
            var firstSeq: UInt64
            var lastSeq: UInt64
            /// How many messages each subject has, where that was asked for.
            var subjects: [String: Int]?
        }
        struct Settings: Codable {
            var subjects: [String]?
            var numReplicas: Int
        }
        struct Cluster: Codable {
            var name: String?
        }

        var state: State
        var config: Settings
        var cluster: Cluster?
    }

    /// Makes the streams that are missing; those that exist stay as they are.
    ///
    /// - Throws: `storageUnavailable`, also for streams of these names that are somebody else's.
    func makeAll(on server: JetStreamServer, replicas: Int, _ settings: QueueSettings) async throws(PlatformFault) {
        let all = [
            Configuration(
                name: requests,
                subjects: ["\(queue).requests.*.*"],
                retention: "workqueue",
                numReplicas: replicas
            ),
            configuration(log, "log.*", replicas, settings.callRetention),
            configuration(kept, "kept.*", replicas, settings.resultRetention, lastOnly: true),
            configuration(dead, "dead.*", replicas, settings.callRetention, lastOnly: true),
            configuration(results, "results.>", replicas, settings.resultRetention, lastOnly: true),
            configuration(keys, "keys.>", replicas, settings.idempotencyWindow, lastOnly: true),
            configuration(state, "state.>", replicas, .zero, lastOnly: true),
        ]
        for stream in all {
            if let found = try await information(stream.name, on: server) {
                guard found.config.subjects == stream.subjects else { throw Self.foreign(stream.name) }
            } else {
                _ = try await server.ask("STREAM.CREATE.\(stream.name)", stream, for: Information.self)
            }
        }
    }

    private func configuration(
        _ name: String,
        _ subject: String,
        _ replicas: Int,
        _ age: Duration,
        lastOnly: Bool = false
    ) -> Configuration {
        Configuration(
            name: name,
            subjects: ["\(queue).\(subject)"],
            numReplicas: replicas,
            maxAge: age.nanoseconds,
            maxMsgsPerSubject: lastOnly ? 1 : -1,
            // Never longer than the messages live.
            duplicateWindow: age == .zero ? 30_000_000_000 : min(30_000_000_000, max(age.nanoseconds, 100_000_000))
        )
    }

    private static func foreign(_ name: String) -> PlatformFault {
        PlatformFault(
            .storageUnavailable,
            "The NATS server has a stream \(name) that is not Martlet's.",
            hint: "Choose another name by queue-name."
        )
    }

    func information(_ stream: String, on server: JetStreamServer) async throws(PlatformFault) -> Information? {
        try await server.ask("STREAM.INFO.\(stream)", JetStreamServer.Nothing())
    }

    private struct SubjectsFilter: Encodable { var subjectsFilter: String }

    /// The functions that have requests in the stream.
    func requestedFunctions(on server: JetStreamServer) async throws(PlatformFault) -> [FunctionID] {
        let filter = SubjectsFilter(subjectsFilter: "\(queue).requests.>")
        let found = try await server.ask("STREAM.INFO.\(requests)", filter, for: Information.self)
        return (found?.state.subjects ?? [:]).keys.compactMap { subject in
            let words = subject.split(separator: ".").suffix(2).map(String.init)
            return words.count == 2 ? FunctionID(name: words[1], namespace: words[0]) : nil
        }
    }
}

extension Duration {
    /// Whole nanoseconds, at most as many as fit.
    var nanoseconds: Int64 {
        let (product, overflows) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflows ? .max : product &+ components.attoseconds / 1_000_000_000
    }
}

/// Any text as one token of a subject: no dot, no space, no wildcard.
enum Token {
    static func encode(_ text: String) -> String {
        let isPlain = !text.isEmpty && text.utf8.allSatisfy(isPlain)
        guard !isPlain else { return text }
        return text.utf8.reduce(into: "=") { token, byte in
            token += byte < 16 ? "0" : ""
            token += String(byte, radix: 16)
        }
    }

    static func decode(_ token: String) -> String? {
        guard token.hasPrefix("=") else { return token }
        var bytes: [UInt8] = []
        var digits = token.dropFirst()
        while let high = digits.popFirst() {
            guard let low = digits.popFirst(), let byte = UInt8("\(high)\(low)", radix: 16) else { return nil }
            bytes.append(byte)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
