// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import Testing

@testable import InvocationEngine

/// Time limits of one event loop; each test waits for a timer, never for time.
struct TimerWheelTests {
    /// Runs on an event loop with a wheel, and waits until the promise is kept.
    private func run<Value: Sendable>(
        _ body: @escaping @Sendable (TimerWheel, EventLoopPromise<Value>) -> Void
    ) async throws -> Value {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Value.self)
        // The wheel schedules itself as long as it holds timers, and then goes.
        loop.execute { body(TimerWheel(loop: loop), promise) }
        return try await promise.futureResult.get()
    }

    private static func timer(_ action: @escaping () -> Void) -> LoopTimer {
        let timer = LoopTimer()
        timer.onExpiry = action
        return timer
    }

    @Test func `a timer fires once its moment has come, never before`() async throws {
        let moment = NIODeadline.now() + .milliseconds(70)
        let fired = try await run { wheel, promise in
            wheel.set(Self.timer { promise.succeed(NIODeadline.now()) }, at: moment)
        }
        #expect(fired >= moment)
    }

    @Test func `a limit that moves later holds, and one that moves sooner`() async throws {
        let names = try await run { (wheel, promise: EventLoopPromise<[String]>) in
            let (start, fired) = (NIODeadline.now(), Fired())
            let late = start + .milliseconds(200)
            let renewed = Self.timer { fired.add(NIODeadline.now() >= late ? "renewed" : "too early") }
            let hurried = Self.timer { fired.add("hurried") }
            wheel.set(renewed, at: start + .milliseconds(40))
            wheel.set(hurried, at: start + .seconds(100))
            wheel.set(Self.timer { promise.succeed(fired.names.sorted()) }, at: start + .milliseconds(280))
            wheel.set(renewed, at: late)
            wheel.set(hurried, at: start + .milliseconds(40))
        }
        #expect(names == ["hurried", "renewed"])
    }

    @Test(.timeLimit(.minutes(1)))
    func `of very many timers of one moment each is moved and taken out without a search, and the rest may go`()
        async throws
    {
        let names = try await run { (wheel, promise: EventLoopPromise<[String]>) in
            let (start, fired) = (NIODeadline.now(), Fired())
            let timers = (0..<100_000).map { _ in Self.timer { fired.add("kept too long") } }
            for timer in timers { wheel.set(timer, at: start + .seconds(9)) }
            for timer in timers.reversed() { wheel.set(timer, at: start + .seconds(8)) }
            for timer in timers[..<50_000] { wheel.cancel(timer) }
            timers[70_000].onExpiry = { fired.add("sooner") }
            let now = NIODeadline.now()
            wheel.set(timers[70_000], at: now + .milliseconds(20))
            wheel.set(Self.timer { promise.succeed(fired.names) }, at: now + .milliseconds(200))
        }
        #expect(names == ["sooner"])
    }

    @Test func `a timer beyond the wheel's reach is put back, and does not fire before its time`() async throws {
        let fired = try await run { (wheel, promise: EventLoopPromise<[String]>) in
            let fired = Fired()
            let far = Self.timer { fired.add("far") }
            wheel.set(far, at: .now() + .seconds(3600))
            let last = Self.timer {
                wheel.cancel(far)
                promise.succeed(fired.names)
            }
            wheel.set(last, at: .now() + .milliseconds(100))
        }
        #expect(fired.isEmpty)
    }

    @Test(.timeLimit(.minutes(1)), arguments: [-1000, -20, 0, 20, 40])
    func `whoever is called may set others of the same slot, and none of them is lost`(offset: Int64) async throws {
        let names = try await run { (wheel, promise: EventLoopPromise<[String]>) in
            let (moment, fired) = (NIODeadline.now() + .milliseconds(60), Fired())
            let fire = { (number: Int) in
                fired.add("\(number)")
                if fired.names.count == 6 { promise.succeed(fired.names.sorted()) }
            }
            let timers = (0..<6).map { number in Self.timer { fire(number) } }
            // The one that was put in last is called first; it sets one from the middle.
            timers[5].onExpiry = {
                fire(5)
                wheel.set(timers[3], at: .now() + .milliseconds(offset))
            }
            for timer in timers { wheel.set(timer, at: moment) }
        }
        #expect(names == ["0", "1", "2", "3", "4", "5"])
    }

    @Test(.timeLimit(.minutes(1)))
    func `whoever is called may cancel others of the same slot, and set itself again`() async throws {
        let names = try await run { (wheel, promise: EventLoopPromise<[String]>) in
            let (moment, fired) = (NIODeadline.now() + .milliseconds(60), Fired())
            let timers = (0..<4).map { number in Self.timer { fired.add("\(number)") } }
            timers[3].onExpiry = {
                fired.add("3")
                wheel.cancel(timers[1])
                timers[3].onExpiry = {
                    fired.add("again")
                    promise.succeed(fired.names)
                }
                wheel.set(timers[3], at: .now())
            }
            for timer in timers { wheel.set(timer, at: moment) }
        }
        #expect(names == ["3", "2", "0", "again"])
    }

    @Test func `timers of random moments all fire, each in its time`() async throws {
        let early = try await run { (wheel, promise: EventLoopPromise<Int>) in
            let (start, fired) = (NIODeadline.now(), Fired())
            for number in 0..<500 {
                let moment = start + .milliseconds(Int64(number % 150))
                let timer = Self.timer { if NIODeadline.now() >= moment { fired.add("\(number)") } }
                // Sooner, later, sooner again.
                wheel.set(timer, at: start + .milliseconds(Int64(number * 7 % 300)))
                if number.isMultiple(of: 3) { wheel.set(timer, at: start + .seconds(60)) }
                wheel.set(timer, at: moment)
            }
            wheel.set(Self.timer { promise.succeed(Set(fired.names).count) }, at: start + .milliseconds(400))
        }
        #expect(early == 500)
    }
}

/// What fired, on one event loop.
private final class Fired {
    private(set) var names: [String] = []

    func add(_ name: String) { names.append(name) }
}
