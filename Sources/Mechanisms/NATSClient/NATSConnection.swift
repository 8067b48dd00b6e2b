// SPDX-License-Identifier: Apache-2.0

import CNATS
public import FaultModel
import Foundation
public import NIOCore
import Synchronization

/// A connection to a NATS server, or to one of several, that is made again whenever it breaks.
///
/// All methods may be called from anywhere; handlers run on threads of the library and must not block.
public final class NATSConnection: Sendable {
    /// Where and how to connect.
    public struct Settings: Sendable {
        /// URLs, as `nats://user:password@host:4222`; the first one that answers is used.
        public var servers: [String]
        /// By which the server's operator knows this connection.
        public var name: String
        /// A file of a JWT and its seed.
        public var credentialsFile: String?
        /// A file of the authorities that servers' certificates are checked against.
        public var authoritiesFile: String?
        /// The wait between attempts to connect again.
        public var reconnectWait: Duration
        /// How often a silent server is asked whether it is there; one that leaves three questions without an answer is
        /// gone, and connected to anew.
        public var pingInterval = Duration.seconds(5)

        /// Makes settings.
        public init(
            servers: [String],
            name: String,
            credentialsFile: String? = nil,
            authoritiesFile: String? = nil,
            reconnectWait: Duration = .milliseconds(250)
        ) {
            self.servers = servers
            self.name = name
            self.credentialsFile = credentialsFile
            self.authoritiesFile = authoritiesFile
            self.reconnectWait = reconnectWait
        }
    }

    private struct State {
        var pending: [UInt64: Pending] = [:]
        var lastRequest: UInt64 = 0
        var listeners: [Listener] = []
        var subscriptions: [UInt64: Subscription] = [:]
        var lastSubscription: UInt64 = 0
        var handle: Handle?
        var isClosed = false
        var lastError: String?
    }

    /// A closure by itself, as the state of a mutex, would be wrapped once more at each access.
    private struct Listener: Sendable {
        let tell: @Sendable (Bool) -> Void
    }

    /// What somebody listens to, over all connections to come.
    private struct Subscription {
        let subject: String
        let box: HandlerBox
        /// The library's; nil while there is no connection.
        var made: LibrarySubscription?
    }

    private struct Pending {
        let deadline: ContinuousClock.Instant
        let done: @Sendable (Result<NATSMessage, NATSFailure>) -> Void
    }

    /// When we last tried to connect, and whether we do so now.
    private struct Attempt {
        var last = ContinuousClock.now
        var isInFlight = false
    }

    private let settings: Settings
    private let connected = Atomic(false)
    private let connections = Atomic(0)
    private let attempt = Mutex(Attempt())
    private let state = Mutex(State())
    private let inbox: String

    /// Whether there is a connection at the moment.
    public var isConnected: Bool { connected.load(ordering: .acquiring) }

    /// How often the connection was made again behind the first time.
    public var reconnections: Int { max(0, connections.load(ordering: .relaxed) - 1) }

    /// Most bytes of a message that the server takes.
    public var maxPayload: Int { withHandle { Int(martlet_nats_max_payload($0)) } ?? 0 }

    /// What went wrong last; nil when nothing did.
    public var lastError: String? {
        let (handle, error) = state.withLock { ($0.handle, $0.lastError) }
        return handle?.lastError ?? error
    }

    /// Connects, and goes on trying where no server answers or lets us in.
    ///
    /// - Throws: `badSettings` when the library is missing, or an address, credentials or certificates cannot be used.
    public init(_ settings: Settings) throws(PlatformFault) {
        if let missing = martlet_nats_load().map({ String(cString: $0) }) {
            throw PlatformFault(
                .badSettings,
                "NATS needs \(missing), which is not installed here.",
                hint: "Install it, on Debian by: apt-get install libnats3.4"
            )
        }
        self.settings = settings
        inbox = "_INBOX.\(UUID().uuidString)"
        try connect()
        _ = try? subscribe(to: "\(inbox).*") { [weak self] in self?.answered($0) }
        // Unowned: ends with the connection, which may be made anywhere.
        Task { [weak self] in
            while (try? await Task.sleep(for: .milliseconds(100))) != nil, self?.keepUp() == true {}
        }
    }

    deinit { state.withLock { $0.handle?.close() } }

