// SPDX-License-Identifier: Apache-2.0

import Logging
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

/// Milestones, services and readiness: how a program begins and ends.
struct LifeTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test func `a milestone is reached once, and all who wait hear of it, before and after`() async {
        let milestone = Milestone<Int>()
        async let early = milestone.reached()
        #expect(milestone.value == nil)
        milestone.reach(1)
        milestone.reach(2)
        #expect(await early == 1)
        #expect(await milestone.reached() == 1 && milestone.value == 1)
        #expect(await milestone.reached(within: .zero) == 1)
    }

    @Test func `who waits for what does not come is let go after a while, or when cancelled`() async {
        let milestone = Milestone<Void>()
        #expect(await milestone.reached(within: .milliseconds(1)) == nil)
        let waiting = Task { await milestone.reached() != nil }
        waiting.cancel()
        #expect(await waiting.value == false)
    }

    @Test
    func `services that wait for a milestone end when they are told to stop, the last one first`()
        async throws
    {
        let never = Milestone<Void>()
        let ends = Mutex<[String]>([])
        let first = OpenResource { ends.withLock { $0.append("resource") } }
        let second = BackgroundWork(after: never) { _ in ends.withLock { $0.append("work") } }
        let third = OpenResource { ends.withLock { $0.append("last") } }
        let group = ServiceGroup(services: [first, second, third], logger: logger)
        let running = Task { try await group.run() }
        await group.triggerGracefulShutdown()
        try await running.value
        #expect(ends.withLock { $0 } == ["last", "resource"])
    }

    @Test func `work in the background begins with its milestone and is cancelled at the end`()
        async throws
    {
        let start = Milestone<Int>()
        let begun = Milestone<Int>()
        let cancelled = Milestone<Bool>()
        let work = BackgroundWork(after: start) { value in
            begun.reach(value)
            _ = await Milestone<Void>().reached()
            // Told to stop, and cancelled right behind.
            while !Task.isCancelled { await Task.yield() }
            cancelled.reach(true)
        }
        let group = ServiceGroup(services: [work], logger: logger)
        let running = Task { try await group.run() }
        start.reach(7)
        #expect(await begun.reached() == 7)
        await group.triggerGracefulShutdown()
        try await running.value
        #expect(cancelled.value == true)
    }

    @Test func `the time of calls runs from the beginning of the end`() async {
        let stopping = Stopping(limit: .seconds(10))
        #expect(!stopping.hasBegun && stopping.left == .seconds(10))
        async let heard: Void = stopping.begins()
        stopping.begin()
        await heard
        #expect(stopping.hasBegun && stopping.left <= .seconds(10))
        let over = Stopping(limit: .zero)
        over.begin()
        #expect(over.left == .zero)
    }

    @Test func `readiness names all that is missing`() {
        let isKnown = Mutex(false)
        let readiness = Readiness([
            { isKnown.withLock { $0 } ? nil : "No \"routes\" yet." }, { nil },
        ])
        #expect(readiness.missing == ["No \"routes\" yet."])
        #expect(readiness.answer.status == 503)
        #expect(readiness.answer.body == "{\"ready\":false,\"missing\":[\"No \\\"routes\\\" yet.\"]}\n")
        isKnown.withLock { $0 = true }
        #expect(
            readiness.answer.status == 200 && readiness.answer.body == "{\"ready\":true,\"missing\":[]}\n"
        )
    }

    @Test func `readiness tells of what is limited, and is no less for it`() {
        let readiness = Readiness([{ nil }], limits: [{ "Not heard." }])
        let body = "{\"ready\":true,\"missing\":[],\"limited\":[\"Not heard.\"]}\n"
        #expect(readiness.answer.status == 200 && readiness.answer.body == body)
    }
}
