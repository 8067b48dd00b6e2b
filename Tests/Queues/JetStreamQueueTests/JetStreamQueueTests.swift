// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import NATSClient
import NIOCore
import QueueContract
import Synchronization
import TestSupport
import Testing

@testable import JetStreamQueue

/// What can go wrong between several who use one queue, and between them and their server.
@Suite(.serialized, .enabled(if: RunningNATS.isThere))
struct JetStreamQueueTests {
    // MARK: What the log does not say yet

    @Test func `a call whose acceptance was never noted is found at the start`() async throws {
        let shared = try await QueueOnNATS.shared()
        let first = try await shared.worker("first")
        _ = try await first.publishUnnoted("unnoted")
        await first.close()
        let second = try await shared.worker("second") { $0.housekeeping = .seconds(3600) }
        let told = Mutex(false)
        let third = try await shared.worker("third") { $0.housekeeping = .milliseconds(100) }
        third.onDue { function in told.withLock { $0 = $0 || function == QueueOnNATS.function } }
        #expect(await eventually { told.withLock { $0 } }, "and later, by looking now and then")
        let call = try await second.takeOne()
        #expect(call.lease.id == "unnoted")
        #expect(try await second.end(call))
        #expect(await second.counts().total.succeeded == 1)
        await second.close()
        await third.close()
    }

