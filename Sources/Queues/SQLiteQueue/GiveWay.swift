// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation

/// Lets other threads go first, on one that has time.
///
/// The system lets a busy thread go on for milliseconds although another was woken; on two CPUs, that other one is often
/// the one whose callers wait. Who leaves the CPU of its own accord gets it back at once when nobody wants it.
struct GiveWay {
    private var step = 0
    /// Nanoseconds that others have had.
    private var given = 0
    /// Whoever went on leaving the CPU to others would not get far.
    private var isOver = false
    /// So many steps are worth the trouble of asking.
    private static let stepsBetween = 8
    /// Whoever only has an answer to give is done long before; this is somebody who wants the CPU for longer.
    private static let longest = 500_000
    /// So much and no more: where everybody is busy what waits for this thread would pile up.
    private static let mostGiven = 25_000_000

    /// Leaves the CPU once in a few steps.
    mutating func next() {
        step += 1
        guard !isOver, step.isMultiple(of: Self.stepsBetween) else { return }
        let begun = DispatchTime.now().uptimeNanoseconds
        sched_yield()
        let taken = Int(DispatchTime.now().uptimeNanoseconds - begun)
        given += taken
        isOver = taken > Self.longest || given > Self.mostGiven
    }
}
