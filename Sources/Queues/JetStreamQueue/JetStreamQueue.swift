// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
import FunctionModel
public import Logging
public import NATSClient
import NIOCore
import ProcessControl
public import QueueContract
import Synchronization

/// The queue on NATS JetStream, shared by any number of gateways and workers.
///
/// A stream holds the requests of calls that are not over, and delivers each to one worker. A second stream is the log:
/// whatever happens to a call is an entry of it, and an entry is kept only when the call's last entry is the one that
/// its writer knew. So of two that take, settle or cancel the same call one wins, and the log alone decides who.
/// Everybody reads the log as it grows and knows from it what is where.
public final class JetStreamQueue: CallQueue {
    /// Where the queue is and who uses it.
    public struct Settings: Sendable {
        /// The server.
        public var connection: NATSConnection.Settings
        /// The queue's name, as OpenFaaS' `queue_name`: the stream is `OF_` and this.
        public var name: String
        /// On how many servers of a cluster each stream is kept.
        public var replicas: Int
        /// Who works here: whoever starts under a name that was used before carries on what was in flight there.
        public var worker: String
        /// How long the server waits for a sign of life of a call in flight.
        public var lease: Duration
        /// What is kept how long.
        public var queue: QueueSettings
        /// The file in which a death of this process by a fault of its own is noted, which no other process uses; nil for
        /// none.
        public var deathNote: String?
        /// How often the counts are noted, and what nobody was told of is looked for.
        package var housekeeping = Duration.seconds(10)
        /// How long whoever delivers a callback may take before another one does.
        package var callbackLease = Duration.seconds(120)

        /// Makes settings.
        public init(
            connection: NATSConnection.Settings,
            name: String = "faas-request",
            replicas: Int = 1,
            worker: String,
            lease: Duration = .seconds(60),
            queue: QueueSettings = QueueSettings()
        ) {
            self.connection = connection
            self.name = name
            self.replicas = replicas
            self.worker = worker
            self.lease = lease
            self.queue = queue
        }
    }

    /// A call that this process carries out.
    struct Held: Sendable {
        let id: String
        let facts: CallStanding
        let payload: ByteBuffer
        var delivery: Delivery
        var expiry: ContinuousClock.Instant
        /// Its end is being noted: the lease does not end before that is done.
        var isSettling = false

        var request: DeliveredRequest { DeliveredRequest(payload: payload, delivery: delivery) }
    }

    /// A callback that this process delivers.
    struct HeldCallback: Sendable {
        let facts: CallStanding
        let taken: UInt64
    }

    struct Listeners: Sendable {
        var due: @Sendable (FunctionID) -> Void = { _ in }
        var cancel: @Sendable (CallLease) -> Void = { _ in }
        var callback: @Sendable () -> Void = {}
    }

    private enum Stage: Sendable {
        case opening(PlatformFault)
        case open
        case closed
    }

    let settings: Settings
    let server: JetStreamServer
    let streams: Streams
    /// Who this process is, for as long as it lives.
    let incarnation = UUID().uuidString.lowercased()
    let logger: Logger
    let listeners = Mutex(Listeners())
    let held: Mutex<Holding<UInt64, Held>>
    /// The requests that this process is making its own, by their sequences.
    let claims = Mutex<Set<UInt64>>([])
    /// Since when workers say nothing about requests that they have by the log.
    let silences = Mutex<[UInt64: ContinuousClock.Instant]>([:])
    let heldCallbacks: Mutex<Holding<String, HeldCallback>>
    let marker: DeathMarker?
    /// What the last death of this process may be the fault of.
    let trial = Mutex(CrashTrial())
    let lanes = Mutex<[FunctionID: RequestLane]>([:])
    private let following = Mutex<LogFollower?>(nil)
    private let stage: Mutex<Stage>
    let inbox: String
    private let isListening = Mutex(false)
    /// The name that is ours, and the message that says so.
    let name = Mutex<(subject: String, sequence: UInt64)?>(nil)
    private let lastMessage = Atomic<UInt64>(0)
    /// The last entry of the log that this process has written.
    private let lastOwn = Atomic<UInt64>(0)

