// SPDX-License-Identifier: Apache-2.0

import ProviderContract
import Synchronization
import TestSupport
import Testing

struct ReplicaTests {
    @Test func `a replica takes as many calls as it may and no more`() {
        let replica = Replica(id: "r", target: Upstream(.tcp(host: "127.0.0.1", port: 1)), maxInFlight: 2)
        #expect(replica.enter())
        #expect(replica.enter())
        #expect(!replica.enter())
        replica.leave()
        #expect(replica.enter())
    }

    @Test func `only an answer beside a connection that stays open shows that connections are served in parallel`() {
        let connections = ReplicaConnections()
        connections.unanswered.add(4, ordering: .relaxed)
        connections.noteFirstAnswer(staysOpen: false)
        connections.noteFirstAnswer(staysOpen: true)
        #expect(!connections.areServedInParallel, "the first one's end may not have been heard of")
        connections.noteClosed()
        connections.noteFirstAnswer(staysOpen: true)
        #expect(!connections.areServedInParallel)
        connections.noteFirstAnswer(staysOpen: true)
        #expect(connections.areServedInParallel)
        #expect(connections.unanswered.load(ordering: .relaxed) == 0)
    }

    @Test func `draining is told once, when the last call has left`() {
        let replica = Replica(id: "r", target: Upstream(.tcp(host: "127.0.0.1", port: 1)), maxInFlight: nil)
        let told = Counter()
        #expect(replica.enter())
        replica.drain { told.add() }
        #expect(told.count == 0)
        replica.leave()
        #expect(told.count == 1)
        #expect(!replica.enter())
    }
}
