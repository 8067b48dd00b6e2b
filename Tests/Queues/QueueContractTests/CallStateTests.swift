// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import QueueContract

/// States of calls, those included that only a newer worker knows.
struct CallStateTests {
    private let parked = CallState(rawValue: "parked")

    @Test func `a call in an unknown state is moved by nothing, and is not over`() {
        let events: [CallEvent] = [
            .taken, .released, .retried, .ended(.succeeded), .cancelled, .expired, .functionDeleted, .sentAgain,
        ]
        for event in events {
            var cycle = CallLifeCycle(parked)
            #expect(!cycle.apply(event) && cycle.state == parked, "\(event)")
        }
        #expect(!parked.isFinished && CallState.known.filter(\.isFinished).count == 5)
    }

    @Test func `calls in unknown states are counted, so that none is missing`() {
        var counts = CallCounts()
        counts.accepted = 3
        counts[.waiting] = 1
        counts[parked] += 2
        #expect(counts.drift == 0 && counts[parked] == 2)
        var sum = CallCounts()
        sum += counts
        sum += counts
        #expect(sum.others == [parked: 4] && sum.drift == 0)
        counts[parked] -= 2
        #expect(counts.others.isEmpty && counts.drift == 2)
    }

    @Test func `an unknown state is written as it was read`() throws {
        let written = try JSONEncoder().encode(try JSONDecoder().decode(CallState.self, from: Data("\"parked\"".utf8)))
        #expect(String(decoding: written, as: UTF8.self) == "\"parked\"")
    }
}