    /// Begins to open the queue; goes on trying while the server cannot be reached.
    ///
    /// - Throws: `badSettings` when the library of NATS is missing, or the settings cannot be used.
    public init(_ settings: Settings, logger: Logger) throws(PlatformFault) {
        self.settings = settings
        self.logger = logger
        streams = Streams(queue: settings.name)
        marker = settings.deathNote.flatMap { DeathMarker(path: $0) }
        held = Mutex(Holding(marker) { token, _ in token })
        heldCallbacks = Mutex(Holding(marker) { _, callback in callback.taken })
        let connection = try NATSConnection(settings.connection)
        server = JetStreamServer(connection)
        inbox = connection.makeInbox()
        stage = Mutex(
            .opening(
                PlatformFault(
                    .storageUnavailable,
                    "The NATS server that keeps asynchronous calls has not answered yet.",
                    hint: "Look at the gateway's log.",
                    retryAfterSeconds: 5
                )
            )
        )
        connection.onChange { [weak self] isConnected in self?.connectionChanged(isConnected) }
        // Unowned: both end when the queue is closed, or nobody has it any more.
        Task { [weak self] in await self?.openPatiently() }
        // The same.
        Task { [weak self] in await JetStreamQueue.keepHouse { self } }
    }

    /// Finds out whether a server can be asked as the settings have it; one that does not answer may do so later.
    ///
    /// Blocks until one has answered, or none has. - Throws: as `init`.
    public static func check(_ settings: Settings) throws(PlatformFault) {
        try NATSConnection(settings.connection).close()
    }

    // MARK: Opening

    /// Why calls cannot be kept at the moment; nil when they can.
    public var problem: PlatformFault? {
        if case .opening(let fault) = stage.withLock({ $0 }) { return fault }
        return nil
    }

    /// How often the connection broke and was made again.
    public var reconnections: Int { server.connection.reconnections }

    /// Returns once the queue is open.
    ///
    /// - Throws: Why it is not, when that takes longer.
    public func opened(within limit: Duration = .seconds(10)) async throws(PlatformFault) {
        let deadline = ContinuousClock.now + limit
        while let problem {
            guard ContinuousClock.now < deadline, (try? await Task.sleep(for: .milliseconds(10))) != nil else {
                throw problem
            }
        }
    }

    private func openPatiently() async {
        var isLogged = false
        while true {
            do throws(PlatformFault) {
                return try await open()
            } catch {
                let isOver = stage.withLock { stage in
                    if case .closed = stage { return true }
                    stage = .opening(error)
                    return false
                }
                if isOver { return }
                if !isLogged {
                    let why = server.connection.lastError ?? "\(error)"
                    logger.error("the queue cannot be used yet", metadata: ["why": "\(why)"])
                }
                isLogged = true
            }
            guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
        }
    }

    private func open() async throws(PlatformFault) {
        try await streams.makeAll(on: server, replicas: settings.replicas, settings.queue)
        let follower = LogFollower(
            server,
            streams,
            incarnation: incarnation,
            start: { [weak self] () async throws(PlatformFault) in
                guard let self else { throw PlatformFault(.storageUnavailable, "The queue is closed.") }
                return try await start()
            },
            changed: { [weak self] in self?.changed($0) }
        )
        do throws(PlatformFault) {
            try await follower.open()
            try listen()
            if let predecessor = try await takeName() { await takeOver(from: predecessor, follower) }
        } catch {
            follower.close()
            throw error
        }
        guard begin(following: follower) else { return follower.close() }
        tellAll(follower)
        await tellOfUnnoted(follower)
    }

