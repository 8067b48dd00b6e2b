// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Logging
import NATSClient
import NIOCore
import QueueContract
import Synchronization
import TestSupport

@testable import JetStreamQueue

/// A queue of its own on a real server, with as many workers as a test wants.
struct QueueOnNATS {
    static let function = FunctionID(name: "echo", namespace: "openfaas-fn")
    let url: String
    let name = "q\(UInt64.random(in: 0 ... .max))"

    static func shared() async throws -> QueueOnNATS { QueueOnNATS(url: try await RunningNATS.shared.value.url) }

    /// Somebody who uses the queue under a name.
    func worker(
        _ name: String,
        change: (inout JetStreamQueue.Settings) -> Void = { _ in }
    ) async throws -> JetStreamQueue {
        var settings = JetStreamQueue.Settings(
            connection: NATSConnection.Settings(servers: [url], name: "test"),
            name: self.name,
            worker: name
        )
        change(&settings)
        let queue = try JetStreamQueue(settings, logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() })
        try await queue.opened(within: .seconds(60))
        return queue
    }
}

extension JetStreamQueue {
    static var function: FunctionID { QueueOnNATS.function }

    /// Puts the request of a call into the stream, and nothing into the log.
    func publishUnnoted(_ id: String) async throws -> UInt64 {
        let call = NewCall(function: Self.function, callID: id)
        let request = QueueRequest(call, id: id, queue: settings.name)
        guard let sequence = try await publish(request.payload, of: Self.function) else {
            throw Missing(what: "the request of \(id)")
        }
        return sequence
    }

    /// Takes one call, within ten seconds.
    func takeOne(lease: Duration = .seconds(60)) async throws -> LeasedCall {
        var taken: LeasedCall?
        _ = try await eventually {
            taken = try await take(from: Self.function, atMost: 1, lease: lease).calls.first
            return taken != nil
        }
        guard let taken else { throw Missing(what: "a call that is due") }
        return taken
    }

    @discardableResult
    func end(_ call: LeasedCall, _ end: CallEnd = .succeeded) async throws -> Bool {
        try await settle(
            call.lease,
            attempt: CallAttempt(number: call.attempt, startedAt: .now(), finishedAt: .now(), status: 200),
            verdict: .end(end, reason: end == .dead ? "no more attempts" : nil, result: nil)
        )
    }

    /// The facts of a call, as the log has them.
    func facts(_ id: String) async throws -> CallStanding {
        guard let found = try await look(id) else { throw Missing(what: id) }
        return found.line.facts
    }

    /// Requests in the stream.
    func requestCount() async throws -> Int {
        try await streams.information(streams.requests, on: server)?.state.messages ?? -1
    }
}

struct Missing: Error { let what: String }