    /// Makes a connection of the library's, which makes itself anew when it breaks, but not when it was refused.
    ///
    /// Blocks until a server has answered, or none has.
    private func connect() throws(PlatformFault) {
        let outcome = Handle.open(settings, for: self)
        switch outcome {
        case .failure(let failure):
            state.withLock { $0.lastError = failure.why }
            if failure.isForGood { throw failure.fault(settings) }
        case .success(let handle):
            state.withLock { state in
                guard !state.isClosed else { return }
                state.handle = handle
                for (number, subscription) in state.subscriptions {
                    state.subscriptions[number]?.made = try? handle.subscribe(subscription.subject, subscription.box)
                }
            }
            changed(isConnected: true)
        }
    }

    /// Closes the connection at once; nothing comes any more.
    public func close() {
        connected.store(false, ordering: .releasing)
        let handle = state.withLock { state in
            defer { (state.handle, state.isClosed, state.subscriptions) = (nil, true, [:]) }
            return state.handle
        }
        handle?.close()
        failPending()
    }

    /// Who is told that the connection broke (false) or is back (true).
    public func onChange(_ listener: @escaping @Sendable (Bool) -> Void) {
        state.withLock { $0.listeners.append(Listener(tell: listener)) }
    }

    /// A fresh subject for answers that are not those of `request`.
    public func makeInbox() -> String { "_INBOX.\(UUID().uuidString)" }

    // MARK: Sending

    /// Sends a message, which may get lost.
    public func publish(
        _ subject: String,
        reply: String? = nil,
        headers: [String] = [],
        _ payload: ByteBuffer = ByteBuffer()
    ) throws(NATSFailure) {
        guard isConnected else { throw .disconnected }
        let status = withHandle { handle in
            withCStrings(headers) { headers in
                payload.withUnsafeReadableBytes { bytes in
                    martlet_nats_publish(
                        handle,
                        subject,
                        reply,
                        headers.baseAddress,
                        Int32(headers.count / 2),
                        bytes.baseAddress,
                        Int32(bytes.count)
                    )
                }
            }
        }
        guard let status else { throw .disconnected }
        guard status != 0 else { return }
        // The server counts the headers as well: `NATS/1.0`, and a colon, a space and a line end for each.
        throw failure(
            status,
            headers.reduce(headers.isEmpty ? 0 : 12) { $0 + $1.utf8.count + 2 } + payload.readableBytes
        )
    }

    private func failure(_ status: Int32, _ size: Int) -> NATSFailure {
        if size > maxPayload { return .tooLarge }
        return isConnected ? .other(String(cString: martlet_nats_status_text(status))) : .disconnected
    }

    /// Sends a message and waits for the answer; `done` is called once, on any thread.
    ///
    /// `headers` are names and values in turn.
    public func request(
        _ subject: String,
        headers: [String] = [],
        _ payload: ByteBuffer = ByteBuffer(),
        within limit: Duration,
        done: @escaping @Sendable (Result<NATSMessage, NATSFailure>) -> Void
    ) {
        let number = state.withLock { state in
            state.lastRequest += 1
            state.pending[state.lastRequest] = Pending(deadline: .now + limit, done: done)
            return state.lastRequest
        }
        do throws(NATSFailure) {
            try publish(subject, reply: "\(inbox).\(number)", headers: headers, payload)
        } catch { end(number, .failure(error)) }
    }

    /// Sends a message and waits for the answer.
    public func request(
        _ subject: String,
        headers: [String] = [],
        _ payload: ByteBuffer = ByteBuffer(),
        within limit: Duration
    ) async throws(NATSFailure) -> NATSMessage {
        try await withCheckedContinuation { continuation in
            request(subject, headers: headers, payload, within: limit) { continuation.resume(returning: $0) }
        }.get()
    }

    private func answered(_ message: NATSMessage) {
        guard let number = message.subject.split(separator: ".").last.flatMap({ UInt64($0) }) else { return }
        end(number, message.status == 503 ? .failure(.nobodyListens) : .success(message))
    }

    private func end(_ number: UInt64, _ outcome: Result<NATSMessage, NATSFailure>) {
        state.withLock { $0.pending.removeValue(forKey: number) }?.done(outcome)
    }

    /// Ends what took too long, and connects again where the library has given up; false when it is closed for good.
    private func keepUp() -> Bool {
        let now = ContinuousClock.now
        let (overdue, isOpen, isGivenUp) = state.withLock { state in
            let overdue = state.pending.filter { $0.value.deadline <= now }
            for number in overdue.keys { state.pending[number] = nil }
            let isGivenUp = !state.isClosed && state.handle?.isGivenUp ?? true
            return (overdue, !state.isClosed, isGivenUp)
        }
        for pending in overdue.values { pending.done(.failure(.timedOut)) }
        if isGivenUp { tryAgain() }
        return isOpen
    }