    @Test func `a call that is sent again and not noted as such is carried out again`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "again"))
        try await queue.end(try await queue.takeOne())
        let end = try await queue.facts("again").end
        let kept = try #require(try await queue.keptRequest("again"))
        _ = try await queue.publish(kept.payload, of: QueueOnNATS.function, resends: end)
        let call = try await queue.takeOne()
        #expect(call.lease.id == "again" && call.attempt == 1)
        #expect(try await queue.end(call))
        #expect(try await eventually { try await queue.requestCount() == 0 })
        // The same message once more: that end was sent again already.
        _ = try await queue.publish(kept.payload, of: QueueOnNATS.function, resends: end)
        #expect(try await queue.dropsRequests())
        #expect(await queue.counts().total.accepted == 1)
        await queue.close()
    }

    @Test func `a request of another gateway is carried out (§7.2)`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        let request =
            #"{"Header":{"X-Call-Id":["theirs"],"X-Thing":["7"]},"Host":"gateway:8080","Body":"SGk=","Method":"POST","#
            + #""Path":"/a","QueryString":"b=c","Function":"echo","QueueName":"q","CallbackUrl":null}"#
        _ = try await queue.publish(ByteBuffer(string: request), of: QueueOnNATS.function)
        let leased = try await queue.takeOne()
        #expect(leased.call.callID == "theirs" && leased.call.path == "/a" && leased.call.query == "b=c")
        #expect(String(buffer: leased.call.body) == "Hi" && leased.call.callbackURL == nil)
        #expect(String(buffer: leased.call.fields).contains("X-Thing: 7"))
        #expect(try await queue.end(leased))
        #expect(await queue.counts().total.succeeded == 1)
        await queue.close()
    }

    @Test func `calls of a function that does not exist are dead, also those that were never noted`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        _ = try await queue.publishUnnoted("unnoted")
        _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "noted"))
        try await queue.functionDeleted(QueueOnNATS.function)
        for id in ["noted", "unnoted"] {
            #expect(try await queue.call(id)?.state == .dead)
            #expect(try await queue.call(id)?.deadReason == "The function echo.openfaas-fn was deleted.")
        }
        #expect(try await queue.requestCount() == 0)
        #expect(await queue.counts().total.dead == 2)
        await queue.close()
    }

    @Test func `the longest call that is accepted can also end`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        func call(_ size: Int) -> NewCall {
            var call = NewCall(function: QueueOnNATS.function, callID: "x", isCallIDFresh: true)
            (call.callID, call.body) = ("\(size)", ByteBuffer(repeating: 0x78, count: size))
            return call
        }
        // The border lies where base64 and what stands beside it fill a message.
        var (accepted, refused) = (700_000, 800_000)
        while refused - accepted > 1 {
            let size = (accepted + refused) / 2
            do throws(PlatformFault) {
                _ = try await queue.accept(call(size))
                accepted = size
            } catch {
                #expect(error.code == .bodyTooLarge && error.message.contains("max_payload"))
                refused = size
            }
        }
        try await queue.cancel("\(accepted)")
        #expect(try await queue.call("\(accepted)")?.state == .cancelled)
        try await queue.sendAgain("\(accepted)")
        _ = try await queue.purge(function: nil, state: nil)
        await queue.close()
    }

    // MARK: Two that want the same call

    @Test func `nobody takes a call from a living worker`() async throws {
        let shared = try await QueueOnNATS.shared()
        let (first, second) = (try await shared.worker("first"), try await shared.worker("second"))
        _ = try await first.accept(NewCall(function: QueueOnNATS.function, callID: "mine"))
        let call = try await first.takeOne()
        let facts = try await first.facts("mine")
        let payload = try #require(try await first.server.message(facts.request, in: first.streams.requests)).payload
        for request in [
            DeliveredRequest(payload: payload, delivery: Delivery(fetched: facts.request)),
            DeliveredRequest(payload: payload, delivery: try redelivery(of: facts.request, second)),
        ] {
            #expect(await second.claim(request, of: QueueOnNATS.function, .seconds(60), try second.follower()) == nil)
        }
        #expect(try await first.facts("mine").worker == first.incarnation)
        #expect(await first.renew(call.lease, for: .seconds(60)))
        first.abandon()
        let request = DeliveredRequest(payload: payload, delivery: try redelivery(of: facts.request, second))
        let taken = await second.claim(request, of: QueueOnNATS.function, .seconds(60), try second.follower())
        #expect(taken?.lease.id == "mine", "it is gone, and what it had is anybody's")
        await second.close()
    }

    @Test(arguments: [true, false])
    func `a successor has what its predecessor had, and need not wait for one that said farewell`(
        isKilled: Bool
    ) async throws {
        let shared = try await QueueOnNATS.shared()
        let last = try await shared.worker("worker")
        _ = try await last.accept(NewCall(function: QueueOnNATS.function, callID: "left"))
        _ = try await last.takeOne()
        if isKilled { last.abandon() } else { await last.close() }
        let begun = ContinuousClock.now
        let next = try await shared.worker("worker")
        // Somebody who is not heard of may only not be back yet.
        #expect((ContinuousClock.now - begun > .seconds(1)) == isKilled)
        #expect(try await next.takeOne().lease.id == "left")
        await next.close()
    }

    @Test func `a worker that is only not back yet counts as living`() async throws {
        let shared = try await QueueOnNATS.shared()
        let first = try await shared.worker("first")
        async let answer = first.presence(of: "late", request: 7)
        let second = try await shared.worker("second")
        try second.server.connection.subscribe(to: second.streams.presenceSubject("late")) { question in
            if let reply = question.reply { try? second.server.connection.publish(reply, ByteBuffer(string: "yes")) }
        }
        guard case .answers(hasRequest: true) = await answer else {
            Issue.record("it was taken for gone")
            return
        }
        guard case .gone = await first.presence(of: "nobody") else {
            Issue.record("nobody was taken for somebody")
            return
        }
        await first.close()
        await second.close()
    }

    @Test func `a worker that ends while it is asked is gone`() async throws {
        let shared = try await QueueOnNATS.shared()
        let (first, second) = (try await shared.worker("first"), try await shared.worker("second"))
        try second.server.connection.subscribe(to: second.streams.presenceSubject("ending")) { _ in
            Thread.detachNewThread { second.abandon() }
        }
        guard case .gone = await first.presence(of: "ending") else {
            Issue.record("a question that got lost was taken for silence")
            return
        }
        await first.close()
    }

    private func redelivery(of sequence: UInt64, _ queue: JetStreamQueue) throws -> Delivery {
        let consumer = queue.streams.consumer(QueueOnNATS.function)
        return try #require(Delivery("$JS.ACK.\(queue.streams.requests).\(consumer).2.\(sequence).9.0.0"))
    }

    @Test func `a callback whose deliverer ends is delivered by another`() async throws {
        let shared = try await QueueOnNATS.shared()
        let quick: (inout JetStreamQueue.Settings) -> Void = { settings in
            settings.housekeeping = .milliseconds(100)
            settings.callbackLease = .milliseconds(300)
        }
        let first = try await shared.worker("first", change: quick)
        let second = try await shared.worker("second", change: quick)
        let told = Mutex(0)
        _ = try await first.accept(
            NewCall(function: QueueOnNATS.function, callID: "called-back", callbackURL: "http://127.0.0.1:1/")
        )
        try await first.end(try await first.takeOne())
        #expect(try await first.takeCallbacks(atMost: 1).callbacks.count == 1)
        first.abandon()
        // It has heard of the end before: only what comes later counts.
        #expect(
            try await eventually {
                try await second.follower().withIndex { $0.entries["called-back"] }?.facts.callback == .taken
            }
        )
        second.onCallbackDue { told.withLock { $0 += 1 } }
        #expect(await eventually { told.withLock { $0 > 0 } })
        #expect(try await second.takeCallbacks(atMost: 1).callbacks.map(\.id) == ["called-back"])
        await second.close()
    }

    // MARK: What is thrown away

    @Test func `a purged call does not come back by a request that was left behind`() async throws {
        let shared = try await QueueOnNATS.shared()
        let queue = try await shared.worker("worker")
        _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "over"))
        // It ends, and the word that its request is done with gets lost.
        let (stored, line) = try #require(try await queue.look("over"))
        let taken = try #require(line.facts.taken(by: queue.incarnation))
        let token = try #require(try await queue.write(taken, of: "over", expected: stored.last))
        let ended = try #require(taken.facts.ended(.succeeded))
        #expect(try await queue.write(ended, of: "over", expected: token) != nil)
        #expect(try await queue.requestCount() == 1)
        #expect(try await queue.purge(function: nil, state: nil) == 1)
        #expect(try await queue.requestCount() == 0)
        #expect(try await queue.call("over") == nil)
        await queue.close()
        let next = try await shared.worker("next")
        #expect(await next.waitingFunctions().isEmpty)
        #expect(await next.counts().total.drift == 0)
        await next.close()
    }

    @Test func `what is thrown away with a call is never another's`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "theirs"))
        // As after a power cut that took the end of the requests and not that of the log.
        let request = try await queue.facts("theirs").request
        let line = JetStreamQueue.acceptedLine(
            NewCall(function: QueueOnNATS.function, callID: "ours"),
            due: .now(),
            request: request
        )
        let accepted = try #require(try await queue.write(line, of: "ours", expected: 0))
        try await queue.cancel("ours")
        #expect(try await queue.requestCount() == 1)
        #expect(try await queue.keptRequest("ours") == nil)
        #expect(accepted > 0)
        #expect(try await queue.purge(function: nil, state: nil) == 1)
        #expect(try await queue.takeOne().lease.id == "theirs")
        await queue.close()
    }

    @Test func `a call that is sent again while it is forgotten stays forgotten`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "over"))
        try await queue.end(try await queue.takeOne())
        let end = try await queue.facts("over").end
        let kept = try #require(try await queue.keptRequest("over"))
        #expect(try await queue.purge(function: nil, state: nil) == 1)
        _ = try await queue.publish(kept.payload, of: QueueOnNATS.function, resends: end)
        #expect(try await queue.dropsRequests())
        #expect(try await queue.call("over") == nil)
        await queue.close()
    }

    @Test func `an entry that was thrown away before it was read is counted none the less`() async throws {
        let shared = try await QueueOnNATS.shared()
        let (first, second) = (try await shared.worker("first"), try await shared.worker("second"))
        try await second.deafen()
        for id in ["missed", "seen"] {
            _ = try await first.accept(NewCall(function: QueueOnNATS.function, callID: id))
        }
        let missed = try #require(try await first.look("missed")).stored.last
        _ = try await first.upToDate()
        try await first.server.delete(missed, from: first.streams.log)
        try await second.follower().follow()
        #expect(try await eventually { try await second.follower().withIndex { $0.entries["seen"] != nil } })
        #expect(await first.writeCounts(try first.follower()) != nil)
        #expect(await eventually { await second.counts().total.accepted == 2 })
        await first.close()
        await second.close()
    }

    @Test func `a log that was replaced and grew again is read anew`() async throws {
        let shared = try await QueueOnNATS.shared()
        let (first, second) = (try await shared.worker("first"), try await shared.worker("second"))
        for number in 1...3 {
            _ = try await first.accept(NewCall(function: QueueOnNATS.function, callID: "old-\(number)"))
        }
        let follower = try await second.follower()
        #expect(await eventually { follower.withIndex { $0.entries.count == 3 } })
        for worker in [first, second] { try await worker.deafen() }
        _ = try await first.server.ask(
            "STREAM.DELETE.\(first.streams.log)",
            JetStreamServer.Nothing(),
            for: JetStreamServer.Nothing.self
        )
        try await first.streams.makeAll(on: first.server, replicas: 1, QueueSettings())
        for number in 1...20 {
            _ = try await first.accept(NewCall(function: QueueOnNATS.function, callID: "new-\(number)"))
        }
        try await follower.follow()
        let wanted = Set((1...20).map { "new-\($0)" })
        #expect(await eventually { follower.withIndex { Set($0.entries.keys) == wanted } })
        await first.close()
        await second.close()
    }

    @Test func `a call whose request somebody threw away is brought back, or is dead`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        for id in ["kept", "unkept"] {
            _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: id))
        }
        let kept = try #require(
            try await queue.server.message(queue.facts("kept").request, in: queue.streams.requests)
        )
        try await queue.keepRequest(kept.payload, of: "kept", isDead: false)
        for id in ["kept", "unkept"] {
            try await queue.server.delete(queue.facts(id).request, from: queue.streams.requests)
        }
        let call = try await queue.takeOne()
        #expect(call.lease.id == "kept")
        let isDead = try await eventually {
            _ = try await queue.take(from: QueueOnNATS.function, atMost: 1, lease: .seconds(60))
            return try await queue.call("unkept")?.state == .dead
        }
        #expect(isDead)
        #expect(try await queue.call("unkept")?.deadReason == "Its request is gone from the NATS server.")
        #expect(await queue.counts().total.drift == 0)
        await queue.close()
    }

    @Test func `who was away while others forgot calls knows of none of them`() async throws {
        let shared = try await QueueOnNATS.shared()
        let (first, second) = (try await shared.worker("first"), try await shared.worker("second"))
        _ = try await first.accept(NewCall(function: QueueOnNATS.function, callID: "phantom"))
        let follower = try await second.follower()
        #expect(await eventually { follower.withIndex { $0.entries["phantom"] != nil } })
        try await second.deafen()
        try await first.end(try await first.takeOne())
        #expect(try await first.purge(function: nil, state: nil) == 1)
        #expect(follower.withIndex { $0.entries["phantom"] != nil }, "it has not heard of it")
        try await follower.follow()
        #expect(await eventually { follower.isCaughtUp })
        #expect(follower.withIndex { $0.entries.isEmpty })
        let (ours, theirs) = (await second.counts().total, await first.counts().total)
        #expect(ours == theirs)
        await first.close()
        await second.close()
    }

    // MARK: The server

    @Test func `a consumer that is gone is made again`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        // Before it was asked for anything: it cannot say that it goes.
        try await queue.lane(QueueOnNATS.function).make()
        let consumer = queue.streams.consumer(QueueOnNATS.function)
        let isDeleted = try await queue.server.ask(
            "CONSUMER.DELETE.\(queue.streams.requests).\(consumer)",
            JetStreamServer.Nothing(),
            for: JetStreamServer.Nothing.self
        )
        #expect(isDeleted != nil)
        for id in ["first", "second"] {
            _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: id))
            #expect(try await queue.takeOne().lease.id == id)
        }
        #expect(queue.held.withLock { $0.all.values.contains { $0.id == "second" && !$0.delivery.isFetched } })
        await queue.close()
    }

    @Test func `a server that cannot deliver at the moment is not asked again at once`() async throws {
        let queue = try await QueueOnNATS.shared().worker("worker")
        let dues = Mutex<[ContinuousClock.Instant]>([])
        queue.onDue { _ in dues.withLock { $0.append(.now) } }
        let begun = ContinuousClock.now
        // As the server says where the consumer has no leader.
        let subject = "\(queue.inbox).\(QueueOnNATS.function.namespace).\(QueueOnNATS.function.name)"
        _ = try? await queue.server.connection.request(subject, headers: ["Status", "503"], within: .milliseconds(50))
        #expect(await eventually { dues.withLock { !$0.isEmpty } })
        #expect(dues.withLock { $0.allSatisfy { $0 > begun + .milliseconds(400) } })
        await queue.close()
    }

    @Test func `an end that cannot be noted leaves the call with its worker`() async throws {
        let server = try await RunningNATS()
        let queue = try await QueueOnNATS(url: server.url).worker("worker") { $0.lease = .seconds(2) }
        _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "ended"))
        let call = try await queue.takeOne(lease: .seconds(2))
        await server.stop()
        await #expect(throws: PlatformFault.self) { try await queue.end(call) }
        #expect(await queue.renew(call.lease, for: .seconds(60)))
        try await server.startAgain()
        #expect(await eventually { queue.server.connection.isConnected })
        #expect(try await queue.end(call))
        #expect(try await queue.call("ended")?.state == .succeeded)
        await queue.close()
        await server.stop()
    }

    @Test func `a log that lost its end is read anew, and goes on`() async throws {
        let server = try await RunningNATS()
        let shared = QueueOnNATS(url: server.url)
        let queue = try await shared.worker("worker") { $0.housekeeping = .milliseconds(200) }
        _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "early"))
        await server.stop(SIGTERM)
        let log = "\(server.store)/jetstream/$G/streams/\(queue.streams.log)"
        let copy = TemporaryFolder()
        try FileManager.default.copyItem(atPath: log, toPath: "\(copy.path)/log")
        try await server.startAgain()
        #expect(await eventually { queue.server.connection.isConnected })
        try await queue.end(try await queue.takeOne())
        for number in 1...3 {
            _ = try await queue.accept(NewCall(function: QueueOnNATS.function, callID: "lost-\(number)"))
        }
        // The counts are noted beyond what will be left of the log.
        let before = try await queue.upToDate().withIndex { $0.position }
        #expect(try await eventually { try await queue.start().counted >= before })
        await server.stop(SIGTERM)
        try FileManager.default.removeItem(atPath: log)
        try FileManager.default.copyItem(atPath: "\(copy.path)/log", toPath: log)
        try await server.startAgain()
        let follower = try await queue.follower()
        #expect(await eventually { follower.withIndex { $0.position } < before && follower.isCaughtUp })
        // The requests are still there: each is carried out, as if it had not been noted.
        var ids: Set<String> = []
        for _ in 1...4 {
            let call = try await queue.takeOne()
            ids.insert(call.lease.id)
            #expect(try await queue.end(call))
        }
        #expect(ids == ["early", "lost-1", "lost-2", "lost-3"])
        let total = await queue.counts().total
        #expect(total.drift == 0 && total.waiting == 0 && total.running == 0)
        await queue.close()
        let next = try await shared.worker("next")
        #expect(await next.counts().total == total)
        await next.close()
        await server.stop()
    }
}

extension JetStreamQueue {
    /// Whether what is in the stream is thrown away without being carried out.
    fileprivate func dropsRequests() async throws -> Bool {
        try await eventually {
            let taken = try await take(from: Self.function, atMost: 1, lease: .seconds(60)).calls
            let left = try await requestCount()
            return taken.isEmpty && left == 0
        }
    }

    /// Lets the server forget whom it tells of the log.
    fileprivate func deafen() async throws {
        _ = try await server.ask(
            "CONSUMER.DELETE.\(streams.log).\(incarnation)-1",
            JetStreamServer.Nothing(),
            for: JetStreamServer.Nothing.self
        )
    }
}
