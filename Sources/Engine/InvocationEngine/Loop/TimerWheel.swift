// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// One connection's time limit.
///
/// Moving it later costs a store; nothing is scheduled per call.
final class LoopTimer {
    /// When it fires; the wheel looks at it only when its slot comes round.
    fileprivate(set) var expires = NIODeadline.distantFuture
    fileprivate var slotTick: Int64 = -1
    /// Where it is in its slot, so that it can be taken out of thousands without a search.
    fileprivate var index = 0
    /// Called on the event loop.
    ///
    /// Set once by the owner, which breaks the cycle by `TimerWheel.cancel`.
    var onExpiry: (() -> Void)?
}

/// Coarse time limits of one event loop: a hashed wheel that ticks only while it holds timers.
///
/// A timer fires at most one tick late, never early. A limit that moves later is not moved in the wheel: the timer is
/// put back when its old slot comes round. That makes the usual case, a limit renewed by every byte, free.
final class TimerWheel {
    private static let tick = TimeAmount.milliseconds(20)
    private static let slotCount: Int64 = 512
    private let loop: any EventLoop
    private var slots: [[LoopTimer]]
    private var current: Int64
    private var count = 0
    private var isTicking = false
    /// The room that a slot needed for very many timers is not kept.
    private static let mostToKeep = 256

    init(loop: any EventLoop) {
        self.loop = loop
        slots = Array(repeating: [], count: Int(Self.slotCount))
        current = Self.tickNumber(of: .now())
    }

    /// Lets a timer fire at a moment, instead of whatever was set before.
    func set(_ timer: LoopTimer, at moment: NIODeadline) {
        timer.expires = moment
        guard moment != .distantFuture else { return }
        let tick = Self.tickNumber(of: moment) + 1
        if timer.slotTick < 0 {
            startTicking()
            insert(timer, at: tick)
        } else if tick < timer.slotTick {
            remove(timer)
            insert(timer, at: tick)
        }
    }

    /// Takes a timer out for good.
    func cancel(_ timer: LoopTimer) {
        timer.expires = .distantFuture
        timer.onExpiry = nil
        if timer.slotTick >= 0 { remove(timer) }
    }

    private static func tickNumber(of moment: NIODeadline) -> Int64 {
        Int64(moment.uptimeNanoseconds / UInt64(tick.nanoseconds))
    }

    private func insert(_ timer: LoopTimer, at wanted: Int64) {
        // Beyond the wheel's reach a timer waits in the farthest slot and is put back from there.
        let tick = min(max(wanted, current + 1), current + Self.slotCount - 1)
        let slot = Int(tick % Self.slotCount)
        timer.slotTick = tick
        timer.index = slots[slot].count
        slots[slot].append(timer)
        count += 1
    }

    /// The last of its slot takes its place.
    private func remove(_ timer: LoopTimer) {
        let slot = Int(timer.slotTick % Self.slotCount)
        guard let last = slots[slot].popLast() else { return }
        if last !== timer {
            last.index = timer.index
            slots[slot][timer.index] = last
        }
        timer.slotTick = -1
        count -= 1
    }

    private func startTicking() {
        guard !isTicking else { return }
        isTicking = true
        current = Self.tickNumber(of: .now())
        scheduleTick()
    }

    private func scheduleTick() {
        loop.assumeIsolated().scheduleTask(in: Self.tick) { self.advance() }
    }

    private func advance() {
        let target = Self.tickNumber(of: .now())
        while current < target, count > 0 {
            current += 1
            fireSlot()
        }
        current = max(current, target)
        isTicking = count > 0
        if isTicking { scheduleTick() }
    }

    private func fireSlot() {
        let slot = Int(current % Self.slotCount)
        let now = NIODeadline.now()
        // One at a time: whoever is called may set or cancel one of the others. What is put back goes elsewhere.
        while let due = slots[slot].last {
            remove(due)
            if due.expires <= now {
                due.onExpiry?()
            } else if due.expires != .distantFuture {
                insert(due, at: Self.tickNumber(of: due.expires) + 1)
            }
        }
        if slots[slot].capacity > Self.mostToKeep { slots[slot] = [] }
    }
}
