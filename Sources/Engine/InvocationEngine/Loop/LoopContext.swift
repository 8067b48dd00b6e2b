// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import ProviderContract

/// What everything on one event loop has of it, confined to it: limits, timers, the time, random numbers.
final class LoopContext {
    let loop: any EventLoop
    let limits: EngineLimits
    let timers: TimerWheel
    /// What `X-Served-By` says, and `User-Agent` for a client that sent none.
    let servedBy: String
    /// An empty buffer of this loop's own: `ByteBuffer()` is one object for all of them, and counting its references from
    /// several CPUs costs more than many a step of a call.
    let noBytes = ByteBufferAllocator().buffer(capacity: 1)
    /// Has the other event loops give up their idle connections to a replica.
    var closeIdleElsewhere: (Replica) -> Void = { _ in }
    /// The time of the event that is being handled.
    private(set) var now = NIODeadline.now()
    /// What the wall clock was ahead of `now`, and when that was looked at.
    private var wallClock: (offset: Int64, readAt: NIODeadline) = (0, .uptimeNanoseconds(0))
    private var latestDate = DateLine(.now(), now: .uptimeNanoseconds(0))
    private var random: (UInt64, UInt64)

    init(loop: any EventLoop, limits: EngineLimits, servedBy: String) {
        self.loop = loop
        self.limits = limits
        self.servedBy = servedBy
        timers = TimerWheel(loop: loop)
        var seed = SystemRandomNumberGenerator()
        random = (seed.next() | 1, seed.next())
    }

    // MARK: Time

    /// Looks at the clock; once per event is enough for everything that follows from it.
    @discardableResult
    @inline(__always)
    func readClock() -> NIODeadline {
        now = .now()
        return now
    }

    /// Nanoseconds since 1970, by a wall clock that is looked at once a second.
    var nanosecondsSinceEpoch: UInt64 {
        if now - wallClock.readAt > .seconds(1) {
            wallClock = (Timestamp.now().nanosecondsSinceEpoch - Int64(now.uptimeNanoseconds), now)
        }
        return UInt64(wallClock.offset + Int64(now.uptimeNanoseconds))
    }

    /// `Date` of an answer that begins now.
    @inline(__always)
    var date: DateLine {
        if now >= latestDate.expires { latestDate = DateLine(.now(), now: now) }
        return latestDate
    }

    // MARK: Randomness

    /// The next number of xorshift128+: for balance and ids, where nobody gains by guessing.
    @inline(__always)
    func nextRandom() -> UInt64 {
        var (x, y) = random
        random.0 = y
        x ^= x << 23
        random.1 = x ^ y ^ (x >> 17) ^ (y >> 26)
        y = random.1 &+ y
        return y
    }
}

/// What clients and calls may take, as the event loop's clock has it.
struct EngineLimits {
    /// Of a request's head, from its first byte on.
    let head: TimeAmount
    /// Of a client's pause within a body.
    let read: TimeAmount
    /// Of a client's pause in reading an answer.
    let write: TimeAmount
    /// The smaller of the two.
    let stall: TimeAmount
    /// Between two requests.
    let keepAlive: TimeAmount
    /// Of a client that has connected and not asked yet, when the door drains.
    let newcomer: TimeAmount
    /// Of an event stream's silence.
    let streamIdle: TimeAmount
    /// Of connecting to a replica.
    let connect: TimeAmount
    /// Of a call; nil means none.
    let upstream: TimeAmount?
    /// Bytes of a head.
    let headBytes: Int
    /// Bytes of a request's body; nil means no limit.
    let bodyBytes: Int?
    /// Calls of one function that wait for its first replica.
    let waiting: Int
}
