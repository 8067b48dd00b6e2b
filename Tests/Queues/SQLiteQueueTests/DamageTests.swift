// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GRDB
import Logging
import NIOCore
import QueueContract
import TestSupport
import Testing

@testable import SQLiteQueue

/// Files that are not as they were left.
struct DamageTests {
    private let folder = TemporaryFolder()
    private let function = FunctionID(name: "fn", namespace: "openfaas-fn")

    private func open(_ folder: TemporaryFolder) throws -> SQLiteQueue {
        try SQLiteQueue(folder: folder.path, logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() })
    }

    @Test func `wherever the log is torn, what was promised before that is there`() async throws {
        let queue = try open(folder)
        var promises: [(id: String, size: Int)] = []
        for number in 0..<6 {
            let body = ByteBuffer(repeating: UInt8(number), count: number * 700)
            // A key makes it go straight into the tables.
            let call = NewCall(function: function, body: body, callID: "call-\(number)", idempotencyKey: "\(number)")
            let receipt = try await queue.accept(call)
            promises.append((receipt.id, try size("calls.sqlite-wal")))
        }
        let whole = TemporaryFolder()
        try folder.copyContents(to: whole)
        await queue.close()
        for size in stride(from: 0, through: promises.last?.size ?? 0, by: 512) {
            let torn = TemporaryFolder()
            try whole.copyContents(to: torn)
            torn.remove("calls.sqlite-shm")
            truncate("\(torn.path)/calls.sqlite-wal", off_t(size))
            let again = try open(torn)
            #expect(again.problem == nil, "torn at \(size)")
            for promise in promises where promise.size <= size {
                #expect(try await again.call(promise.id) != nil, "\(promise.id) is gone, torn at \(size)")
            }
            #expect(await again.counts().total.drift == 0, "torn at \(size)")
            await again.close()
        }
    }

    private func size(_ name: String) throws -> Int {
        try FileManager.default.attributesOfItem(atPath: "\(folder.path)/\(name)")[.size] as? Int ?? 0
    }

    @Test func `a damaged file keeps calls from being accepted, with a sentence, until it is mended`() async throws {
        folder.write("calls.sqlite", String(repeating: "this is no database ", count: 500))
        let queue = try open(folder)
        #expect(queue.problem?.code == .storageUnavailable)
        let fault = await #expect(throws: PlatformFault.self) {
            _ = try await queue.accept(NewCall(function: function, callID: "a"))
        }
        #expect(fault?.message.contains("damaged") == true && fault?.hint?.contains("martlet doctor") == true)
        folder.write("spill/of-the-old-one", "its rows may come back")
        // Somebody moves it away; nobody starts anything again.
        folder.remove("calls.sqlite")
        let body = ByteBuffer(repeating: 1, count: 100_000)
        #expect(
            await eventually {
                (try? await queue.accept(NewCall(function: function, body: body, callID: "b"))) != nil
            }
        )
        #expect(queue.problem == nil)
        let taken = try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls
        #expect(taken.first?.call.body == body)
        #expect(FileManager.default.fileExists(atPath: "\(folder.path)/spill/of-the-old-one"))
        await queue.close()
    }

    @Test func `a file that is mended later has its calls carried out without another start`() async throws {
        let first = try open(folder)
        _ = try await first.accept(NewCall(function: function, callID: "waits"))
        await first.close()
        let sound = TemporaryFolder()
        try folder.copyContents(to: sound)
        folder.write("calls.sqlite", String(repeating: "this is no database ", count: 500))
        let queue = try open(folder)
        let (events, continuation) = AsyncStream.makeStream(of: FunctionID.self)
        queue.onDue { continuation.yield($0) }
        folder.remove("calls.sqlite")
        try FileManager.default.copyItem(
            atPath: "\(sound.path)/calls.sqlite",
            toPath: "\(folder.path)/calls.sqlite.new"
        )
        rename("\(folder.path)/calls.sqlite.new", "\(folder.path)/calls.sqlite")
        var iterator = events.makeAsyncIterator()
        #expect(await iterator.next() == function)
        #expect(try await queue.take(from: function, atMost: 1, lease: .seconds(60)).calls.first?.lease.id == "waits")
        await queue.close()
    }

    @Test func `a file of a newer version stops the start and is left alone`() async throws {
        await (try open(folder)).close()
        let database = try DatabaseQueue(path: "\(folder.path)/calls.sqlite")
        try await database.write { try $0.execute(sql: "PRAGMA user_version = 99") }
        try database.close()
        let before = folder.contents
        let fault = #expect(throws: PlatformFault.self) { _ = try open(folder) }
        #expect(fault?.code == .badSettings && fault?.message.contains("newer Martlet") == true)
        #expect(folder.contents == before)
    }

    @Test func `a file of the version before is brought up to date, and a copy of it is kept`() async throws {
        let old = try DatabaseQueue(path: "\(folder.path)/calls.sqlite")
        try await old.write { database in
            try database.execute(sql: QueueSchema.steps[0])
            try database.execute(
                sql: """
                    PRAGMA user_version = 1;
                    INSERT INTO calls (seq, id, call_id, function, state, method, path, created_at, not_before, delayed_by)
                    VALUES (1, 'old', 'old', 'fn.openfaas-fn', 0, 'POST', '', 0, 0, 0);
                    INSERT INTO requests (seq, client, fields) VALUES (1, '', X'');
                    INSERT INTO counters VALUES ('fn.openfaas-fn', 1, 0, 0, 0, 0, 0);
                    """
            )
        }
        try old.close()
        let queue = try open(folder)
        #expect(try await queue.accept(NewCall(function: function, callID: "new")).id == "new")
        let taken = try await queue.take(from: function, atMost: 5, lease: .seconds(60)).calls
        #expect(taken.map(\.lease.id) == ["old", "new"])
        #expect(await queue.counts().total.drift == 0)
        await queue.close()
        #expect(FileManager.default.fileExists(atPath: "\(folder.path)/calls.sqlite.schema-1"))
    }

    @Test func `a task that is cancelled is told so, and not of a queue that fails`() async throws {
        let queue = try open(folder)
        let fault = await Task { () -> PlatformFault? in
            withUnsafeCurrentTask { $0?.cancel() }
            do throws(PlatformFault) { _ = try await queue.call("any") } catch { return error }
            return nil
        }.value
        #expect(fault?.code == .shuttingDown)
        await queue.close()
    }

    @Test func `bodies that no call belongs to are removed at the start, the others are not`() async throws {
        let queue = try open(folder)
        let body = ByteBuffer(repeating: 1, count: 100_000)
        _ = try await queue.accept(NewCall(function: function, body: body, callID: "large"))
        await queue.close()
        folder.write("spill/orphan", "left behind by a crash")
        let again = try open(folder)
        #expect(!FileManager.default.fileExists(atPath: "\(folder.path)/spill/orphan"))
        let taken = try await again.take(from: function, atMost: 1, lease: .seconds(60)).calls
        #expect(taken.first?.call.body == body)
        await again.close()
    }

    @Test func `a call whose body is gone is dead, and keeps no other from being carried out`() async throws {
        let queue = try open(folder)
        let body = ByteBuffer(repeating: 1, count: 100_000)
        _ = try await queue.accept(NewCall(function: function, body: body, callID: "large"))
        _ = try await queue.accept(NewCall(function: function, callID: "behind"))
        for name in try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/spill") {
            folder.remove("spill/\(name)")
        }
        let taken = try await queue.take(from: function, atMost: 5, lease: .seconds(60)).calls
        #expect(taken.map(\.lease.id) == ["behind"])
        #expect(try await eventually { try await queue.call("large")?.state == .dead })
        #expect(try await queue.call("large")?.deadReason?.contains("not in the data directory") == true)
        await queue.close()
    }
}
