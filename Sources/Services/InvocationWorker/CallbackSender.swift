// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import FaultModel
import Foundation
import FunctionModel
import InvocationEngine
import Logging
import NIOCore
import NIOHTTP1
import QueueContract
import Synchronization

/// Delivers the results of calls to where their senders asked for (contract §7.3).
///
/// A delivery is tried again as a call is, so a receiver that is away for a while misses nothing. Functions of this
/// platform are called without a network in between, where they would let in whoever named them.
final class CallbackSender: Sendable {
    private let queue: any CallQueue
    private let settings: WorkerSettings
    /// Why a function takes no callback; nil where it does.
    private let refusal: @Sendable (FunctionID) -> FaultCode?
    private let call: FunctionCall
    private let logger: Logger
    private let clients: CallbackClients
    private let inFlight = Atomic<Int>(0)
    private let receivers = CallbackReceivers()
    private let wakeups: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    private let isStopping = Atomic<Bool>(false)
    /// When the next one is due, as far as somebody waits for it.
    private let alarm = Mutex<ContinuousClock.Instant?>(nil)
    /// Deliveries at a time.
    private static let slots = 128
    /// Most that a receiver may take.
    private static let limit = Duration.seconds(30)

    init(
        queue: any CallQueue,
        settings: WorkerSettings,
        refusal: @escaping @Sendable (FunctionID) -> FaultCode?,
        call: @escaping FunctionCall,
        logger: Logger
    ) {
        self.queue = queue
        self.settings = settings
        self.refusal = refusal
        self.call = call
        self.logger = logger
        clients = CallbackClients(settings.proxies)
        (wakeups, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Delivers until the task is cancelled.
    func run() async {
        queue.onCallbackDue { [continuation] in continuation.yield() }
        continuation.yield()
        await withDiscardingTaskGroup { group in
            for await _ in wakeups { await deliverDue(&group) }
            group.cancelAll()
        }
    }

    /// Begins no more deliveries; those in flight are made again by the next start.
    func stop() async {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        continuation.finish()
        await clients.shutdown()
    }

    /// Begins deliveries until there is no slot or no callback left; the end of each wakes the sender again.
    private func deliverDue(_ group: inout DiscardingTaskGroup) async {
        let free = Self.slots - inFlight.load(ordering: .relaxed)
        guard free > 0 else { return }
        let admitted = Mutex<[String]>([])
        let taken = try? await queue.takeCallbacks(atMost: free) { [receivers] url in
            guard receivers.enter(url) else { return false }
            admitted.withLock { $0.append(url) }
            return true
        }
        guard let (due, nextDue) = taken else {
            for url in admitted.withLock({ $0 }) { receivers.leave(url) }
            // What is wrong was logged where it is wrong.
            return wake(in: .seconds(1), &group)
        }
        // Admitted, and then another worker was faster.
        var left = admitted.withLock { $0 }
        for callback in due {
            if let slot = left.firstIndex(of: callback.url) { left.remove(at: slot) }
        }
        for url in left { receivers.leave(url) }
        inFlight.add(due.count, ordering: .relaxed)
        for callback in due {
            group.addTask {
                await self.deliver(callback)
                self.receivers.leave(callback.url)
                self.inFlight.subtract(1, ordering: .relaxed)
                self.continuation.yield()
            }
        }
        if due.isEmpty, let nextDue { wake(in: nextDue, &group) }
    }

    private func wake(in wait: Duration, _ group: inout DiscardingTaskGroup) {
        let due = ContinuousClock.now + wait
        let isNeeded = alarm.withLock { alarm in
            // One that goes off sooner looks again, too.
            if let alarm, alarm <= due { return false }
            alarm = due
            return true
        }
        guard isNeeded else { return }
        group.addTask { [self] in
            guard (try? await Task.sleep(until: due, clock: .continuous)) != nil else { return }
            alarm.withLock { if $0 == due { $0 = nil } }
            continuation.yield()
        }
    }

    private func deliver(_ callback: PendingCallback) async {
        // What can never be called was let in by another version, or by somebody else: it is not tried again.
        let first = CallbackURL(callback.url).map { CallbackHop($0.server) }
        let status = if let first { await send(callback, to: first) } else { 400 }
        if Task.isCancelled || isStopping.load(ordering: .sequentiallyConsistent) { return }
        let verdict = first == nil ? .failed(status: status) : verdict(callback, status)
        if case .failed = verdict {
            logger.warning(
                "a callback is given up",
                metadata: [
                    "id": "\(callback.id)", "url": "\(CallbackURL.withoutSecrets(callback.url))", "status": "\(status)",
                ]
            )
        }
        await settle(callback, verdict)
    }

    /// Notes what became of a delivery, however long the queue cannot take it.
    private func settle(_ callback: PendingCallback, _ verdict: CallbackVerdict) async {
        while !isStopping.load(ordering: .sequentiallyConsistent) {
            do throws(PlatformFault) { return try await queue.settleCallback(callback, verdict: verdict) } catch {
                logger.error("the end of a callback cannot be kept; trying again", metadata: ["why": "\(error)"])
            }
            guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
        }
    }

    /// A receiver has taken it when it says so; whatever else it answers, it is asked again.
    private func verdict(_ callback: PendingCallback, _ status: Int) -> CallbackVerdict {
        if (200..<300).contains(status) { return .delivered(status: status) }
        let decision = settings.callbackRetry.decide(
            status: 0,
            isPlatformFault: true,
            attempt: callback.attempts + 1,
            retryAfter: nil,
            chance: Double.random(in: 0..<1)
        )
        switch decision {
        case .retry(let wait): return .retry(after: wait, status: status)
        case .end: return .failed(status: status)
        }
    }

    /// Sends a callback, also to where its receiver says that it is; the status of the last answer, 0 where there was
    /// none.
    private func send(_ callback: PendingCallback, to first: CallbackHop) async -> Int {
        var hop = first
        while true {
            let answer = await ask(hop, callback)
            guard let next = hop.next(answer) else { return answer.status }
            hop = next
        }
    }

    private func ask(_ hop: CallbackHop, _ callback: PendingCallback) async -> CallbackAnswer {
        // The next start begins again from the first hop.
        guard !isStopping.load(ordering: .sequentiallyConsistent) else { return CallbackAnswer(status: 0) }
        let fields = Self.fields(callback, hop, settings)
        if settings.ownHosts.contains(hop.server.authority),
            let target = OwnTarget(hop.server, settings.defaultNamespace)
        {
            // Somebody named it who may not be let in there himself.
            if let code = refusal(target.function) {
                return CallbackAnswer(status: FaultTable.row(for: code).status)
            }
            return await send(callback, fields, to: target)
        }
        return await clients.post(to: hop.server, fields, callback.result.body, within: Self.limit)
    }

    /// The function's answer as a request, with what the receiver wants to know of the call.
    static func fields(
        _ callback: PendingCallback,
        _ hop: CallbackHop,
        _ settings: WorkerSettings
    ) -> [(name: String, value: String)] {
        var fields = FieldLines.read(callback.result.fields).filter { field in
            !["host", "user-agent", "content-length"].contains(field.name.lowercased()) && hop.takes(field.name)
        }
        // As OpenFaaS' provider does it; a body without a type is not ours to name.
        let hasType = fields.contains { $0.name.lowercased() == "content-type" }
        if !hasType, callback.result.body.readableBytes == 0 { fields.append(("Content-Type", "text/plain")) }
        let seconds = String(format: "%f", callback.duration.inSeconds)
        let function = callback.function
        fields.append(("Host", hop.server.authority))
        if let authorization = hop.authorization { fields.append(("Authorization", authorization)) }
        fields.append(("User-Agent", settings.userAgent))
        fields.append(("X-Duration-Seconds", seconds))
        fields.append(("X-Function-Status", String(callback.result.status)))
        let usualName = function.namespace == settings.defaultNamespace ? function.name : function.description
        fields.append(("X-Function-Name", CallbackURL(callback.url)?.calledAs ?? usualName))
        fields.append(("X-Call-Id", callback.callID))
        if callback.result.isTruncated { fields.append(("X-Martlet-Truncated", "true")) }
        return fields
    }

    // MARK: To functions of this platform

    private func send(
        _ callback: PendingCallback,
        _ fields: [(name: String, value: String)],
        to target: OwnTarget
    ) async -> CallbackAnswer {
        let lines = FieldLines.write(fields.filter { $0.name != "X-Call-Id" })
        guard target.isAsynchronous else {
            let request = DirectRequest(
                function: target.function,
                method: "POST",
                target: target.query.map { "\(target.path)?\($0)" } ?? target.path,
                fields: lines,
                body: callback.result.body,
                clientAddress: "127.0.0.1",
                callID: callback.callID,
                answerLimit: 0,
                isAdmitted: false
            )
            return await withCheckedContinuation { continuation in
                _ = call(request) { continuation.resume(returning: CallbackAnswer($0)) }
            }
        }
        let next = NewCall(
            function: target.function,
            path: target.path,
            query: target.query,
            fields: lines,
            body: callback.result.body,
            clientAddress: "127.0.0.1",
            callID: callback.callID,
            // A delivery that is repeated must not become a second call.
            idempotencyKey: "martlet-callback-\(callback.id)-\(callback.end)"
        )
        do throws(PlatformFault) {
            _ = try await queue.accept(next)
            return CallbackAnswer(status: 202)
        } catch {
            return CallbackAnswer(status: FaultTable.row(for: error.code).status)
        }
    }
}

/// A function of this platform as the target of a callback.
struct OwnTarget {
    let function: FunctionID
    let path: String
    let query: String?
    let isAsynchronous: Bool

    /// Nil for a path that is no function's.
    init?(_ url: ServerURL, _ defaultNamespace: String) {
        let prefixes = [("/function/", false), ("/async-function/", true)]
        // As the front door takes them: an address that ends in a slash, and a path behind it.
        let path = "/" + url.path.drop { $0 == "/" }
        guard let (prefix, isAsynchronous) = prefixes.first(where: { path.hasPrefix($0.0) }) else { return nil }
        let rest = path.dropFirst(prefix.count)
        let address = rest.prefix { $0 != "/" }
        guard let function = FunctionID(address: String(address), defaultNamespace: defaultNamespace),
            NameRule.isLabel(function.name),
            function.namespace == defaultNamespace || NameRule.isLabel(function.namespace)
        else { return nil }
        self.function = function
        self.path = String(rest.dropFirst(address.count))
        query = url.query
        self.isAsynchronous = isAsynchronous
    }
}

/// The HTTP clients of callbacks: one for direct connections, one for each proxy.
private final class CallbackClients: Sendable {
    private let proxies: ProxyRules
    /// Nil when they are shut down.
    private let clients = Mutex<[ProxyRules.Proxy?: HTTPClient]?>([:])

    init(_ proxies: ProxyRules) { self.proxies = proxies }

    /// Posts a body; status 0 stands for no answer.
    func post(
        to url: ServerURL,
        _ fields: [(name: String, value: String)],
        _ body: ByteBuffer,
        within limit: Duration
    ) async -> CallbackAnswer {
        let proxy = proxies.proxy(scheme: url.scheme, host: url.host)
        if url.scheme == "http", let proxy {
            let answer = try? await PlainProxy.post(to: url, via: proxy, fields, body, within: limit)
            return answer ?? CallbackAnswer(status: 0)
        }
        var request = HTTPClientRequest(url: url.text)
        request.method = .POST
        request.headers = HTTPHeaders(fields.filter { $0.name != "Host" })
        request.body = .bytes(body)
        // What the receiver has to say beside its status is of no interest, and might never end.
        let answer = try? await client(proxy)?.execute(request, deadline: .now() + TimeAmount(limit))
        guard let answer else { return CallbackAnswer(status: 0) }
        return CallbackAnswer(status: Int(answer.status.code), location: answer.headers.first(name: "location"))
    }

    private func client(_ proxy: ProxyRules.Proxy?) -> HTTPClient? {
        clients.withLock { clients in
            guard let all = clients else { return nil }
            if let client = all[proxy] { return client }
            var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
            configuration.timeout.connect = .seconds(10)
            // A receiver that does not listen is the queue's to try again, with its waits.
            configuration.connectionPool.retryConnectionEstablishment = false
            configuration.proxy = proxy.map { .server(host: $0.host, port: $0.port) }
            let client = HTTPClient(eventLoopGroup: HTTPClient.defaultEventLoopGroup, configuration: configuration)
            clients?[proxy] = client
            return client
        }
    }

    /// Gives all up; from then on nobody is asked.
    func shutdown() async {
        let all = clients.withLock { clients in
            defer { clients = nil }
            return clients ?? [:]
        }
        for client in all.values { try? await client.shutdown() }
    }
}