    /// The queue is open from now on; false where it was closed meanwhile.
    private func begin(following follower: LogFollower) -> Bool {
        stage.withLock { stage in
            if case .closed = stage { return false }
            following.withLock { $0 = follower }
            stage = .open
            return true
        }
    }

    /// Where requests come in, and where others ask whether we are there.
    private func listen() throws(PlatformFault) {
        // Once, however often opening is tried: everything would come twice.
        guard !isListening.withLock({ $0 }) else { return }
        do throws(NATSFailure) {
            let headers = [QueueRequest.dueHeader, "Nats-Msg-Id", QueueRequest.resendsHeader]
            try server.connection.subscribe(to: "\(inbox).*.*", headers: headers) { [weak self] in self?.arrived($0) }
            let presence = streams.presenceSubject(incarnation)
            try server.connection.subscribe(to: presence) { [weak self] in self?.answerPresence($0) }
            isListening.withLock { $0 = true }
        } catch { throw PlatformFault(.storageUnavailable, "The NATS server hangs up.", cause: error) }
    }

    /// The follower of the log.
    ///
    /// - Throws: `storageUnavailable` while the queue is not open.
    func follower() async throws(PlatformFault) -> LogFollower {
        if let follower = following.withLock({ $0 }) { return follower }
        try await opened(within: .seconds(1))
        guard let follower = following.withLock({ $0 }) else {
            throw PlatformFault(.storageUnavailable, "The queue is closed.")
        }
        return follower
    }

    /// The follower, when it has read what this process has written.
    func upToDate() async throws(PlatformFault) -> LogFollower {
        let follower = try await follower()
        // While the server is away what was read last is the best that is known.
        if server.connection.isConnected { await follower.reach(lastOwn.load(ordering: .acquiring)) }
        return follower
    }

    // MARK: The log

    /// Writes an entry; nil when the call's last entry is not the expected one any more.
    func write(
        _ line: LogEntry,
        _ details: LogDetails = LogDetails(),
        of id: String,
        expected: UInt64
    ) async throws(PlatformFault) -> UInt64? {
        let message = JetStreamServer.Message(
            subject: streams.logSubject(id),
            id: freshMessageID(),
            expected: expected,
            headers: [LogEntry.header, line.text],
            payload: details.payload
        )
        switch try await server.publish(message) {
        case .kept(let sequence), .keptBefore(let sequence):
            lastOwn.max(sequence, ordering: .acquiringAndReleasing)
            return sequence
        case .overtaken: return nil
        }
    }

    func freshMessageID() -> String {
        "\(incarnation)-\(lastMessage.add(1, ordering: .relaxed).newValue)"
    }

    /// What the log says of a call; nil where it knows none.
    func look(_ id: String) async throws(PlatformFault) -> (stored: StoredCall, line: LogEntry)? {
        try await lookClosely(id).call
    }

    /// The same, and the sequence of the last entry, which may be a reservation that is no call yet, or the end of one
    /// that is being forgotten; 0 for none.
    func lookClosely(
        _ id: String
    ) async throws(PlatformFault) -> (call: (stored: StoredCall, line: LogEntry)?, last: UInt64, isForgotten: Bool) {
        let entries = try await server.all(of: streams.logSubject(id), in: streams.log)
        let last = entries.last?.sequence ?? 0
        guard let stored = StoredCall(entries), let line = stored.line else {
            let event = entries.last?.header(LogEntry.header).flatMap { LogEntry($0) }?.event
            return (nil, last, event == .forgotten)
        }
        return ((stored, line), last, false)
    }

    /// The request of a call in the stream; nil when it is gone, also when another's has its place since the server lost
    /// some.
    func storedRequest(_ sequence: UInt64, of id: String) async throws(PlatformFault) -> StoredMessage? {
        guard sequence != 0, let found = try await server.message(sequence, in: streams.requests),
            QueueRequest(found.payload)?.id(at: sequence, in: settings.name) == id
        else { return nil }
        return found
    }

    // MARK: Being told

