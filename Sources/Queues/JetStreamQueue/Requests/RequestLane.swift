// SPDX-License-Identifier: Apache-2.0

import DequeModule
import FaultModel
import FunctionModel
import NATSClient
import NIOCore
import Synchronization

/// A request that the server has delivered to us and wants to hear of.
struct DeliveredRequest: Sendable {
    let payload: ByteBuffer
    let delivery: Delivery
    /// The entry of the log by which the call was over that it sends again; nil for a call's first request.
    var resends: UInt64?
}

/// The requests of one function: asks the server for as many as may be carried out now, and keeps those that came until
/// they are taken.
///
/// The server's consumer is shared by all workers, so what nobody takes here is soon given back.
final class RequestLane: Sendable {
    private struct State {
        var isMade = false
        /// When the server made the consumer.
        var created = ""
        var requests = Deque<(request: DeliveredRequest, until: ContinuousClock.Instant)>()
        /// How many the server was asked for that have not come yet, and until when it remembers that.
        var asked = 0
        var askedUntil = ContinuousClock.now
        var waiters: [Waiter] = []
        var lastWaiter = 0
        var isClosed = false
    }

    private struct Waiter {
        let number: Int
        let wanted: Int
        let continuation: CheckedContinuation<Void, Never>
    }

    let function: FunctionID
    private let server: JetStreamServer
    private let streams: Streams
    private let inbox: String
    private let lease: Duration
    private let state = Mutex(State())
    /// How long the server remembers what it was asked for.
    private static let patience = Duration.seconds(30)
    /// How long a request waits here for somebody to take it, before other workers get it.
    private static let hold = Duration.seconds(1)

    /// `inbox` is where requests come; `lease` is how long the server waits for a word about one.
    init(_ function: FunctionID, _ server: JetStreamServer, _ streams: Streams, inbox: String, lease: Duration) {
        self.function = function
        self.server = server
        self.streams = streams
        self.inbox = inbox
        self.lease = lease
    }

    /// Makes the consumer, unless it was made before.
    func make() async throws(PlatformFault) {
        guard !state.withLock({ $0.isMade }) else { return }
        let name = streams.consumer(function)
        // No limit of its own to what is in flight: calls that wait for their time would use it up.
        let consumer = ConsumerSettings(
            name: name,
            durableName: name,
            filterSubject: streams.requestSubject(function),
            ackPolicy: "explicit",
            ackWait: lease.nanoseconds,
            maxDeliver: -1,
            maxAckPending: -1
        )
        let made = try await server.makeConsumer(consumer, of: streams.requests)
        state.withLock { state in
            state.isMade = true
            // A new one does not know what the last one was asked for.
            if made.created != state.created { state.asked = 0 }
            state.created = made.created
        }
    }

    /// The consumer does not deliver what it should: it is looked at before it is asked next.
    func doubt() { state.withLock { $0.isMade = false } }

    // MARK: Taking

    /// Takes up to so many requests, and asks the server for those that are missing.
    ///
    /// Waits for `expected` of them a moment, since that many are known to be there.
    func take(atMost count: Int, expected: Int) async -> [DeliveredRequest] {
        ask(for: count)
        let wanted = min(count, expected)
        if wanted > 0 { await wait(for: wanted) }
        return state.withLock { state in
            let taken = state.requests.prefix(count).map(\.request)
            state.requests.removeFirst(taken.count)
            return taken
        }
    }

    private func ask(for count: Int) {
        let now = ContinuousClock.now
        let missing = state.withLock { state in
            if state.askedUntil <= now { state.asked = 0 }
            let missing = count - state.requests.count - state.asked
            guard missing > 0 else { return 0 }
            state.asked += missing
            state.askedUntil = now + Self.patience
            return missing
        }
        guard missing > 0 else { return }
        try? server.connection.publish(
            "$JS.API.CONSUMER.MSG.NEXT.\(streams.requests).\(streams.consumer(function))",
            reply: inbox,
            ByteBuffer(string: "{\"batch\":\(missing),\"expires\":\(Self.patience.nanoseconds)}")
        )
    }

