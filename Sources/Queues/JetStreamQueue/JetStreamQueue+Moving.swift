// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import FunctionModel
import NIOCore
public import QueueContract

/// Calls on their way from one queue to another.
extension JetStreamQueue {
    /// Gives a call that waits, or is dead, to another queue.
    public func handOver(_ id: String) async throws(PlatformFault) -> MovedCall {
        while true {
            let (stored, line) = try await known(id)
            let isExported = line.facts.state == .cancelled && stored.reason == MovedCall.reason
            switch line.facts.state {
            case .dead: return try await moved(id, stored, line)
            case .cancelled where isExported: return try await moved(id, stored, line)
            case .waiting:
                guard let next = line.facts.stopped(.cancelled, .cancelled) else { continue }
                // Read first: what cannot be handed over stays.
                let moved = try await moved(id, stored, line)
                let isStopped = try await stop(
                    id,
                    line.facts,
                    stored.last,
                    next,
                    // Kept as long: nobody knows whether the other queue has it.
                    isDead: true,
                    reason: MovedCall.reason
                )
                if isStopped { return moved }
            default: throw PlatformFault.callNotMovable(id, line.facts.state)
            }
        }
    }

    private func moved(_ id: String, _ stored: StoredCall, _ line: LogEntry) async throws(PlatformFault) -> MovedCall {
        var payload = try await keptRequest(id)?.payload
        if !line.facts.state.isFinished {
            payload = try await storedRequest(line.facts.request, of: id)?.payload
        }
        guard let request = payload.flatMap({ QueueRequest($0) }) else { throw PlatformFault.requestGone(id) }
        var call = request.call(line.facts.function, fallback: id).call
        call.start = .at(line.facts.due)
        return MovedCall(
            id: id,
            call: call,
            attempts: stored.attempts.map(\.attempt),
            deadReason: line.facts.state == .dead ? stored.reason ?? "" : nil
        )
    }

    /// Lets a call wait here again that was handed over.
    public func takeBack(_ id: String) async throws(PlatformFault) {
        while true {
            let (stored, line) = try await known(id)
            guard line.facts.state == .cancelled, stored.reason == MovedCall.reason else {
                throw PlatformFault.callNotHandedOver(id, line.facts.state)
            }
            let attempts = stored.attempts
            if try await sendAgain(id, line.facts, stored.last, keeping: attempts, due: line.facts.due) { return }
        }
    }

    /// Lets a call go on here that was handed over, and comes back; false where it was not.
    private func adoptAgain(
        _ moved: MovedCall,
        _ stored: StoredCall,
        _ line: LogEntry
    ) async throws(PlatformFault) -> Bool {
        // One that died there stays there, too: it is sent again from there.
        guard line.facts.state == .cancelled, stored.reason == MovedCall.reason, moved.deadReason == nil else {
            return false
        }
        var due = line.facts.due
        if case .at(let moment) = moved.call.start { due = moment }
        let attempts = moved.attempts.map(LogDetails.Attempt.init)
        return try await sendAgain(moved.id, line.facts, stored.last, keeping: attempts, due: due)
    }

    /// Keeps a call of another queue under its own id.
    public func adopt(_ moved: MovedCall) async throws(PlatformFault) -> Bool {
        guard moved.call.body.readableBytes <= settings.queue.bodyLimit else {
            throw PlatformFault.callTooLarge(limit: settings.queue.bodyLimit)
        }
        _ = try await follower()
        // A reservation alone is what an attempt that broke off has left.
        var (known, last, _) = try await lookClosely(moved.id)
        if let known { return try await adoptAgain(moved, known.stored, known.line) }
        let request = QueueRequest(moved.call, id: moved.id, queue: settings.name)
        try server.checkRoom(for: request.payload)
        if last == 0 {
            let facts = CallStanding(
                function: moved.call.function,
                acceptedAt: moved.call.acceptedAt,
                due: moved.call.acceptedAt,
                request: 0
            )
            let line = LogEntry(.reserved, from: nil, facts)
            guard let reserved = try await write(line, of: moved.id, expected: 0) else { return false }
            last = reserved
        }
        if let key = moved.call.idempotencyKey { await remember(key, of: moved) }
        return try await keep(moved, request, behind: last)
    }

    private func keep(
        _ moved: MovedCall,
        _ request: QueueRequest,
        behind last: UInt64
    ) async throws(PlatformFault) -> Bool {
        var details = LogDetails(moved.call)
        details.attempts = moved.attempts.map(LogDetails.Attempt.init)
        details.reason = moved.deadReason
        var sequence: UInt64 = 0
        if moved.deadReason != nil {
            try await keepRequest(request.payload, of: moved.id, isDead: true)
        } else {
            let message = JetStreamServer.Message(
                subject: streams.requestSubject(moved.call.function),
                id: moved.id,
                payload: request.payload
            )
            switch try await server.publish(message) {
            case .kept(let kept), .keptBefore(let kept): sequence = kept
            case .overtaken: return false
            }
        }
        let due = Timestamp(nanosecondsSinceEpoch: request.own?.due ?? moved.call.acceptedAt.nanosecondsSinceEpoch)
        var line = Self.acceptedLine(moved.call, due: due, request: sequence)
        line.facts.attempts = moved.attempts.count
        if moved.deadReason != nil {
            line.facts.state = .dead
            line.facts.callback = .none
        }
        // Overtaken only by a worker that has noted the same already.
        _ = try await write(line, details, of: moved.id, expected: last)
        return true
    }
}