    private func changed(_ change: LogFollower.Change) {
        switch change {
        case .news(let news): tell(news)
        case .shortened(let last):
            logger.error(
                "the NATS server has lost the end of the log: calls may be carried out again, or be missing",
                metadata: ["last": "\(last)"]
            )
            lastOwn.store(min(last, lastOwn.load(ordering: .acquiring)), ordering: .releasing)
            held.withLock { held in for token in held.all.keys where token > last { held[token] = nil } }
        case .readAnew:
            guard let follower = following.withLock({ $0 }) else { return }
            let tokens = held.withLock { $0.all.mapValues(\.id) }
            let lost = follower.withIndex { index in
                tokens.filter { token, id in token <= index.position && index.entries[id]?.last != token }.keys
            }
            held.withLock { held in for token in lost { held[token] = nil } }
            tellAll(follower)
        }
    }

    private func tell(_ news: [CallIndex.News]) {
        let listeners = listeners.withLock { $0 }
        for news in news {
            switch news {
            case .due(let function): listeners.due(function)
            case .callbackDue: listeners.callback()
            case .lost(let taken): held.withLock { $0[taken] = nil }
            case .cancelled(let id, let taken):
                guard let lost = held.withLock({ $0.remove(taken) }) else { continue }
                trial.withLock { $0.ended(lost.id) }
                listeners.cancel(CallLease(id: id, token: taken))
            }
        }
    }

    private func tellAll(_ follower: LogFollower) {
        let (functions, hasCallbacks) = follower.withIndex { ($0.openFunctions, !$0.callbacks.isEmpty) }
        tell(functions.map { .due($0) } + (hasCallbacks ? [.callbackDue] : []))
    }

    /// Tells of callbacks that are due now, also of those whose deliverer is not heard of any more.
    private func tellOfCallbacks(_ follower: LogFollower) {
        let now = Timestamp.now()
        let isDue = follower.withIndex { index in
            index.callbacks.contains { id in index.entries[id].map { moment($0) <= now } ?? false }
        }
        if isDue { tell([.callbackDue]) }
    }

    /// Tells of functions that have requests in the stream of which the log knows nothing.
    ///
    /// Whoever kept the call could not note it, or is no Martlet.
    private func tellOfUnnoted(_ follower: LogFollower) async {
        guard let requested = try? await streams.requestedFunctions(on: server) else { return }
        let noted = Set(follower.withIndex { $0.openFunctions })
        tell(requested.filter { !noted.contains($0) }.map { .due($0) })
    }

    private func arrived(_ message: NATSMessage) {
        // Both a request's subject and the inbox end with the function.
        let words = message.subject.split(separator: ".").suffix(2).map(String.init)
        guard words.count == 2 else { return }
        let function = FunctionID(name: words[1], namespace: words[0])
        if let delivery = Delivery(message.reply) {
            if let wait = wait(message, delivery) {
                lane(function).passed()
                return acknowledge(.later(wait), delivery)
            }
            let resends = message.headers[2].flatMap { UInt64($0) }
            lane(function).arrived(DeliveredRequest(payload: message.payload, delivery: delivery, resends: resends))
        } else if message.status == Self.askedLongAgo {
            lane(function).forgotten(isGone: false)
        } else if message.status != nil {
            // The consumer is gone, or nobody leads it at the moment: asked at once it would say the same.
            lane(function).forgotten(isGone: true)
            return later(.milliseconds(500)) { $0.listeners.withLock(\.due)(function) }
        }
        listeners.withLock(\.due)(function)
    }

    /// The status by which the server says that it has waited long enough for requests to come.
    private static let askedLongAgo = 408

    private func later(_ wait: Duration, _ work: @escaping @Sendable (JetStreamQueue) -> Void) {
        // Unowned: begun on a thread of the library; nothing is left to do when the queue is gone.
        Task { [weak self] in
            guard (try? await Task.sleep(for: wait)) != nil, let self else { return }
            work(self)
        }
    }

