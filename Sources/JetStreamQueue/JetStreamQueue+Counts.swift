// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import Logging
import NATSClient
import NIOCore
import NIOFoundationCompat
import QueueContract

extension JetStreamQueue {
    /// The counts at a point of the log, so that nobody has to read it from its beginning.
    private struct StoredCounts: Codable {
        struct Row: Codable {
            var namespace: String
            var name: String
            var accepted: Int
            var states: [String: Int]
        }
        /// The entry up to which everything is counted.
        var position: UInt64
        /// The entry from which the log has to be read to know the calls that are not over.
        var floor: UInt64
        var rows: [Row]
    }

    struct Counted {
        var counts: [FunctionID: CallCounts] = [:]
        var position: UInt64 = 0
        var floor: UInt64 = 1
    }

    /// The counts as somebody noted them last.
    func readCounts() async throws(PlatformFault) -> Counted {
        guard let found = try await server.last(of: streams.countsSubject, in: streams.state),
            let stored = try? JSONDecoder().decode(StoredCounts.self, from: found.payload)
        else { return Counted() }
        var counted = Counted(position: stored.position, floor: max(1, stored.floor))
        for row in stored.rows {
            var counts = CallCounts()
            counts.accepted = row.accepted
            for (state, count) in row.states { CallState(rawValue: state).map { counts[$0] = count } }
            counted.counts[FunctionID(name: row.name, namespace: row.namespace)] = counts
        }
        return counted
    }

    /// Notes the counts, unless somebody has noted later ones.
    func writeCounts(_ follower: LogFollower) async {
        let stored = follower.withIndex { index in
            StoredCounts(
                position: index.position,
                floor: min(index.floor, index.position + 1),
                rows: index.counts.map { function, counts in
                    StoredCounts.Row(
                        namespace: function.namespace,
                        name: function.name,
                        accepted: counts.accepted,
                        states: Dictionary(uniqueKeysWithValues: CallState.allCases.map { ($0.rawValue, counts[$0]) })
                    )
                }
            )
        }
        do throws(PlatformFault) {
            let found = try await server.last(of: streams.countsSubject, in: streams.state)
            let old = found.flatMap { try? JSONDecoder().decode(StoredCounts.self, from: $0.payload) }
            guard stored.position > old?.position ?? 0, let payload = try? JSONEncoder().encode(stored) else { return }
            _ = try await server.publish(
                JetStreamServer.Message(
                    subject: streams.countsSubject,
                    id: freshMessageID(),
                    expected: found?.sequence ?? 0,
                    payload: ByteBuffer(data: payload)
                )
            )
        } catch {
            logger.warning("the counts of the queue were not noted", metadata: ["why": "\(error)"])
        }
    }

    /// Says again what holds of calls that wait for long.
    ///
    /// So older entries of the log need not be read again, and may be thrown away by age. Only where that is little
    /// beside what it spares.
    func carryOn(_ follower: LogFollower) async {
        let oldest = Timestamp.now().earlier(by: settings.queue.callRetention / 2)
        let old = follower.withIndex { index -> [(id: String, entry: CallIndex.Entry)] in
            let floor = index.floor
            let span = floor <= index.position ? Int(index.position + 1 - floor) : 0
            let isWorthIt = span > 100_000 && index.entries.count < span / 4
            let border = index.position > 50_000 ? index.position - 50_000 : 0
            return index.entries.filter { isWorthIt && $0.value.last < border || $0.value.lastAt < oldest }
                .prefix(10_000).map { ($0.key, $0.value) }
        }
        try? await eachOf(old) { [self] call throws(PlatformFault) in
            guard let (stored, line) = try await look(call.id), stored.last == call.entry.last else { return }
            // Whoever has it would not know its lease by the new entry.
            guard line.facts.state != .running, line.facts.callback != .taken else { return }
            var details = LogDetails()
            details.all = stored
            _ = try await write(
                LogLine(.carried, from: line.facts.state, line.facts),
                details,
                of: call.id,
                expected: stored.last
            )
        }
    }

    // MARK: Names

    /// Makes this worker's name its own; returns who had it before and is gone.
    ///
    /// A name whose owner answers is taken: the next one with a number behind it is tried.
    func takeName() async throws(PlatformFault) -> String? {
        for number in 1...1000 {
            let subject = streams.workerSubject(number == 1 ? settings.worker : "\(settings.worker)-\(number)")
            let found = try await server.last(of: subject, in: streams.state)
            let owner = found.map { String(buffer: $0.payload) }
            if let owner, await isThere(owner) { continue }
            let message = JetStreamServer.Message(
                subject: subject,
                id: freshMessageID(),
                expected: found?.sequence ?? 0,
                payload: ByteBuffer(string: incarnation)
            )
            guard case .overtaken = try await server.publish(message) else { return owner }
        }
        throw PlatformFault(.storageUnavailable, "A thousand workers are named \(settings.worker) already.")
    }

    private func isThere(_ incarnation: String) async -> Bool {
        do throws(NATSFailure) {
            _ = try await server.connection.request(streams.presenceSubject(incarnation), within: .seconds(1))
            return true
        } catch {
            // Only when the server itself says that nobody listens is it sure that nobody is there.
            if case .nobodyListens = error { return false }
            return true
        }
    }

    /// Lets go of what a predecessor had under way when it ended.
    func takeOver(from predecessor: String, _ follower: LogFollower) async {
        let left = follower.withIndex { index in
            index.entries.filter { $0.value.facts.worker == predecessor }.map { (id: $0.key, entry: $0.value) }
        }
        if !left.isEmpty { logger.info("carrying on what was under way", metadata: ["calls": "\(left.count)"]) }
        try? await eachOf(left) { [self] call throws(PlatformFault) in
            guard let line = call.entry.facts.letGo() else { return }
            let taken = try await server.message(call.entry.last, in: streams.log)
            guard try await write(line, of: call.id, expected: call.entry.last) != nil else { return }
            let details = taken.flatMap { try? JSONDecoder().decode(LogDetails.self, from: $0.payload) }
            if let subject = details?.acknowledge { Acknowledgement.again.send(subject, over: server.connection) }
        }
    }
}
