// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import PromiseChecks
import QueueContract

extension QueueChecks {
    /// How long a queue may take for what it does by itself.
    static let patience = Duration.seconds(60)

    static func attempt(_ number: Int, _ status: Int) -> CallAttempt {
        CallAttempt(number: number, startedAt: .now(), finishedAt: .now(), status: status)
    }

    /// Takes one call that is due.
    static func take(_ subject: any QueueUnderTest, of wanted: FunctionID = function) async throws -> LeasedCall? {
        try await subject.queue.take(from: wanted, atMost: 1, lease: .seconds(60)).calls.first
    }

    /// Takes one call, waiting until the queue says that it is due.
    static func awaitCall(_ subject: any QueueUnderTest, of wanted: FunctionID = function) async throws -> LeasedCall {
        let begun = ContinuousClock.now
        while true {
            let (calls, nextDue) = try await subject.queue.take(from: wanted, atMost: 1, lease: .seconds(60))
            if let call = calls.first { return call }
            try expect(ContinuousClock.now - begun < patience, "no call became due within \(patience)")
            try await Task.sleep(for: min(nextDue ?? .milliseconds(20), .milliseconds(500)))
        }
    }

    /// What a listener is told first.
    static func first<Event: Sendable>(of events: AsyncStream<Event>) async throws -> Event {
        try await within(patience, "nothing was told within \(patience)") { await events.first { _ in true } }
    }

    /// Takes one call and ends it.
    static func settleTaken(
        _ subject: any QueueUnderTest,
        _ end: CallEnd,
        status: Int,
        of wanted: FunctionID = function
    ) async throws {
        let call = try await awaitCall(subject, of: wanted)
        let result = CallResult(
            status: status,
            fields: ByteBuffer(string: "X-Answer: yes\r\n"),
            body: ByteBuffer(string: "answer")
        )
        let isKept = try await subject.queue.settle(
            call.lease,
            attempt: attempt(call.attempt, status),
            verdict: .end(end, reason: end == .dead ? "no more attempts" : nil, result: result)
        )
        try expect(isKept, "the end was not kept")
    }

    /// Lets a call come and end; returns the state that it ends in.
    static func finish(
        _ subject: any QueueUnderTest,
        _ id: String,
        _ end: CallEnd,
        status: Int,
        of wanted: FunctionID = function
    ) async throws -> CallState {
        _ = try await subject.queue.accept(NewCall(function: wanted, callID: id))
        try await settleTaken(subject, end, status: status, of: wanted)
        return switch end {
        case .succeeded: .succeeded
        case .failed: .failed
        case .dead: .dead
        }
    }

    static func expectCounts(
        _ subject: any QueueUnderTest,
        accepted: Int,
        _ states: [CallState: Int]
    ) async throws {
        let total = await subject.queue.counts().total
        var wanted = CallCounts()
        wanted.accepted = accepted
        for (state, count) in states { wanted[state] = count }
        try expect(total == wanted, "counted \(total), not \(wanted)")
        try expect(total.drift == 0, "\(total.drift) calls are missing")
    }
}

/// A life of random events, followed by a model that knows nothing but the life cycle.
struct RandomLife {
    let seed: UInt64
    private var random: SplitMix
    private var model: [String: CallLifeCycle] = [:]
    private var leases: [String: CallLease] = [:]
    private var accepted = 0

    init(seed: UInt64) {
        self.seed = seed
        random = SplitMix(state: seed)
    }

    func run(_ subject: any QueueUnderTest, steps: Int) async throws {
        var life = self
        do {
            for _ in 0..<steps { try await life.step(subject) }
            try await life.compare(subject)
        } catch {
            throw BrokenPromise(description: "\(error) (seed \(seed))")
        }
    }

    private mutating func step(_ subject: any QueueUnderTest) async throws {
        switch random.next() % 8 {
        case 0, 1, 2:
            accepted += 1
            let receipt = try await subject.queue.accept(
                NewCall(function: QueueChecks.function, callID: "call-\(accepted)")
            )
            model[receipt.id] = CallLifeCycle()
        case 3, 4:
            if let call = try await QueueChecks.take(subject) {
                leases[call.lease.id] = call.lease
                try apply(.taken, to: call.lease.id)
            }
        case 5: try await settleOne(subject)
        case 6: try await cancelOne(subject)
        default: try await sendOneAgain(subject)
        }
    }

    private mutating func settleOne(_ subject: any QueueUnderTest) async throws {
        guard let lease = pick(leases.keys.sorted()).flatMap({ leases[$0] }) else { return }
        leases[lease.id] = nil
        switch random.next() % 5 {
        case 0:
            await subject.queue.release(lease)
            if model[lease.id]?.state == .running { try apply(.released, to: lease.id) }
        case 1: try await settle(subject, lease, .retry(after: .zero), .retried)
        case 2: try await settle(subject, lease, .end(.succeeded, reason: nil, result: nil), .ended(.succeeded))
        case 3: try await settle(subject, lease, .end(.failed, reason: nil, result: nil), .ended(.failed))
        default: try await settle(subject, lease, .end(.dead, reason: "x", result: nil), .ended(.dead))
        }
    }

    private mutating func settle(
        _ subject: any QueueUnderTest,
        _ lease: CallLease,
        _ verdict: CallVerdict,
        _ event: CallEvent
    ) async throws {
        let isKept = try await subject.queue.settle(lease, attempt: QueueChecks.attempt(1, 200), verdict: verdict)
        let isRunning = model[lease.id]?.state == .running
        try expect(isKept == isRunning, "settling \(lease.id) gave \(isKept) in \(model[lease.id] as Any)")
        if isKept { try apply(event, to: lease.id) }
    }

    private mutating func cancelOne(_ subject: any QueueUnderTest) async throws {
        guard let id = pick(model.keys.sorted()), let cycle = model[id] else { return }
        guard cycle.state.isFinished else {
            try await subject.queue.cancel(id)
            // A lease that ended with the cancel is kept, to see that it settles nothing.
            return try apply(.cancelled, to: id)
        }
        try await expectFault(.conflict, doing: "cancelling \(id)") { () throws(PlatformFault) in
            try await subject.queue.cancel(id)
        }
    }

    private mutating func sendOneAgain(_ subject: any QueueUnderTest) async throws {
        guard let id = pick(model.keys.sorted()), let cycle = model[id] else { return }
        guard cycle.state.isFinished else {
            return try await expectFault(.conflict, doing: "sending \(id)") { () throws(PlatformFault) in
                try await subject.queue.sendAgain(id)
            }
        }
        leases[id] = nil
        try await subject.queue.sendAgain(id)
        try apply(.sentAgain, to: id)
    }

    private mutating func apply(_ event: CallEvent, to id: String) throws {
        let state = model[id]?.state
        try expect(model[id]?.apply(event) == true, "\(event) happened to \(id), which was \(state as Any)")
    }

    private mutating func pick(_ ids: [String]) -> String? {
        ids.isEmpty ? nil : ids[Int(random.next() % UInt64(ids.count))]
    }

    private func compare(_ subject: any QueueUnderTest) async throws {
        var states: [CallState: Int] = [:]
        for (id, cycle) in model {
            states[cycle.state, default: 0] += 1
            let state = try await subject.queue.call(id)?.state
            try expect(state == cycle.state, "\(id) is \(state as Any), not \(cycle.state)")
        }
        try await QueueChecks.expectCounts(subject, accepted: accepted, states)
    }
}

/// SplitMix64: the same numbers from the same seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
