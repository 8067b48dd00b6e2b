// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Logging
import NIOCore
import QueueContract
import SQLiteQueue
import SystemClient
import TestSupport
import Testing

/// What is left of the promise of a 202 when the power goes.
///
/// The real binary is recorded under load; then the disk is worked out as it would be after a power cut at many moments,
/// and the queue is opened on each.
@Suite(.serialized)
struct PowerLossTests {
    private let folder = TemporaryFolder()
    private static let function = FunctionID(name: "cat", namespace: "openfaas-fn")

    /// `MARTLET_TEST_POWER_CUTS` makes it longer.
    private static let cuts =
        ProcessInfo.processInfo.environment["MARTLET_TEST_POWER_CUTS"].flatMap { Int($0) } ?? 60

    @Test(arguments: [0, slowSync])
    func `after a power cut at any moment every 202 is kept, whole, and every success seen is one`(
        syncDelay: Int
    ) async throws {
        let log = try await record(syncDelay: syncDelay)
        #expect(syncDelay == 0 || log.hasOverlappingSyncs)
        let broken = try await cutPower(log, Self.cuts)
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    @Test
    func
        `the simulation catches a queue that writes its journal over before the tables are synced (synchronous=NORMAL)`()
        async throws
    {
        let broken = try await cutPower(try await record(ignoring: "-wal"), Self.cuts, stopAtFirst: true)
        #expect(!broken.isEmpty)
    }

    @Test func `the simulation catches a queue that answers before its journal is synced`() async throws {
        let broken = try await cutPower(try await record(ignoring: "/calls.journal-a"), Self.cuts, stopAtFirst: true)
        #expect(!broken.isEmpty)
    }

    @Test func `the simulation catches a queue that does not sync the names of large bodies`() async throws {
        let broken = try await cutPower(try await record(ignoring: "/spill"), Self.cuts, stopAtFirst: true)
        #expect(!broken.isEmpty)
    }

    @Test(arguments: [("sync", 0), ("sync", slowSync), ("once", slowSync)])
    func `nothing is promised on top of a failed sync unless it was written again`(
        fault: String,
        syncDelay: Int
    ) async throws {
        let log = try await record(fault: fault, syncDelay: syncDelay)
        #expect(log.records.contains { $0.kind == "F" }, "no sync has failed")
        let broken = try await cutPower(log, Self.cuts)
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    // MARK: Recording

    /// Microseconds with which syncs of the journal overlap.
    private static let slowSync = 4000

    /// Small bodies live in the database, every seventh is a file.
    private static func body(_ id: String) -> String {
        String(repeating: "\(id) ", count: isLarge(id) ? 12_000 : 20)
    }

    private static func isLarge(_ id: String) -> Bool {
        id.split(separator: "-").last.flatMap { Int($0) }?.isMultiple(of: 7) ?? false
    }

    /// Records the platform under load; a fault is what the recorder lets happen now and then, and a sync lasts longer by
    /// some microseconds.
    private func record(
        ignoring ignored: String = "",
        fault: String? = nil,
        syncDelay: Int = 0
    ) async throws -> DiskLog {
        let log = "\(folder.path)/log"
        let recorder = RunningProgram.folder.appendingPathComponent("libPowerLossRecorder.so").path
        let martlet = try await RunningMartlet(
            dataDirectory: "\(folder.path)/data",
            environment: [
                "LD_PRELOAD": recorder, "POWERLOSS_ROOT": "\(folder.path)/data", "POWERLOSS_LOG": log,
                "POWERLOSS_IGNORE": ignored, "POWERLOSS_FAULT": "\(folder.path)/fault",
                "POWERLOSS_SYNC_DELAY": "\(syncDelay)",
            ]
        )
        try await martlet.client.create(FunctionDeployment(service: "cat", image: "host", envProcess: "cat"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 0..<4 {
                group.addTask { [folder] in
                    for number in 0..<40 {
                        let id = "c\(client)-\(number)"
                        // Half of them wait for ever, so that what they carry can be looked at.
                        let delay = number.isMultiple(of: 2) ? [("X-Delay", "10h")] : []
                        if let fault, client == 0, number % 10 == 5 { folder.write("fault", fault) }
                        var answer = (status: 0, headers: ["": ""], body: "")
                        _ = try await eventually {
                            answer = try await martlet.ask(
                                "POST",
                                "/async-function/cat",
                                Self.body(id),
                                headers: [("X-Call-Id", id)] + delay,
                                withLogin: false
                            )
                            if answer.status == 503 { folder.remove("fault") }
                            return answer.status != 503
                        }
                        try #require(answer.status == 202)
                    }
                }
            }
            group.addTask {
                for _ in 0..<8 {
                    // Refused while a sync has just failed.
                    let done = try? await martlet.client.calls(
                        function: nil,
                        state: "succeeded",
                        since: nil,
                        limit: 1000,
                        cursor: nil
                    )
                    for call in done?.calls ?? [] { DiskLog.append("S", call.id, to: log) }
                }
            }
            try await group.waitForAll()
        }
        await martlet.kill()
        return try DiskLog(path: log)
    }

    // MARK: Cutting

    /// Cuts the power at many moments; returns what was broken.
    private func cutPower(_ log: DiskLog, _ cuts: Int, stopAtFirst: Bool = false) async throws -> [String] {
        var random = SeededGenerator()
        let first = log.records.firstIndex { Self.promise($0) != nil } ?? 0
        let moments = (0..<cuts).map { _ in Int.random(in: first..<log.records.count, using: &random) }.sorted()
        var disk = SimulatedDisk()
        var (next, promised, succeeded): (Int, Set<String>, Set<String>) = (0, [], [])
        var broken: [String] = []
        for moment in moments {
            while next <= moment {
                let record = log.records[next]
                disk.apply(record)
                if let id = Self.promise(record) { promised.insert(id) }
                if record.kind == "S" { succeeded.insert(record.text) }
                next += 1
            }
            let left = TemporaryFolder()
            try disk.cutPower(into: left, &random)
            if let problem = try await examine(left, promised, succeeded) {
                broken.append("cut behind record \(moment) of \(log.records.count): \(problem)")
                if stopAtFirst { return broken }
            }
        }
        #expect(promised.count > 100, "only \(promised.count) calls were accepted")
        return broken
    }

    /// The id of a call that a record promises to carry out.
    private static func promise(_ record: DiskLog.Record) -> String? {
        guard record.kind == "P", record.bytes.starts(with: Array("HTTP/1.1 202".utf8)) else { return nil }
        let line = record.text.split(separator: "\r\n").first { $0.hasPrefix("X-Martlet-Call-Id: ") }
        return line.map { String($0.dropFirst("X-Martlet-Call-Id: ".count)) }
    }

    /// What is wrong with what a power cut left; nil when nothing is.
    private func examine(
        _ left: TemporaryFolder,
        _ promised: Set<String>,
        _ succeeded: Set<String>
    ) async throws -> String? {
        let queue = try SQLiteQueue(
            folder: left.path,
            logger: Logger(label: "queue") { _ in SwiftLogNoOpLogHandler() }
        )
        let problem = try await examine(queue, promised, succeeded)
        await queue.close()
        return problem
    }

    private func examine(
        _ queue: SQLiteQueue,
        _ promised: Set<String>,
        _ succeeded: Set<String>
    ) async throws -> String? {
        if let problem = queue.problem { return "the database cannot be opened: \(problem)" }
        var expected: Set<String> = []
        for id in promised {
            guard let call = try await queue.call(id) else { return "\(id) was promised and is gone" }
            if succeeded.contains(id), call.state != .succeeded { return "\(id) had succeeded and is \(call.state)" }
            if call.state == .waiting, Self.isLarge(id) {
                // Its time has not come; sent again it is due at once, so that its body can be looked at.
                try await queue.cancel(id)
                try await queue.sendAgain(id)
                expected.insert(call.callID)
            }
        }
        let counts = await queue.counts().total
        if counts.drift != 0 { return "the count is off by \(counts.drift)" }
        do {
            while true {
                let calls = try await queue.take(from: Self.function, atMost: 50, lease: .seconds(60)).calls
                if calls.isEmpty { break }
                for call in calls where String(buffer: call.call.body) != Self.body(call.call.callID) {
                    return "the body of \(call.lease.id) is not what was sent"
                }
                expected.subtract(calls.map(\.call.callID))
            }
        } catch {
            return "calls cannot be taken: \(error)"
        }
        return expected.isEmpty ? nil : "cannot be carried out any more: \(expected)"
    }
}
