// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
import FunctionModel
import Logging
import NIOCore
import NIOFoundationCompat
public import QueueContract

extension JetStreamQueue {
    /// An idempotency key, and the call that has it.
    private struct Key: Codable {
        var id: String
        var callID: String
        /// Whether the call is known to be kept.
        var isKept = false

        var payload: ByteBuffer { (try? JSONEncoder().encode(self)).map { ByteBuffer(data: $0) } ?? ByteBuffer() }
    }

    /// Keeps a call; the stream has its request when `done` hears of the receipt.
    public func accept(_ call: NewCall, done: @escaping @Sendable (Result<CallReceipt, PlatformFault>) -> Void) {
        // Unowned: begun on an event loop, which is told the outcome.
        Task {
            do throws(PlatformFault) { done(.success(try await keep(call))) } catch { done(.failure(error)) }
        }
    }

    private func keep(_ call: NewCall) async throws(PlatformFault) -> CallReceipt {
        guard call.body.readableBytes <= settings.queue.bodyLimit else {
            throw PlatformFault.callTooLarge(limit: settings.queue.bodyLimit)
        }
        _ = try await follower()
        try server.checkRoom(for: call.body)
        if let key = call.idempotencyKey { return try await keepOnce(call, key) }
        let (id, reserved) = try await chooseID(call)
        return try await keep(call, id: id, behind: reserved)
    }

    /// The call's own id, which nobody else gets from now on, and its last entry in the log.
    private func chooseID(_ call: NewCall) async throws(PlatformFault) -> (id: String, reserved: UInt64) {
        guard !call.isCallIDFresh else { return (call.callID, 0) }
        // It becomes a part of a subject, whose length servers limit.
        guard call.callID.utf8.count <= 255 else { return (CallIDs.fresh(), 0) }
        let facts = CallStanding(function: call.function, acceptedAt: call.acceptedAt, due: call.acceptedAt, request: 0)
        let line = LogEntry(.reserved, from: nil, facts)
        if let reserved = try await write(line, of: call.callID, expected: 0) { return (call.callID, reserved) }
        return (CallIDs.fresh(), 0)
    }

    private func keep(
        _ call: NewCall,
        id: String,
        behind last: UInt64?
    ) async throws(PlatformFault) -> CallReceipt {
        let request = QueueRequest(call, id: id, queue: settings.name)
        let payload = request.payload
        // Also with what is written beside it later, when it ends.
        try server.checkRoom(for: payload)
        // The id of the message: whoever sends the same call twice within the server's window has it kept once.
        let outcome = try await server.publish(
            JetStreamServer.Message(
                subject: streams.requestSubject(call.function),
                id: id,
                headers: call.start == .now ? [] : [QueueRequest.dueHeader, String(request.own?.due ?? 0)],
                payload: payload
            )
        )
        switch outcome {
        case .kept(let sequence):
            await noteAccepted(call, request, id, sequence: sequence, behind: last)
            return CallReceipt(id: id, callID: call.callID)
        case .keptBefore(let sequence):
            // Ours, and its answer was lost, or another one's with the same key.
            await noteAccepted(call, request, id, sequence: sequence, behind: nil)
            return CallReceipt(id: id, callID: call.callID, isDuplicate: call.idempotencyKey != nil)
        case .overtaken:
            // Said only of messages that expect something.
            throw PlatformFault(.storageUnavailable, "The NATS server refuses the call.", hint: "Try again.")
        }
    }

    /// Writes that a call was accepted.
    ///
    /// Where that fails, the worker that takes it does so: the call itself is safe.
    private func noteAccepted(
        _ call: NewCall,
        _ request: QueueRequest,
        _ id: String,
        sequence: UInt64,
        behind last: UInt64?
    ) async {
        let due = Timestamp(nanosecondsSinceEpoch: request.own?.due ?? call.acceptedAt.nanosecondsSinceEpoch)
        let line = Self.acceptedLine(call, due: due, request: sequence)
        do throws(PlatformFault) {
            var expected = last
            if expected == nil {
                let (known, last, _) = try await lookClosely(id)
                if known != nil { return }
                expected = last
            }
            _ = try await write(line, LogDetails(call), of: id, expected: expected ?? 0)
        } catch {
            logger.warning("a call was accepted, and its log does not say so yet", metadata: ["id": "\(id)"])
        }
    }

    static func acceptedLine(_ call: NewCall, due: Timestamp, request: UInt64) -> LogEntry {
        var facts = CallStanding(function: call.function, acceptedAt: call.acceptedAt, due: due, request: request)
        facts.callbackURL = call.callbackURL ?? ""
        if call.callbackURL != nil { facts.callback = .pending }
        return LogEntry(.accepted, from: nil, facts)
    }

    // MARK: Once per key

    /// Notes the key of a call that comes from another queue; the first one that has a key keeps it.
    func remember(_ key: String, of moved: MovedCall) async {
        let message = JetStreamServer.Message(
            subject: streams.keySubject(moved.call.function, key),
            id: freshMessageID(),
            expected: 0,
            payload: Key(id: moved.id, callID: moved.call.callID, isKept: true).payload
        )
        _ = try? await server.publish(message)
    }

    private func keepOnce(_ call: NewCall, _ key: String) async throws(PlatformFault) -> CallReceipt {
        let subject = streams.keySubject(call.function, key)
        if let receipt = try await repeated(call, subject) { return receipt }
        let (id, reserved) = try await chooseID(call)
        let entry = Key(id: id, callID: call.callID)
        let message = JetStreamServer.Message(
            subject: subject,
            id: freshMessageID(),
            expected: 0,
            payload: entry.payload
        )
        switch try await server.publish(message) {
        case .kept(let sequence), .keptBefore(let sequence):
            let receipt = try await keep(call, id: id, behind: reserved)
            await confirm(entry, subject, sequence)
            return receipt
        case .overtaken:
            // Another one with the same key was faster; the id is nobody's again.
            if reserved != 0 { try? await server.delete(reserved, from: streams.log) }
            guard let receipt = try await repeated(call, subject) else {
                throw PlatformFault(.storageUnavailable, "The idempotency key has just expired.", hint: "Try again.")
            }
            return receipt
        }
    }

    /// The receipt of the call that has the key; nil when none has it.
    private func repeated(_ call: NewCall, _ subject: String) async throws(PlatformFault) -> CallReceipt? {
        guard let found = try await server.last(of: subject, in: streams.keys),
            let entry = try? JSONDecoder().decode(Key.self, from: found.payload)
        else { return nil }
        var isKept = entry.isKept
        if !isKept { isKept = try await look(entry.id) != nil }
        if isKept {
            return CallReceipt(id: entry.id, callID: entry.callID, isDuplicate: true)
        }
        // Whoever took the key has not kept the call yet, and may never do so: then it is kept by this one.
        var call = call
        call.callID = entry.callID
        let receipt = try await keep(call, id: entry.id, behind: nil)
        await confirm(entry, subject, found.sequence)
        return receipt
    }

    /// Notes that the call of a key is kept, so that nobody has to look.
    ///
    /// Not needed for what is promised.
    private func confirm(_ entry: Key, _ subject: String, _ sequence: UInt64) async {
        var entry = entry
        entry.isKept = true
        let message = JetStreamServer.Message(
            subject: subject,
            id: freshMessageID(),
            expected: sequence,
            payload: entry.payload
        )
        _ = try? await server.publish(message)
    }
}
