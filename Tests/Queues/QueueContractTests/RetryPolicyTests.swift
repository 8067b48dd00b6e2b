// SPDX-License-Identifier: Apache-2.0

import QueueContract
import Testing

struct RetryPolicyTests {
    private let policy = RetryPolicy()

    @Test(arguments: [200, 201, 204, 301, 399])
    func `an answer of 2xx or 3xx is a success`(status: Int) {
        #expect(decide(status) == .end(.succeeded))
    }

    @Test(arguments: [400, 401, 404, 409, 501, 505])
    func `an answer that is not in the list is final`(status: Int) {
        #expect(decide(status) == .end(.failed))
    }

    @Test(arguments: [408, 429, 500, 502, 503, 504])
    func `what is in the list is tried again until the attempts are used up (§7.4)`(status: Int) {
        #expect(decide(status, attempt: 9) == .retry(after: .seconds(120) * 0.5))
        #expect(decide(status, attempt: 10) == .end(.dead))
    }

    @Test func `what the platform failed at is tried again whatever its status`() {
        #expect(decide(507, isPlatformFault: true) == .retry(after: .seconds(5)))
    }

    @Test func `waits double from the first to the longest, and chance spreads them`() {
        let expected = [10, 20, 40, 80, 120, 120].map { Duration.seconds($0) }
        var policy = policy
        policy.backoff = .exponential
        #expect((1...6).map { policy.wait(behind: $0, chance: 0.3) } == expected)
        policy.backoff = .full
        #expect((1...6).map { policy.wait(behind: $0, chance: 0) } == Array(repeating: .zero, count: 6))
        #expect(policy.wait(behind: 3, chance: 0.25) == .seconds(10))
        policy.backoff = .equal
        #expect(policy.wait(behind: 3, chance: 0) == .seconds(20))
        #expect(policy.wait(behind: 3, chance: 0.5) == .seconds(30))
    }

    @Test func `a thousand attempts do not make the wait overflow`() {
        #expect(policy.wait(behind: 10_000, chance: 0.999) <= .seconds(120))
    }

    @Test func `Retry-After replaces the wait of 429 and 503, never below the first wait (§7.4)`() {
        #expect(decide(429, retryAfter: .seconds(300)) == .retry(after: .seconds(300)))
        #expect(decide(503, retryAfter: .seconds(1)) == .retry(after: .seconds(10)))
        #expect(decide(500, retryAfter: .seconds(300)) == .retry(after: .seconds(5)))
    }

    @Test func `one attempt means that nothing is tried again`() {
        #expect(
            RetryPolicy(attempts: 1).decide(
                status: 503,
                isPlatformFault: true,
                attempt: 1,
                retryAfter: nil,
                chance: 0
            ) == .end(.dead)
        )
    }

    private func decide(
        _ status: Int,
        isPlatformFault: Bool = false,
        attempt: Int = 1,
        retryAfter: Duration? = nil
    ) -> RetryPolicy.Decision {
        policy.decide(
            status: status,
            isPlatformFault: isPlatformFault,
            attempt: attempt,
            retryAfter: retryAfter,
            chance: 0.5
        )
    }
}

struct CallLifeCycleTests {
    @Test func `whatever happens, a call is in one state, and only a call that is over can be sent again`() {
        let events: [CallEvent] = [
            .taken, .released, .retried, .ended(.succeeded), .ended(.failed), .ended(.dead), .cancelled, .expired,
            .functionDeleted, .sentAgain,
        ]
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var cycle = CallLifeCycle()
            for _ in 0..<100 {
                let before = cycle.state
                let event = events[Int(random.next() % UInt64(events.count))]
                let happened = cycle.apply(event)
                #expect(happened || cycle.state == before, "seed \(seed)")
                if event == .sentAgain { #expect(happened == before.isFinished) }
                if case .ended = event { #expect(happened == (before == .running)) }
                if event == .taken { #expect(happened == (before == .waiting)) }
            }
        }
    }
}
