// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import Logging
import NATSClient
import NIOCore
import NIOFoundationCompat
import ProcessControl
import QueueContract
import Synchronization

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

        /// Whether all numbers are such as somebody has counted.
        var isSound: Bool {
            max(position, floor) <= UInt64(Int64.max) / 2
                && rows.allSatisfy { ([$0.accepted] + $0.states.values).allSatisfy(OutsideNumber.isCount) }
        }
    }

    private struct Counted {
        var counts: [FunctionID: CallCounts] = [:]
        var position: UInt64 = 0
        var floor: UInt64 = 1
    }

    /// Where to begin to read the log.
    func start() async throws(PlatformFault) -> LogFollower.Start {
        // In this order: the log is never shorter than what was counted before, unless it has lost its end.
        let counted = try await readCounts()
        guard let last = try await streams.information(streams.log, on: server)?.state.lastSeq else {
            throw PlatformFault(.storageUnavailable, "The stream \(streams.log) is gone from the NATS server.")
        }
        let isTorn = counted.position > last
        let index = CallIndex(
            counts: counted.counts,
            counted: min(counted.position, last),
            // What has ended in the part that is lost is open again, wherever it began.
            position: isTorn ? 0 : counted.floor - 1,
            isTorn: isTorn
        )
        return LogFollower.Start(index: index, counted: min(counted.position, last), last: last)
    }

    /// The counts as somebody noted them last.
    private func readCounts() async throws(PlatformFault) -> Counted {
        guard let found = try await server.last(of: streams.countsSubject, in: streams.state),
            let stored = try? JSONDecoder().decode(StoredCounts.self, from: found.payload), stored.isSound
        else { return Counted() }
        var counted = Counted(position: stored.position, floor: max(1, stored.floor))
        for row in stored.rows {
            var counts = CallCounts()
            counts.accepted = row.accepted
            for (state, count) in row.states { counts[CallState(rawValue: state)] = count }
            counted.counts[FunctionID(name: row.name, namespace: row.namespace)] = counts
        }
        return counted
    }

    /// Notes the counts, unless somebody has noted later ones.
    ///
    /// Returns up to where everything is counted, wherever that was noted; nil where it could not be.
    func writeCounts(_ follower: LogFollower) async -> UInt64? {
        guard follower.isCaughtUp else { return nil }
        let (stored, isTorn) = follower.withIndex { index in
            let stored = StoredCounts(
                position: index.position,
                floor: min(index.floor, index.position + 1),
                rows: index.counts.map { function, counts in
                    StoredCounts.Row(
                        namespace: function.namespace,
                        name: function.name,
                        accepted: counts.accepted,
                        states: Dictionary(
                            uniqueKeysWithValues: (CallState.known + counts.others.keys).map {
                                ($0.rawValue, counts[$0])
                            }
                        )
                    )
                }
            )
            return (stored, index.isTorn)
        }
        do throws(PlatformFault) {
            let found = try await server.last(of: streams.countsSubject, in: streams.state)
            let old = found.flatMap { try? JSONDecoder().decode(StoredCounts.self, from: $0.payload) }
            guard isTorn || stored.position > old?.position ?? 0 else { return stored.position }
            let outcome = try await server.publish(
                JetStreamServer.Message(
                    subject: streams.countsSubject,
                    id: freshMessageID(),
                    expected: found?.sequence ?? 0,
                    payload: (try? JSONEncoder().encode(stored)).map { ByteBuffer(data: $0) } ?? ByteBuffer()
                )
            )
            guard outcome != .overtaken else { return nil }
            if isTorn { follower.withIndex { $0.countsNoted() } }
            return stored.position
        } catch {
            logger.warning("the counts of the queue were not noted", metadata: ["why": "\(error)"])
            return nil
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
                LogEntry(.carried, from: line.facts.state, line.facts),
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
            let word = found.map { String(buffer: $0.payload) }
            let hasLeft = word?.hasPrefix(Self.left) == true
            let owner = hasLeft ? word.map { String($0.dropFirst(Self.left.count)) } : word
            if let owner, !hasLeft, await isThere(owner) { continue }
            let message = JetStreamServer.Message(
                subject: subject,
                id: freshMessageID(),
                expected: found?.sequence ?? 0,
                payload: ByteBuffer(string: incarnation)
            )
            switch try await server.publish(message) {
            case .kept(let sequence), .keptBefore(let sequence):
                name.withLock { $0 = (subject, sequence) }
                return owner
            case .overtaken: continue
            }
        }
        throw PlatformFault(.storageUnavailable, "A thousand workers are named \(settings.worker) already.")
    }

    /// What stands before an owner that has said its farewell.
    private static let left = "left "

    /// Says that the name is anybody's, so that a successor need not make sure that nobody is there.
    func leaveName() async {
        guard let (subject, sequence) = name.withLock({ $0 }), server.connection.isConnected else { return }
        let message = JetStreamServer.Message(
            subject: subject,
            id: freshMessageID(),
            expected: sequence,
            payload: ByteBuffer(string: Self.left + incarnation)
        )
        _ = try? await server.publish(message)
    }

    private func isThere(_ incarnation: String) async -> Bool {
        if case .gone = await presence(of: incarnation) { return false }
        return true
    }

    /// What a worker says when it is asked whether it is there, and has a request.
    enum Presence {
        /// Nobody is there: the server itself says that nobody listens.
        case gone
        /// It is there, and has the request or not.
        case answers(hasRequest: Bool)
        /// It says nothing.
        case silent
    }

    /// After a restart of the server the others come back within this time.
    private static let timeToReturn = Duration.seconds(2)

    func presence(of incarnation: String, request: UInt64 = 0) async -> Presence {
        let answer = await presenceNow(of: incarnation, request: request)
        guard case .gone = answer, server.connectedFor < Self.timeToReturn else { return answer }
        // We may only be the first to be back.
        try? await Task.sleep(for: Self.timeToReturn - server.connectedFor)
        return await presenceNow(of: incarnation, request: request)
    }

    private func presenceNow(of incarnation: String, request: UInt64) async -> Presence {
        let answer = await ask(incarnation, request)
        guard case .silent = answer else { return answer }
        // A question gets lost with a connection that ends in that moment; by now the server knows that it is gone.
        return await ask(incarnation, request)
    }

    private func ask(_ incarnation: String, _ request: UInt64) async -> Presence {
        do throws(NATSFailure) {
            let question = ByteBuffer(string: String(request))
            let subject = streams.presenceSubject(incarnation)
            let answer = try await server.connection.request(subject, question, within: .seconds(1))
            return .answers(hasRequest: answer.payload == Self.hasRequest)
        } catch {
            if case .nobodyListens = error { return .gone }
            return .silent
        }
    }

    private static let hasRequest = ByteBuffer(string: "yes")

    func answerPresence(_ question: NATSMessage) {
        guard let reply = question.reply else { return }
        let request = UInt64(String(buffer: question.payload)) ?? 0
        let isOurs =
            claims.withLock { $0.contains(request) }
            || held.withLock { $0.all.values.contains { $0.facts.request == request } }
        try? server.connection.publish(reply, isOurs ? Self.hasRequest : ByteBuffer(string: "no"))
    }

    /// Lets go of what a predecessor had in flight when it ended.
    func takeOver(from predecessor: String, _ follower: LogFollower) async {
        let left = follower.withIndex { index in
            index.entries.filter { $0.value.facts.worker == predecessor }.map { (id: $0.key, entry: $0.value) }
        }
        if !left.isEmpty { logger.info("carrying on what was in flight", metadata: ["calls": "\(left.count)"]) }
        let death = marker?.lastDeath
        if let death {
            let suspects = left.filter { death.entries.contains(Int64(clamping: $0.entry.last)) }.map(\.id)
            trial.withLock { $0 = CrashTrial(Set(suspects)) }
            logger.error(
                "the last life of this worker ended by a fault of its own",
                metadata: ["signal": "\(death.signal)", "calls in flight": "\(death.total)"]
            )
        }
        let isCounted =
            (try? await eachOf(left) { [self] call throws(PlatformFault) in
                guard let line = call.entry.facts.letGo() else { return }
                var note = LogDetails()
                if wasAlone(call.entry.last, at: death) {
                    if try await giveUp(call.id, call.entry) { return trial.withLock { $0.ended(call.id) } }
                    note.deaths = 1
                }
                let taken = try await server.message(call.entry.last, in: streams.log)
                guard try await write(line, note, of: call.id, expected: call.entry.last) != nil else { return }
                let details = taken.flatMap { try? JSONDecoder().decode(LogDetails.self, from: $0.payload) }
                if let subject = details?.acknowledge { Acknowledgement.again.send(subject, over: server.connection) }
            }) != nil
        // What could not be counted is counted at the next start.
        if isCounted { marker?.clear() }
    }
}
