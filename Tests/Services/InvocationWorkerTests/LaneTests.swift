// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Logging
import NIOCore
import QueueConformance
import QueueContract
import Synchronization
import TestSupport
import Testing

@testable import InvocationWorker

/// The lanes of functions, over a queue in memory.
struct LaneTests {
    private static let function = FunctionID(name: "fn", namespace: "openfaas-fn")

    /// A lane whose slots are what the test says, and whose calls end when it says so.
    private final class Stage: Sendable {
        let queue = MemoryQueue()
        let lane: Lane
        private let slots: Shared
        private let begun: AsyncStream<LeasedCall>

        private final class Shared: Sendable {
            let slots: Mutex<Int?>
            let farewells = Atomic<Int>(0)
            init(_ slots: Int?) { self.slots = Mutex(slots) }
        }

        init(slots count: Int?) {
            let slots = Shared(count)
            let (begun, continuation) = AsyncStream.makeStream(of: LeasedCall.self)
            lane = Lane(
                function: LaneTests.function,
                queue: queue,
                lease: .seconds(60),
                slots: { slots.slots.withLock { $0 } },
                gone: { slots.farewells.add(1, ordering: .relaxed) },
                begin: { call, _ in continuation.yield(call) }
            )
            (self.slots, self.begun) = (slots, begun)
            queue.onDue { [lane] _ in lane.wake() }
        }

        /// How often somebody was told that the function does not exist.
        var farewells: Int { slots.farewells.load(ordering: .relaxed) }

        func setSlots(_ count: Int?) { slots.slots.withLock { $0 = count } }

        func accept(_ ids: String..., start: NewCall.Start = .now) async throws {
            for id in ids {
                _ = try await queue.accept(NewCall(function: LaneTests.function, callID: id, start: start))
            }
        }

        func nextCall() async -> LeasedCall? {
            for await call in begun { return call }
            return nil
        }

        func end(_ call: LeasedCall?) async throws {
            guard let call else { return }
            let attempt = CallAttempt(number: 1, startedAt: .now(), finishedAt: .now(), status: 200)
            let verdict = CallVerdict.end(.succeeded, reason: nil, result: nil)
            _ = try await queue.settle(call.lease, attempt: attempt, verdict: verdict)
            lane.ended()
        }

        func waiting() async -> Int { await queue.counts().total.waiting }
    }

    private func withLane(slots: Int?, _ work: (Stage) async throws -> Void) async throws {
        let stage = Stage(slots: slots)
        let running = Task { await stage.lane.run() }
        try await work(stage)
        running.cancel()
        await running.value
    }

    @Test func `as many calls begin as there are slots, and the next one when one has ended`() async throws {
        try await withLane(slots: 2) { stage in
            try await stage.accept("a", "b", "c")
            let (first, second) = (await stage.nextCall(), await stage.nextCall())
            #expect(first?.lease.id == "a" && second?.lease.id == "b")
            #expect(await stage.waiting() == 1)
            try await stage.end(second)
            #expect(await stage.nextCall()?.lease.id == "c")
        }
    }

    @Test func `a function that gets more slots takes more calls`() async throws {
        try await withLane(slots: 0) { stage in
            try await stage.accept("a")
            stage.setSlots(1)
            stage.lane.wake()
            #expect(await stage.nextCall()?.lease.id == "a")
        }
    }

    @Test func `a call that is due later begins then, and one that is due sooner before it`() async throws {
        try await withLane(slots: 5) { stage in
            try await stage.accept("later", start: .after(.milliseconds(300)))
            try await stage.accept("sooner", start: .after(.milliseconds(50)))
            #expect(await stage.nextCall()?.lease.id == "sooner")
            #expect(await stage.nextCall()?.lease.id == "later")
        }
    }

    @Test func `the lane of a deleted function is over when its last call has ended`() async throws {
        let stage = Stage(slots: 1)
        let running = Task { await stage.lane.run() }
        try await stage.accept("a", "b")
        let call = await stage.nextCall()
        stage.setSlots(nil)
        #expect(stage.lane.wake() && !stage.lane.isOver)
        #expect(await eventually { stage.farewells > 0 })
        #expect(!stage.lane.isOver)
        try await stage.end(call)
        await running.value
        #expect(stage.lane.isOver && !stage.lane.wake())
        #expect(await stage.waiting() == 1)
    }

