// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NATSClient
import QueueContract
import Synchronization

/// Reads the log of the queue as it grows, whoever writes it, and keeps the index of it.
final class LogFollower: Sendable {
    /// What the server knew when somebody began to read.
    struct Start: Sendable {
        /// The counts that were noted last, and where to read on from them.
        let index: CallIndex
        /// The entry up to which they count.
        let counted: UInt64
        /// The log's last entry.
        let last: UInt64
    }

    /// What there is to be told.
    enum Change: Sendable {
        case news([CallIndex.News])
        /// The log ends before what was read already: its server has lost what came later.
        case shortened(to: UInt64)
        /// What was known was thrown away and read anew; news may have been missed.
        case readAnew
    }

    private struct State {
        var index = CallIndex(counts: [:], counted: 0, position: 0)
        var consumers = 0
        /// The present consumer; what comes from earlier ones is late.
        var consumer = ""
        var isBeginning = false
        var subscription: NATSSubscription?
        var place: UInt64 = 0
        var isCaughtUp = false
        var isReadAnew = false
        /// What was read last, to see whether the server still has the same there.
        var lastRead: (sequence: UInt64, line: LogEntry)?
        /// Up to where the counts were known at the beginning.
        var counted: UInt64 = 0
        /// The last entry before the first one that was missing: perhaps thrown away before it was read.
        var gap: UInt64?
        var gapAt = ContinuousClock.now
        var heardAt = ContinuousClock.now
        var waiters: [Waiter] = []
    }

    private struct Waiter {
        let sequence: UInt64
        let deadline: ContinuousClock.Instant
        let continuation: CheckedContinuation<Void, Never>
    }

    private let server: JetStreamServer
    private let streams: Streams
    private let inbox: String
    private let incarnation: String
    private let state = Mutex(State())
    private let start: @Sendable () async throws(PlatformFault) -> Start
    private let changed: @Sendable (Change) -> Void
    /// The consumer is made anew behind a silence longer than this.
    private static let longestSilence = Duration.seconds(6)

    /// `start` asks the server where to begin; `changed` hears what the log says, once all that is there was read.
    init(
        _ server: JetStreamServer,
        _ streams: Streams,
        incarnation: String,
        start: @escaping @Sendable () async throws(PlatformFault) -> Start,
        changed: @escaping @Sendable (Change) -> Void
    ) {
        self.server = server
        self.streams = streams
        self.incarnation = incarnation
        self.start = start
        self.changed = changed
        inbox = server.connection.makeInbox()
    }

    /// Begins to read, and returns when everything that is there was read.
    func open() async throws(PlatformFault) {
        try await follow()
        while !state.withLock({ $0.isCaughtUp }) {
            guard (try? await Task.sleep(for: .milliseconds(2))) != nil else { return }
            try await followAgainIfSilent()
        }
    }

    /// Lets the server deliver what comes behind the last entry that was read.
    ///
    /// All is read anew where that entry is not to be trusted: others have thrown away what came behind it, or the
    /// server has lost it.
    func follow() async throws(PlatformFault) {
        let position = state.withLock { state -> UInt64? in
            // Somebody does so already.
            guard !state.isBeginning else { return nil }
            state.isBeginning = true
            state.heardAt = .now
            return state.index.position
        }
        guard let position else { return }
        defer { state.withLock { $0.isBeginning = false } }
        let isReplaced = try await isReplaced()
        let start = try await start()
        let isShorter = start.last < position || isReplaced
        if isShorter { changed(.shortened(to: start.last)) }
        let (name, first) = state.withLock { state in
            if isShorter || start.counted > state.gap ?? state.index.position {
                state.index = start.index
                state.counted = start.counted
                state.lastRead = nil
                state.isReadAnew = state.isReadAnew || state.consumers > 0
                state.isCaughtUp = false
            }
            state.gap = nil
            state.consumers += 1
            state.consumer = "\(incarnation)-\(state.consumers)"
            state.place = 0
            return (state.consumer, state.index.position + 1)
        }
        try subscribe(name)
        var settings = ConsumerSettings.reader(name, from: first, to: "\(inbox).\(name)")
        settings.flowControl = true
        settings.idleHeartbeat = 2_000_000_000
        if try await server.makeConsumer(settings, of: streams.log).numPending == 0 {
            let isReadAnew = state.withLock { Self.catchUp(&$0) }
            if isReadAnew { changed(.readAnew) }
        }
    }

    /// Whether the log's entry that was read last is another one now: its server has lost the end, and others have
    /// written since.
    private func isReplaced() async throws(PlatformFault) -> Bool {
        guard let last = state.withLock({ $0.lastRead }),
            let found = try await server.message(last.sequence, in: streams.log)
        else { return false }
        return found.header(LogEntry.header).flatMap { LogEntry($0) } != last.line
    }

    /// Ends reading for good.
    func close() {
        let last = state.withLock { state in
            state.consumer = ""
            defer { state.subscription = nil }
            return state.subscription
        }
        last?.end()
    }

