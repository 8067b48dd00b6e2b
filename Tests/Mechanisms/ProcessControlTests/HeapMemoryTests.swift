// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import ProcessControl

/// When memory is given back to the system.
struct HeapMemoryTests {
    /// What a watch says to megabytes above the start and loads, one after another.
    private func answers(_ watch: inout HeapWatch, _ readings: [(grown: Int, load: Double)]) -> [Bool] {
        readings.map { watch.isWorthTrimming(resident: (50 + $0.grown) << 20, load: $0.load) }
    }

    @Test func `memory is given back when a load has fallen by half, not while it lasts`() {
        var watch = HeapWatch()
        let answers = answers(&watch, [(0, 0), (200, 1.8), (200, 1.2), (200, 0.6), (200, 0)])
        #expect(answers == [false, false, false, true, true])
    }

    @Test func `a load that comes before the first question is seen by what was noted before it`() {
        var watch = HeapWatch()
        watch.note(resident: 50 << 20)
        #expect(answers(&watch, [(100, 0)]) == [true])
    }

    @Test func `little growth is not worth it`() {
        var watch = HeapWatch()
        #expect(answers(&watch, [(0, 0), (7, 0), (8, 0)]) == [false, false, true])
    }

    /// What connections leave behind that are closed makes no process larger.
    @Test func `what is in use now may be free later, so it is tried again and again, but seldom`() {
        var watch = HeapWatch()
        var trials: [Int] = []
        _ = answers(&watch, [(0, 0)])
        for moment in 0..<20 where answers(&watch, [(100, 0)]) == [true] {
            trials.append(moment)
            watch.noteTrimmed(from: 150 << 20, to: 150 << 20)
        }
        #expect(trials == [0, 2, 6, 10, 14, 18], "at last every 20 seconds")
        watch.noteTrimmed(from: 150 << 20, to: 90 << 20)
        #expect(answers(&watch, [(40, 0)]) == [true], "what brought something is tried again at once")
        #expect(answers(&watch, [(7, 0)]) == [false])
    }
}
