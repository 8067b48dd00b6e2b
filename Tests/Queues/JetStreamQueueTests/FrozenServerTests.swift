// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Glibc
import NATSClient
import QueueContract
import TestSupport
import Testing

@testable import JetStreamQueue

/// A server that is there and says nothing, as behind a network that swallows everything.
@Suite(.enabled(if: RunningNATS.isThere))
struct FrozenServerTests {
    @Test func `a server that is frozen is noticed, told of with the moment, and has lost nothing when it goes on`()
        async throws
    {
        let nats = try await RunningNATS()
        let queue = try await QueueOnNATS(url: nats.url).worker("worker") {
            $0.connection.pingInterval = .milliseconds(100)
        }
        func accept(_ id: String) async throws -> CallReceipt {
            try await queue.accept(NewCall(function: QueueOnNATS.function, callID: id))
        }
        for id in ["a", "b"] { _ = try await accept(id) }
        let begun = try await queue.takeOne()
        nats.signal(SIGSTOP)
        #expect(await eventually { !queue.server.connection.isConnected }, "three questions without an answer")
        let fault = await #expect(throws: PlatformFault.self) { _ = try await accept("refused") }
        #expect(fault?.code == .storageUnavailable && fault?.message.contains(" It is away since 2") == true)
        nats.signal(SIGCONT)
        #expect(await eventually { queue.server.connection.isConnected })
        #expect(try await queue.end(begun), "what was in flight ends")
        _ = try await accept("c")
        var ended = [begun.lease.id]
        while !Set(ended).isSuperset(of: ["a", "b", "c"]) {
            let call = try await queue.takeOne()
            #expect(try await queue.end(call))
            ended.append(call.lease.id)
        }
        #expect(Set(ended).count == ended.count && ended.count <= 4, "each once: \(ended)")
        await queue.close()
        await nats.stop()
    }
}