    /// How long a request is not to be looked at, by its header alone; nil for one that is due.
    ///
    /// The first time no longer than a minute: whoever accepted the call may have ended before the log said so, and then
    /// it has to be looked at.
    private func wait(_ message: NATSMessage, _ delivery: Delivery) -> Duration? {
        let now = Timestamp.now()
        let due = message.headers[0].flatMap { Int64($0) }.map(Timestamp.init(nanosecondsSinceEpoch:))
        guard let due, due > now else { return nil }
        let wait = due.distance(from: now)
        if delivery.delivered == 1 { return min(wait, .seconds(60)) }
        let isKnown = following.withLock { $0 }?.withIndex { $0.entries[message.headers[1] ?? ""] != nil } ?? false
        return isKnown ? wait : nil
    }

    /// The lane of a function's requests.
    func lane(_ function: FunctionID) -> RequestLane {
        lanes.withLock { lanes in
            if let lane = lanes[function] { return lane }
            let lane = RequestLane(
                function,
                server,
                streams,
                inbox: "\(inbox).\(function.namespace).\(function.name)",
                lease: settings.lease
            )
            lanes[function] = lane
            return lane
        }
    }

    private func connectionChanged(_ isConnected: Bool) {
        if isConnected {
            logger.info("the NATS server is there")
        } else {
            let why = server.connection.lastError ?? "it hung up"
            logger.error("the NATS server is away", metadata: ["why": "\(why)"])
        }
        guard isConnected, let follower = following.withLock({ $0 }) else { return }
        for lane in lanes.withLock({ Array($0.values) }) { lane.forgotten(isGone: true) }
        for held in held.withLock({ Array($0.all.values) }) {
            Acknowledgement.inFlight.send(held.delivery, over: server.connection)
        }
        // Unowned: begun on a thread of the library; one attempt, which ends with the connection.
        Task {
            try? await follower.follow()
            tellAll(follower)
        }
    }

    // MARK: Keeping house

    private static func keepHouse(_ owner: () -> JetStreamQueue?) async {
        var lastCounts = ContinuousClock.now
        while (try? await Task.sleep(for: .milliseconds(100))) != nil {
            guard let queue = owner() else { return }
            if case .closed = queue.stage.withLock({ $0 }) { return }
            guard let follower = queue.following.withLock({ $0 }) else { continue }
            queue.endLeases()
            for lane in queue.lanes.withLock({ Array($0.values) }) { lane.giveBack() }
            try? await follower.followAgainIfSilent()
            guard ContinuousClock.now - lastCounts > queue.settings.housekeeping, queue.server.connection.isConnected
            else { continue }
            lastCounts = .now
            _ = await queue.writeCounts(follower)
            await queue.expireWaiting(follower)
            await queue.carryOn(follower)
            queue.tellOfCallbacks(follower)
            await queue.tellOfUnnoted(follower)
        }
    }

    /// Takes calls away from whoever does not renew the lease, and lets them be taken again.
    private func endLeases() {
        let now = ContinuousClock.now
        let ended = held.withLock { held in
            let ended = held.all.filter { $0.value.expiry <= now && !$0.value.isSettling }
            for token in ended.keys { held[token] = nil }
            return ended.values
        }
        for held in ended {
            lane(held.facts.function).putBack(held.request)
            listeners.withLock(\.due)(held.facts.function)
        }
    }

    /// Gives back what was not begun, notes the counts and hangs up.
    public func close() async {
        for lane in lanes.withLock({ Array($0.values) }) { lane.close() }
        // Asks the server something, and its answer comes behind everything that it has sent and heard before.
        if let follower = try? await upToDate() { _ = await writeCounts(follower) }
        await leaveName()
        abandon()
    }

    /// Hangs up without a farewell, as a killed process does.
    package func abandon() {
        stage.withLock { stage in
            stage = .closed
            following.withLock { $0 = nil }
        }
        server.connection.close()
    }
}