    /// Connects on a thread of its own, since that blocks; one attempt at a time, and not at once behind the last.
    private func tryAgain() {
        let isFirst = attempt.withLock { attempt in
            guard !attempt.isInFlight, ContinuousClock.now - attempt.last > .seconds(1) else { return false }
            attempt.isInFlight = true
            return true
        }
        guard isFirst else { return }
        Thread.detachNewThread { [self] in
            try? connect()
            attempt.withLock { $0 = Attempt() }
        }
    }

    private func failPending() {
        let pending = state.withLock { state in
            defer { state.pending = [:] }
            return state.pending
        }
        for pending in pending.values { pending.done(.failure(.disconnected)) }
    }

    // MARK: Receiving

    /// Hands over the messages of a subject, which may hold `*` and `>`, with some of their headers.
    ///
    /// Goes on until it is ended, or the connection closed.
    @discardableResult
    public func subscribe(
        to subject: String,
        headers: [String] = [],
        _ handler: @escaping @Sendable (NATSMessage) -> Void
    ) throws(NATSFailure) -> NATSSubscription {
        let box = HandlerBox(headers: headers, handler: handler)
        return try state.withLock { state throws(NATSFailure) in
            if state.isClosed { throw .disconnected }
            state.lastSubscription += 1
            let number = state.lastSubscription
            state.subscriptions[number] = Subscription(subject: subject, box: box)
            state.subscriptions[number]?.made = try state.handle?.subscribe(subject, box)
            return NATSSubscription(self, number)
        }
    }

    fileprivate func end(subscription number: UInt64) {
        let subscription = state.withLock { $0.subscriptions.removeValue(forKey: number) }
        subscription?.box.end()
        subscription?.made?.end()
    }

    // MARK: The library's calls

    private func withHandle<Value>(_ work: (OpaquePointer) -> Value) -> Value? {
        guard let handle = state.withLock({ $0.handle }) else { return nil }
        return withExtendedLifetime(handle) { work(handle.connection) }
    }

    fileprivate func changed(isConnected: Bool) {
        connected.store(isConnected, ordering: .releasing)
        if isConnected { connections.add(1, ordering: .relaxed) }
        if !isConnected { failPending() }
        for listener in state.withLock({ $0.listeners }) { listener.tell(isConnected) }
    }
}

/// The messages of a subject, as they come.
public struct NATSSubscription: Sendable {
    private let connection: NATSConnection
    private let number: UInt64

    fileprivate init(_ connection: NATSConnection, _ number: UInt64) {
        self.connection = connection
        self.number = number
    }

    /// Ends it; nothing is handed over any more.
    public func end() { connection.end(subscription: number) }
}

/// The library's part of a subscription.
private final class LibrarySubscription: Sendable {
    // The library locks inside: its subscriptions may be used by many threads.
    nonisolated(unsafe) private let subscription: OpaquePointer

    init(_ subscription: OpaquePointer) { self.subscription = subscription }

    /// Ends it, once.
    func end() { martlet_nats_unsubscribe(subscription) }
}

/// The handler of a subscription.
private final class HandlerBox: Sendable {
    /// A closure by itself, as the state of a mutex, would be wrapped once more at each access.
    private struct Handler: Sendable {
        let take: @Sendable (NATSMessage) -> Void
    }

    private let headers: [String]
    private let handler: Mutex<Handler?>

    init(headers: [String], handler: @escaping @Sendable (NATSMessage) -> Void) {
        self.headers = headers
        self.handler = Mutex(Handler(take: handler))
    }

    func take(_ message: OpaquePointer) {
        handler.withLock { $0 }?.take(NATSMessage(message, headers: headers))
    }

    func end() { handler.withLock { $0 = nil } }
}

/// The library's connection; freed when nobody uses it any more.
private final class Handle: Sendable {
    /// What the library's threads are told about.
    private final class Owner: Sendable {
        weak let connection: NATSConnection?
        let isGivenUp = Atomic(false)
        init(_ connection: NATSConnection) { self.connection = connection }
    }

    /// Why there is none.
    struct Failure: Error {
        let why: String
        /// Whether it will be so at the next attempt, too.
        let isForGood: Bool

