// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import FunctionModel
import NATSClient
import NIOCore
public import QueueContract
import Synchronization

/// Counts from many tasks.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .relaxed) }
    func add() { count.add(1, ordering: .relaxed) }
}

extension JetStreamQueue {
    /// Calls by their properties, newest first.
    public func calls(_ query: CallQuery) async throws(PlatformFault) -> CallPage {
        let before: UInt64
        if let cursor = query.cursor {
            guard let place = UInt64(cursor), place > 0 else { throw PlatformFault.badCursor(cursor) }
            before = place
        } else {
            before = .max
        }
        let follower = try await upToDate()
        if let state = query.state, !state.isFinished { return try await open(state, query, before, follower) }
        return try await all(query, before, follower)
    }

    /// Calls that are not over are all in the index.
    private func open(
        _ state: CallState,
        _ query: CallQuery,
        _ before: UInt64,
        _ follower: LogFollower
    ) async throws(PlatformFault) -> CallPage {
        let found = follower.withIndex { $0.open(state) }
            .filter { $0.entry.facts.number < before && Self.matches(query, $0.entry.facts) }
            .sorted { $0.entry.facts.number > $1.entry.facts.number }
        let calls = try await records(found.prefix(query.limit).map(\.id)).compactMap(\.self)
        let isMore = found.count > query.limit
        return CallPage(calls: calls, next: isMore ? String(found[query.limit - 1].entry.facts.number) : nil)
    }

    /// The records of calls, in their order, nil for one that is forgotten.
    private func records(_ ids: [String]) async throws(PlatformFault) -> [CallRecord?] {
        let found = Mutex([CallRecord?](repeating: nil, count: ids.count))
        try await eachOf(Array(ids.enumerated())) { [self] place, id throws(PlatformFault) in
            guard let (stored, line) = try await look(id) else { return }
            let record = record(id, stored, line)
            found.withLock { $0[place] = record }
        }
        return found.withLock { $0 }
    }

    private static func matches(_ query: CallQuery, _ facts: CallStanding) -> Bool {
        (query.function == nil || facts.function == query.function)
            && (query.since.map { facts.acceptedAt >= $0 } ?? true)
    }

    /// Reads the log from its end; a page is cut short rather than reading on and on for the last ones.
    private func all(
        _ query: CallQuery,
        _ before: UInt64,
        _ follower: LogFollower
    ) async throws(PlatformFault) -> CallPage {
        var calls: [CallRecord] = []
        var end = before == .max ? follower.withIndex { $0.position } : before - 1
        // What calls have become, as far as was read: all that is behind the end, on the first page.
        var states: [String: CallState] = [:]
        for _ in 0..<Self.mostWindows {
            guard let (window, start) = try await window(endingAt: end) else {
                return CallPage(calls: calls, next: nil)
            }
            var found: [(id: String, sequence: UInt64)] = []
            for (id, sequence, line) in window.reversed() {
                if before == .max, states[id] == nil { states[id] = line.facts.state }
                let isOther = states[id].map { query.state != nil && $0 != query.state } ?? false
                guard line.event == .accepted, !isOther, Self.matches(query, line.facts) else { continue }
                found.append((id, sequence))
            }
            // A few at a time, so that not many more are looked up than fit on the page.
            while !found.isEmpty {
                let some = found.prefix(query.limit - calls.count + 1)
                found.removeFirst(some.count)
                for (record, entry) in zip(try await records(some.map(\.id)), some) {
                    guard let record, query.state == nil || record.state == query.state else { continue }
                    if calls.count == query.limit { return CallPage(calls: calls, next: String(end + 1)) }
                    calls.append(record)
                    end = entry.sequence - 1
                }
            }
            end = start - 1
        }
        return CallPage(calls: calls, next: String(end + 1))
    }

    /// Most windows of the log that one page is looked for in.
    private static let mostWindows = 64
    /// Entries of one window.
    private static let windowSize: UInt64 = 4096

    // MARK: Reading streams

    /// The entries of the log up to a sequence, those of one window; nil when there are none.
    func window(
        endingAt end: UInt64
    ) async throws(PlatformFault) -> (entries: [(id: String, sequence: UInt64, line: LogEntry)], start: UInt64)? {
        guard end > 0, let first = try await streams.information(streams.log, on: server)?.state.firstSeq, first <= end
        else { return nil }
        let start = max(first, end >= Self.windowSize ? end - Self.windowSize + 1 : 1)
        let entries = try await read(streams.log, from: start, to: end).compactMap { message, sequence in
            streams.id(ofLog: message.subject).flatMap { id in
                message.headers[0].flatMap { LogEntry($0) }.map { (id: id, sequence: sequence, line: $0) }
            }
        }
        return (entries, start)
    }

    /// The ids that a stream has something of.
    func ids(inStream stream: String) async throws(PlatformFault) -> [String] {
        guard let state = try await streams.information(stream, on: server)?.state, state.messages > 0 else {
            return []
        }
        let messages = try await read(stream, from: state.firstSeq, to: state.lastSeq)
        return messages.compactMap { streams.id(ofLog: $0.message.subject) }
    }

    /// The messages of a stream in a range, without their bodies.
    private func read(
        _ stream: String,
        from start: UInt64,
        to end: UInt64
    ) async throws(PlatformFault) -> [(message: NATSMessage, sequence: UInt64)] {
        let inbox = server.connection.makeInbox()
        let (messages, continuation) = AsyncStream.makeStream(of: NATSMessage.self)
        let subscription: NATSSubscription
        do throws(NATSFailure) {
            subscription = try server.connection.subscribe(to: inbox, headers: [LogEntry.header]) {
                continuation.yield($0)
            }
        } catch { throw PlatformFault(.storageUnavailable, "The NATS server hangs up.", cause: error) }
        defer { subscription.end() }
        let reader = ConsumerSettings.reader(freshMessageID(), from: start, to: inbox)
        guard try await server.makeConsumer(reader, of: stream).numPending > 0 else { return [] }
        // Unowned: cancelled before this returns.
        let alarm = Task {
            if (try? await Task.sleep(for: .seconds(10))) != nil { continuation.finish() }
        }
        defer { alarm.cancel() }
        var found: [(message: NATSMessage, sequence: UInt64)] = []
        for await message in messages {
            guard let delivery = Delivery(message.reply) else { continue }
            if delivery.sequence <= end { found.append((message, delivery.sequence)) }
            if delivery.sequence >= end || delivery.pending == 0 { return found }
        }
        throw PlatformFault(.storageUnavailable, "The NATS server does not deliver what is in \(stream).")
    }
}