    /// Everything that is there was read; returns whether that was once more.
    private static func catchUp(_ state: inout State) -> Bool {
        guard !state.isCaughtUp else { return false }
        state.isCaughtUp = true
        state.index.mend()
        defer { state.isReadAnew = false }
        return state.isReadAnew
    }

    /// Listens for a consumer's messages, by its very subject: some servers do not deliver to wildcards.
    private func subscribe(_ name: String) throws(PlatformFault) {
        do throws(NATSFailure) {
            let headers = [LogEntry.header, "Nats-Consumer-Stalled", "Nats-Last-Consumer"]
            let next = try server.connection.subscribe(to: "\(inbox).\(name)", headers: headers) { [weak self] in
                self?.take($0)
            }
            let last = state.withLock { state in
                defer { state.subscription = next }
                return state.subscription
            }
            last?.end()
        } catch {
            throw PlatformFault(.storageUnavailable, "The NATS server hangs up.", cause: error)
        }
    }

    /// To be called now and then: the consumer may be gone with its server.
    func followAgainIfSilent() async throws(PlatformFault) {
        let now = ContinuousClock.now
        let (isSilent, overdue) = state.withLock { state in
            let overdue = state.waiters.filter { $0.deadline <= now }
            state.waiters.removeAll { $0.deadline <= now }
            // Whether what is missing was thrown away before it was read is asked once all is read, and not all the time.
            let isDoubtful = state.gap != nil && state.isCaughtUp && now - state.gapAt > .seconds(2)
            return (isDoubtful || now - state.heardAt > Self.longestSilence, overdue)
        }
        for waiter in overdue { waiter.continuation.resume() }
        if isSilent { try await follow() }
    }

    // MARK: Reading

    private func take(_ message: NATSMessage) {
        if message.status != nil { return takeStatus(message) }
        guard let delivery = Delivery(message.reply), let id = streams.id(ofLog: message.subject) else { return }
        read(message.headers[0].flatMap { LogEntry($0) }, id, delivery)
    }

    /// A sign of life, with the place of the last delivery; or the request to hear how far we are.
    private func takeStatus(_ message: NATSMessage) {
        let last = message.headers[2].flatMap { UInt64($0) }
        // Said only when there is nothing to deliver: the last entries may have been thrown away.
        let isIdle = message.reply == nil && message.headers[1] == nil
        let (isOurs, isLost, isReadAnew) = state.withLock { state in
            guard message.subject.hasSuffix(".\(state.consumer)") else { return (false, false, false) }
            state.heardAt = .now
            let isLost = last.map { $0 > state.place } ?? false
            return (true, isLost, isIdle && !isLost && Self.catchUp(&state))
        }
        guard isOurs else { return }
        if isReadAnew { changed(.readAnew) }
        if isLost { followAgain() }
        if let answer = message.reply ?? message.headers[1] { try? server.connection.publish(answer) }
    }

    private func read(_ line: LogEntry?, _ id: String, _ delivery: Delivery) {
        let (told, reached, isLost, isReadAnew) = state.withLock {
            state -> (told: [CallIndex.News], reached: [Waiter], isLost: Bool, isReadAnew: Bool) in
            guard state.consumer == delivery.consumer else { return ([], [], false, false) }
            state.heardAt = .now
            guard delivery.place == state.place + 1 else { return ([], [], true, false) }
            state.place = delivery.place
            let known = max(state.index.position, state.counted)
            if delivery.sequence > known + 1, state.gap == nil { (state.gap, state.gapAt) = (known, .now) }
            if let line { state.lastRead = (delivery.sequence, line) }
            let news = line.map { state.index.read($0, id: id, sequence: delivery.sequence) } ?? []
            state.index.skip(to: delivery.sequence)
            let isReadAnew = delivery.pending == 0 && Self.catchUp(&state)
            let reached = state.waiters.filter { $0.sequence <= delivery.sequence }
            if !reached.isEmpty { state.waiters.removeAll { $0.sequence <= delivery.sequence } }
            return (state.isCaughtUp ? news : [], reached, false, isReadAnew)
        }
        for waiter in reached { waiter.continuation.resume() }
        if !told.isEmpty { changed(.news(told)) }
        if isReadAnew { changed(.readAnew) }
        if isLost { followAgain() }
    }

    private func followAgain() {
        // Unowned: begun on a thread of the library; one at a time, which ends with the connection.
        Task { try? await follow() }
    }

    // MARK: Asking

    /// Whether everything that was there at the beginning was read.
    var isCaughtUp: Bool { state.withLock { $0.isCaughtUp } }

    /// Returns when an entry was read, at the latest in a few seconds.
    func reach(_ sequence: UInt64) async {
        guard state.withLock({ $0.index.position < sequence }) else { return }
        await withCheckedContinuation { continuation in
            let isReached = state.withLock { state in
                guard state.index.position < sequence else { return true }
                state.waiters.append(
                    Waiter(sequence: sequence, deadline: .now + .seconds(5), continuation: continuation)
                )
                return false
            }
            if isReached { continuation.resume() }
        }
    }

    /// Looks at the index.
    func withIndex<Value: Sendable>(_ work: (inout CallIndex) -> Value) -> Value {
        state.withLock { work(&$0.index) }
    }
}