        func fault(_ settings: NATSConnection.Settings) -> PlatformFault {
            PlatformFault(
                .badSettings,
                "NATS cannot be used with \(settings.servers.map(withoutPassword).joined(separator: ", ")): \(why).",
                hint: "Check the address, and the files of credentials and authorities."
            )
        }
    }

    // The library locks inside: its connections may be used by many threads.
    nonisolated(unsafe) let connection: OpaquePointer
    private let owner: Owner

    private init(_ connection: OpaquePointer, _ owner: Owner) {
        self.connection = connection
        self.owner = owner
    }

    static func open(_ settings: NATSConnection.Settings, for connection: NATSConnection) -> Result<Handle, Failure> {
        let owner = Owner(connection)
        // Kept for good, like the handlers.
        let context = Unmanaged.passRetained(owner).toOpaque()
        var made: OpaquePointer?
        let status = withCStrings(settings.servers) { servers in
            withCStrings([settings.name, settings.credentialsFile ?? "", settings.authoritiesFile ?? ""]) { texts in
                guard let first = servers.baseAddress else { return Int32(MARTLET_NATS_BAD_OPTIONS) }
                var options = martlet_nats_options(
                    servers: first,
                    server_count: Int32(servers.count),
                    name: texts[0],
                    credentials: settings.credentialsFile == nil ? nil : texts[1],
                    authorities: settings.authoritiesFile == nil ? nil : texts[2],
                    is_secure: settings.authoritiesFile != nil,
                    connect_timeout_ms: 3000,
                    reconnect_wait_ms: Int32(settings.reconnectWait / .milliseconds(1)),
                    ping_interval_ms: Int32(settings.pingInterval / .milliseconds(1)),
                    on_disconnected: { Handle.told($0, false) },
                    on_reconnected: { Handle.told($0, true) },
                    on_closed: { Handle.toldClosed($0) },
                    context: context
                )
                return martlet_nats_connect(&options, &made)
            }
        }
        guard let made else {
            let why = martlet_nats_last_error() ?? martlet_nats_status_text(status)
            return .failure(
                Failure(why: String(cString: why), isForGood: status == Int32(MARTLET_NATS_BAD_OPTIONS))
            )
        }
        return .success(Handle(made, owner))
    }

    deinit { martlet_nats_destroy(connection) }

    func close() { martlet_nats_close(connection) }

    /// Whether the library has given up, as it does where it is refused.
    var isGivenUp: Bool { owner.isGivenUp.load(ordering: .acquiring) }

    var lastError: String? { martlet_nats_connection_error(connection).map { String(cString: $0) } }

    func subscribe(_ subject: String, _ box: HandlerBox) throws(NATSFailure) -> LibrarySubscription {
        // Never released: a thread of the library may be inside, and nobody knows for how long.
        let context = Unmanaged.passRetained(box).toOpaque()
        var subscription: OpaquePointer?
        let status = martlet_nats_subscribe(
            connection,
            subject,
            { context, message in
                Unmanaged<HandlerBox>.fromOpaque(context).takeUnretainedValue().take(message)
            },
            context,
            &subscription
        )
        guard status == 0, let subscription else { throw .disconnected }
        return LibrarySubscription(subscription)
    }

    private static func told(_ context: UnsafeMutableRawPointer, _ isConnected: Bool) {
        Unmanaged<Owner>.fromOpaque(context).takeUnretainedValue().connection?.changed(isConnected: isConnected)
    }

    private static func toldClosed(_ context: UnsafeMutableRawPointer) {
        Unmanaged<Owner>.fromOpaque(context).takeUnretainedValue().isGivenUp.store(true, ordering: .releasing)
        told(context, false)
    }

    /// A URL as it may be shown.
    private static func withoutPassword(_ url: String) -> String {
        guard let at = url.lastIndex(of: "@"), let start = url.firstRange(of: "://")?.upperBound, start <= at else {
            return url
        }
        return "\(url[..<start])…\(url[at...])"
    }
}

/// Texts as C has them, during a call.
private func withCStrings<Value>(
    _ texts: [String],
    _ work: (UnsafeBufferPointer<UnsafePointer<CChar>>) -> Value
) -> Value {
    var offsets: [Int] = []
    var bytes: [CChar] = []
    for text in texts {
        offsets.append(bytes.count)
        for byte in text.utf8 { bytes.append(CChar(bitPattern: byte)) }
        bytes.append(0)
    }
    return bytes.withUnsafeBufferPointer { bytes in
        offsets.compactMap { offset in bytes.baseAddress.map { $0 + offset } }.withUnsafeBufferPointer(work)
    }
}
