// SPDX-License-Identifier: Apache-2.0

import CProcessControl
import Glibc

/// The memory of the process's heaps, which the C library alone never gives back from the middle.
public enum HeapMemory {
    /// How often it is looked at.
    private static let interval: Duration = .seconds(5)
    /// When it is first looked at: whoever has begun by then may have its first load soon.
    private static let firstLook: Duration = .milliseconds(500)

    /// Lets few heaps exist, and gives what is free in them back to the system some seconds after a load has fallen.
    ///
    /// `threads` is how many allocate all the time; called once, before there are any.
    public static func keepSmall(threads: Int) {
        martlet_bound_heaps(CInt(clamping: threads + 2))
        NamedThread.start("heap-trim") {
            var watch = HeapWatch()
            sleep(firstLook)
            watch.note(resident: resident())
            var used = cpuTime()
            while true {
                sleep(interval)
                let now = cpuTime()
                let (size, load) = (resident(), (now - used) / interval)
                used = now
                guard watch.isWorthTrimming(resident: size, load: load) else { continue }
                martlet_trim_heaps()
                watch.noteTrimmed(from: size, to: resident())
            }
        }
    }

    /// In bytes; 0 where the system does not tell.
    private static func resident() -> Int {
        let fields = SystemFile.text("/proc/self/statm")?.split(separator: " ") ?? []
        guard fields.count > 1, let pages = Int(fields[1]) else { return 0 }
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    private static func sleep(_ time: Duration) {
        let (seconds, attoseconds) = time.components
        var pause = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        nanosleep(&pause, nil)
    }

    private static func cpuTime() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

/// When to give memory back: when there is more than once was, and those who are served would not notice.
///
/// What is free within a heap shows nowhere, so it is tried again, ever more seldom while that brings nothing.
struct HeapWatch {
    private var lowest = Int.max
    private var highestLoad = 0.0
    /// How often it is not tried behind a trial, and how often still.
    private var pause = 1
    private var left = 0
    /// Less is not worth the trouble, in bytes.
    private static let leastGrowth = 8 * 1_048_576
    /// Less was not worth the trouble, in bytes.
    private static let leastGain = 1_048_576
    private static let longestPause = 4
    /// So much of one CPU is no load.
    private static let quiet = 0.25

    init() {}

    /// Notes a resident size in bytes, before there is a load.
    mutating func note(resident: Int) { lowest = min(lowest, resident) }

    /// Asked every few seconds with the resident size in bytes and the CPUs used since.
    mutating func isWorthTrimming(resident: Int, load: Double) -> Bool {
        note(resident: resident)
        highestLoad = max(load, highestLoad * 0.9)
        left = max(0, left - 1)
        return left == 0 && resident - lowest >= Self.leastGrowth && load < max(Self.quiet, highestLoad / 2)
    }

    /// Notes what a trial brought.
    mutating func noteTrimmed(from before: Int, to after: Int) {
        pause = before - after >= Self.leastGain ? 1 : min(pause * 2, Self.longestPause)
        left = pause
    }
}
