// SPDX-License-Identifier: Apache-2.0

import Synchronization
import TestSupport
import Testing

@testable import DockerProvider

struct StartSlotsTests {
    private final class Count: Sendable {
        let now = Atomic<Int>(0)
        let most = Atomic<Int>(0)

        func enter() { most.max(now.add(1, ordering: .relaxed).newValue, ordering: .relaxed) }
        func leave() { now.subtract(1, ordering: .relaxed) }
    }

    @Test(arguments: [(1, 1), (4, 4), (0, 1)])
    func `so many start at a time, and all of them in the end`(slots: Int, most: Int) async {
        let (gate, count) = (StartSlots(count: slots), Count())
        let ended = await withTaskGroup(of: Void.self) { tasks in
            for _ in 0..<50 {
                tasks.addTask {
                    await gate.run {
                        count.enter()
                        await Task.yield()
                        count.leave()
                    }
                }
            }
            return await tasks.reduce(0) { number, _ in number + 1 }
        }
        #expect(ended == 50)
        #expect((1...most).contains(count.most.load(ordering: .relaxed)))
    }

    private struct Failure: Error {}

    @Test func `one that fails gives its slot back`() async throws {
        let gate = StartSlots(count: 1)
        for _ in 0..<3 {
            await #expect(throws: Failure.self) { try await gate.run { () throws(Failure) in throw Failure() } }
        }
        #expect(await gate.run { 5 } == 5)
    }
}