    private func wait(for wanted: Int) async {
        let number = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        var alarm: Task<Void, Never>?
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                guard state.requests.count < wanted else { return true }
                state.waiters.append(Waiter(number: number, wanted: wanted, continuation: continuation))
                return false
            }
            if isThere { return continuation.resume() }
            // Begun last, since it has to find the waiter. Unowned: cancelled before this returns.
            alarm = Task { [weak self] in
                // The first ones come at once or not at all: others may have been faster.
                guard (try? await Task.sleep(for: .milliseconds(250))) != nil else { return }
                self?.resume(number)
            }
        }
        alarm?.cancel()
    }

    private func resume(_ number: Int) {
        let waiter = state.withLock { state -> Waiter? in
            guard let place = state.waiters.firstIndex(where: { $0.number == number }) else { return nil }
            return state.waiters.remove(at: place)
        }
        waiter?.continuation.resume()
    }

    // MARK: What comes

    /// A request has come.
    func arrived(_ request: DeliveredRequest) {
        add(request, isFirst: false, wasAsked: true)
    }

    /// A request has come before its time, and was sent back.
    func passed() { state.withLock { $0.asked = max(0, $0.asked - 1) } }

    /// A request is back before anything was done about it: it is the next one.
    func putBack(_ request: DeliveredRequest) { add(request, isFirst: true, wasAsked: false) }

    private func add(_ request: DeliveredRequest, isFirst: Bool, wasAsked: Bool) {
        let ready = state.withLock { state -> [Waiter]? in
            if state.isClosed { return nil }
            if wasAsked { state.asked = max(0, state.asked - 1) }
            let entry = (request: request, until: ContinuousClock.now + Self.hold)
            if isFirst { state.requests.prepend(entry) } else { state.requests.append(entry) }
            // Nothing is left behind this one: waiting for more would be in vain.
            let isLast = wasAsked && request.delivery.delivered == 1 && request.delivery.pending == 0
            let ready = state.waiters.filter { $0.wanted <= state.requests.count || isLast }
            state.waiters.removeAll { $0.wanted <= state.requests.count || isLast }
            return ready
        }
        guard let ready else { return leave(request) }
        for waiter in ready { waiter.continuation.resume() }
    }

    /// The server forgot what it was asked for: its time is over, or the consumer or the connection is gone.
    func forgotten(isGone: Bool) {
        let waiters = state.withLock { state in
            state.asked = 0
            guard isGone else { return [Waiter]() }
            state.isMade = false
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume() }
    }

    /// Gives those to other workers that nobody takes here.
    func giveBack() {
        let now = ContinuousClock.now
        let overdue = state.withLock { state in
            let overdue = state.requests.filter { $0.until <= now }
            if !overdue.isEmpty { state.requests.removeAll { $0.until <= now } }
            return overdue
        }
        for (request, _) in overdue { Acknowledgement.again.send(request.delivery, over: server.connection) }
    }

    /// Gives all to other workers, also those that are on their way.
    func close() {
        let left = state.withLock { state in
            state.isClosed = true
            defer { state.requests = [] }
            return state.requests
        }
        for (request, _) in left { leave(request) }
    }

    /// Not at once: the server would give it back to us, who have asked for it and are gone in a moment.
    private func leave(_ request: DeliveredRequest) {
        Acknowledgement.later(.milliseconds(200)).send(request.delivery, over: server.connection)
    }
}

/// A word about a delivered request.
enum Acknowledgement {
    /// It is done with.
    case done
    /// It is to be delivered again.
    case again
    /// The same, but not before so much time has passed.
    case later(Duration)
    /// It is being worked on.
    case inFlight

    /// Says it; if it gets lost, the request is delivered once more and found to be done with.
    func send(_ delivery: Delivery, over connection: NATSConnection) { send(delivery.subject, over: connection) }

    func send(_ subject: String, over connection: NATSConnection) {
        // Nobody waits for a word about a message that was fetched.
        guard !subject.isEmpty else { return }
        let word =
            switch self {
            case .done: "+ACK"
            case .again: "-NAK"
            case .later(let wait): "-NAK {\"delay\": \(max(1, wait.nanoseconds))}"
            case .inFlight: "+WPI"
            }
        try? connection.publish(subject, ByteBuffer(string: word))
    }
}
