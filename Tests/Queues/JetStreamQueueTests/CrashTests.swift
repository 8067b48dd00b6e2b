// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import NIOCore
import QueueContract
import Synchronization
import TestSupport
import Testing

@testable import JetStreamQueue

/// What a worker does after its own deaths that calls may have caused.
@Suite(.enabled(if: RunningNATS.isThere))
struct CrashTests {
    private let folder = TemporaryFolder()

    private func worker(_ nats: QueueOnNATS) async throws -> JetStreamQueue {
        try await nats.worker("w") { $0.deathNote = "\(folder.path)/note" }
    }

    private func accept(_ ids: String..., by queue: JetStreamQueue) async throws {
        for id in ids {
            let call = NewCall(function: QueueOnNATS.function, callID: id, callbackURL: "http://receiver.test/")
            _ = try await queue.accept(call)
        }
    }

    /// What the handler of such a death writes, and then the worker is gone.
    private func die(_ queue: JetStreamQueue, with entries: [UInt64]) {
        let words = [0x3154_454C_5452_414D, 4, Int64(entries.count)] + entries.map { Int64($0) }
        let bytes = words.withUnsafeBytes { Data($0) }
        _ = FileManager.default.createFile(atPath: "\(folder.path)/note", contents: bytes)
        queue.abandon()
    }

    private func take(_ queue: JetStreamQueue) async throws -> [LeasedCall] {
        try await queue.take(from: QueueOnNATS.function, atMost: 10, lease: .seconds(60)).calls
    }

    @Test func `behind a death one call at a time is taken, until those that were in flight have ended`() async throws {
        let nats = try await QueueOnNATS.shared()
        let first = try await worker(nats)
        try await accept("a", "b", "c", by: first)
        let held = [try await first.takeOne(), try await first.takeOne()]
        die(first, with: held.map(\.lease.token))
        let second = try await worker(nats)
        var left = Set(held.map(\.lease.id))
        while !left.isEmpty {
            let call = try await second.takeOne()
            #expect(try await take(second).isEmpty)
            #expect(try await second.takeCallbacks(atMost: 10).callbacks.isEmpty)
            left.remove(call.lease.id)
            #expect(try await second.end(call))
        }
        #expect(try await eventually { try await second.takeCallbacks(atMost: 10).callbacks.count > 0 })
        await second.close()
    }

    @Test func `a callback that was alone at two such deaths is given up`() async throws {
        let nats = try await QueueOnNATS.shared()
        var queue = try await worker(nats)
        try await accept("a", by: queue)
        try await queue.end(queue.takeOne())
        for _ in 0..<2 {
            #expect(try await eventually { try await queue.takeCallbacks(atMost: 1).callbacks.map(\.id) == ["a"] })
            let taken = try #require(queue.heldCallbacks.withLock { $0["a"]?.taken })
            die(queue, with: [taken])
            queue = try await worker(nats)
        }
        #expect(try await queue.facts("a").callback == .failed)
        #expect(try await queue.facts("a").state == .succeeded)
        #expect(try await queue.takeCallbacks(atMost: 1).callbacks.isEmpty)
        await queue.close()
    }

    @Test func `a call that was alone at one death, and with others at the next, goes on`() async throws {
        let nats = try await QueueOnNATS.shared()
        var queue = try await worker(nats)
        try await accept("a", by: queue)
        for others in [0, 1, 2] as [UInt64] {
            let call = try await queue.takeOne()
            die(queue, with: [call.lease.token] + (0..<others).map { 1_000_000 + $0 })
            queue = try await worker(nats)
        }
        #expect(try await queue.end(queue.takeOne()))
        #expect(try await queue.facts("a").state == .succeeded)
        await queue.close()
    }
}
