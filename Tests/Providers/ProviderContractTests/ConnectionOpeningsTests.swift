// SPDX-License-Identifier: Apache-2.0

import ProviderContract
import Synchronization
import Testing

/// How many connections to one replica are on their way at a time.
struct ConnectionOpeningsTests {
    private let openings = ConnectionOpenings()
    private static let millisecond: UInt64 = 1_000_000

    /// Takes all there are.
    private func all(at now: UInt64 = 0) -> [ConnectionOpenings.Slot] {
        var slots: [ConnectionOpenings.Slot] = []
        while let slot = openings.take(at: now) { slots.append(slot) }
        return slots
    }

    @Test func `few are opened at a replica that has shown nothing, and twice as many a round as they succeed`() {
        var slots = all()
        #expect(slots.count == 4, "fewer than the five that a short line holds")
        for expected in [8, 16, 32] {
            for slot in slots { openings.noteAnswered(slot) }
            slots = all()
            #expect(slots.count == expected)
        }
    }

    @Test func `connections that come one at a time do not show that many may come at once`() throws {
        for _ in 0..<100 { openings.noteAnswered(try #require(openings.take(at: 0))) }
        #expect(openings.window == 4)
    }

    @Test func `what was dropped halves their number, once for all that were dropped together`() {
        for _ in 0..<2 { for slot in all() { openings.noteAnswered(slot) } }
        let slots = all()
        #expect(slots.count == 16)
        for slot in slots.prefix(3) { openings.noteDropped(slot, after: 25 * Self.millisecond, at: 100) }
        #expect(openings.window == 8 && openings.patience == 50 * Self.millisecond)
        openings.noteDropped(slots[3], after: 25 * Self.millisecond, at: 101 * Self.millisecond)
        #expect(openings.window == 4)
        for slot in slots.dropFirst(4) { openings.noteDropped(slot, after: 1, at: .max / 2) }
        #expect(openings.window == 4, "so few may always be tried")
    }

    @Test func `behind a drop their number grows by one a round`() {
        for slot in all() { openings.noteAnswered(slot) }
        var slots = all()
        openings.noteDropped(slots.removeLast(), after: 1, at: 0)
        for slot in slots { openings.noteEnded(slot) }
        slots = all()
        #expect(slots.count == 4)
        for slot in slots { openings.noteAnswered(slot) }
        #expect(openings.window == 5)
    }

    @Test func `a call that takes long keeps no other connection from being opened`() {
        var slots = all()
        for slot in slots { openings.noteConnected(slot, after: 1, at: Self.millisecond) }
        #expect(all(at: 10 * Self.millisecond).isEmpty)
        slots = all(at: 11 * Self.millisecond)
        #expect(slots.count == 8, "and as they were established, there may be more of them")
        #expect(all(at: .max - 1).isEmpty, "those that are not established yet do not count as slow")
    }

    @Test func `who stands in line is served in order, and before those who ask later`() throws {
        let slots = all()
        let served = Mutex<[Int]>([])
        for number in 0..<3 {
            openings.enlist { [openings] slot in
                served.withLock { $0.append(number) }
                openings.noteEnded(slot)
            }
        }
        #expect(openings.take(at: 0) == nil)
        #expect(served.withLock { $0 }.isEmpty)
        openings.noteEnded(slots[0])
        #expect(served.withLock { $0 } == [0, 1, 2], "who does not need it passes it on")
        #expect(openings.take(at: 0) != nil)
    }

    @Test func `a slot is given back once, whatever is said of it later`() {
        for slot in all() {
            openings.noteEnded(slot)
            openings.noteAnswered(slot)
            openings.noteConnected(slot, after: 1, at: 1)
        }
        #expect(openings.window == 4)
        #expect(all().count == 4)
    }
}