    @Test func `however often it is woken meanwhile, a lane is over or looks again`() async throws {
        for _ in 0..<200 {
            let stage = Stage(slots: nil)
            let running = Task { await stage.lane.run() }
            stage.lane.wake()
            let waking = Task.detached { () -> Int in
                for count in 0... where !stage.lane.wake() { return count }
                return 0
            }
            await running.value
            _ = await waking.value
            #expect(stage.lane.isOver && stage.farewells > 0)
        }
    }

    /// What no request may be without.
    private static let fields = ByteBuffer(string: "Host: gw\r\n")

    private func worker(
        _ queue: MemoryQueue,
        limits: @escaping @Sendable (FunctionID) -> WorkerLimits?,
        call: @escaping FunctionCall
    ) -> InvocationWorker {
        InvocationWorker(
            queue: queue,
            settings: WorkerSettings(defaultNamespace: "openfaas-fn", userAgent: "test"),
            limits: limits,
            refusal: { _ in nil },
            call: call,
            logger: Logger(label: "worker") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    @Test func `calls of a function that was made again before anybody noticed that it was gone are carried out`()
        async throws
    {
        let function = try await CalledFunction { _ in [.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")] }
        let queue = MemoryQueue()
        let slots = Mutex(0)
        let worker = worker(queue, limits: { _ in WorkerLimits(slots: slots.withLock { $0 }) }, call: function.call)
        worker.functionRemoved(Self.function)
        _ = try await queue.accept(NewCall(function: Self.function, fields: Self.fields, callID: "a"))
        let running = Task { await worker.run() }
        #expect(await eventually { worker.laneCount == 1 })
        slots.withLock { $0 = 1 }
        worker.functionChanged(Self.function)
        #expect(await eventually { worker.processed == 1 })
        #expect(try await queue.call("a")?.state == .succeeded)
        await worker.stop(within: .zero)
        running.cancel()
        await running.value
    }

    @Test(arguments: [true, false])
    func `calls of a function that is gone are dead, whether it was known before or is known of no more`(
        isSure: Bool
    ) async throws {
        let queue = MemoryQueue()
        let worker = worker(
            queue,
            limits: { _ in isSure ? nil : WorkerLimits(slots: 0, isKnown: false) },
            call: { _, _ in fatalError("no function exists") }
        )
        _ = try await queue.accept(NewCall(function: Self.function, callID: "a"))
        worker.functionRemoved(Self.function)
        let running = Task { await worker.run() }
        #expect(await eventually { await queue.counts().total.dead == 1 })
        await worker.stop(within: .zero)
        running.cancel()
        await running.value
    }

    @Test func `whoever stops a worker that stops already waits for its end, no longer than his own limit`()
        async throws
    {
        let function = try await CalledFunction { _ in [] }
        let queue = MemoryQueue()
        let worker = worker(queue, limits: { _ in WorkerLimits(slots: 1) }, call: function.call)
        _ = try await queue.accept(NewCall(function: Self.function, fields: Self.fields, callID: "a"))
        let running = Task { await worker.run() }
        _ = await function.nextRequest()
        let patient = Task { await worker.stop(within: .seconds(3600)) }
        #expect(await eventually { worker.isStopping })
        await worker.stop(within: .zero)
        await patient.value
        #expect(try await queue.call("a")?.state == .waiting)
        running.cancel()
        await running.value
    }

    @Test func `a worker forgets the lanes of functions that are gone, and opens them anew`() async throws {
        let queue = MemoryQueue()
        let worker = worker(queue, limits: { _ in nil }, call: { _, _ in fatalError("no function exists") })
        let running = Task { await worker.run() }
        for round in 1...3 {
            for number in 0..<20 {
                let function = FunctionID(name: "fn\(number)", namespace: "openfaas-fn")
                _ = try await queue.accept(NewCall(function: function, callID: "\(round)-\(number)"))
            }
            #expect(await eventually { await queue.counts().total.dead == 20 * round })
            #expect(await eventually { worker.laneCount == 0 })
        }
        running.cancel()
        await worker.stop(within: .zero)
        await running.value
    }
}
