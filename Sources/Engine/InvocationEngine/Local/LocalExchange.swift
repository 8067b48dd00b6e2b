// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import Synchronization

/// One request answered by the local responder: the bridge from the connection's event loop to a task and back.
final class LocalExchange: Origin {
    typealias Source = LocalRequestBody.Producer.Source

    private let loopContext: LoopContext
    private let responder: any LocalResponder
    private var front: FrontConnection?
    private var source: Source?
    private var bodyHasRoom = true
    private var task: Task<Void, Never>?
    private var waitingWrites: [CheckedContinuation<Void, any Error>] = []
    private var hasHead = false

    init(_ front: FrontConnection) {
        self.front = front
        loopContext = front.loopContext
        responder = front.responder
    }

    /// Runs the responder.
    ///
    /// The task lives as long as the exchange, which cancels it when the client goes.
    func run(_ request: LocalRequest, hasBody: Bool) {
        let exchange = NIOLoopBound(self, eventLoop: loopContext.loop)
        let loop = loopContext.loop
        let body = hasBody ? makeBody(exchange, loop) : LocalRequestBody(stream: nil)
        let writer = LocalWriter(exchange: exchange, loop: loop)
        // Unowned: begun on an event loop; the exchange cancels it.
        task = Task { [responder] in
            await responder.respond(to: request, body: body, writer: writer)
            loop.execute { exchange.value.responderReturned() }
        }
    }

    private func makeBody(_ exchange: NIOLoopBound<LocalExchange>, _ loop: any EventLoop) -> LocalRequestBody {
        let delegate = LocalBodyDelegate(
            demand: { loop.execute { exchange.value.bodyIsWanted() } },
            end: { loop.execute { exchange.value.bodyIsUnwanted() } }
        )
        let made = LocalRequestBody.Producer.makeSequence(
            elementType: ByteBuffer.self,
            failureType: (any Error).self,
            backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8),
            finishOnDeinit: true,
            delegate: delegate
        )
        source = made.source
        return LocalRequestBody(stream: made.sequence)
    }

    private func bodyIsWanted() {
        bodyHasRoom = true
        front?.originBecameWritable()
    }

    /// The responder does not want the rest: it is read and dropped, so that the answer can be written.
    private func bodyIsUnwanted() {
        source = nil
        bodyIsWanted()
    }

    private func responderReturned() {
        guard let front = front.take() else { return }
        loopContext.readClock()
        guard hasHead else {
            return front.failed(PlatformFault(.internalError, "Martlet has no answer to this request."))
        }
        front.answerEnded(trailers: nil)
    }

    // MARK: Origin

    var isWritable: Bool { bodyHasRoom }

    func takeBody(_ piece: ByteBuffer) {
        guard let source else { return }
        if case .stopProducing = source.yield(contentsOf: CollectionOfOne(piece)) { bodyHasRoom = false }
    }

    func endBody(trailers: ByteBuffer?) {
        source?.finish()
        source = nil
    }

    func flush() {}

    func resumeAnswer() {
        let writes = waitingWrites
        waitingWrites = []
        for write in writes { write.resume() }
    }

    func abandon() {
        front = nil
        task?.cancel()
        source?.finish(ClientGone())
        source = nil
        let writes = waitingWrites
        waitingWrites = []
        for write in writes { write.resume(throwing: ClientGone()) }
    }

    // MARK: Writing, on the event loop

    fileprivate func writeHead(status: Int, headers: [(name: String, value: String)]) throws {
        guard let front else { throw ClientGone() }
        hasHead = true
        let length = headers.first { $0.name.lowercased() == "content-length" }.flatMap { Int($0.value) }
        let noBody = status == 204 || status == 304 || status < 200
        let framing: BodyFraming = noBody ? .none : length.map { .length($0) } ?? .chunked
        front.answerHead(status: status, framing: framing) { out in
            for (name, value) in headers where !Self.isOurs(name) {
                out.writeString(name)
                out.writeStaticString(": ")
                out.writeString(value)
                out.writeStaticString("\r\n")
            }
        }
    }

    private static func isOurs(_ name: String) -> Bool {
        ["content-length", "transfer-encoding", "connection", "date"].contains(name.lowercased())
    }

    fileprivate func write(_ bytes: ByteBuffer, _ continuation: CheckedContinuation<Void, any Error>) {
        guard let front else { return continuation.resume(throwing: ClientGone()) }
        loopContext.readClock()
        if bytes.readableBytes > 0 { front.answerBody(bytes) }
        front.flushAnswer()
        if front.canTakeAnswer { continuation.resume() } else { waitingWrites.append(continuation) }
    }
}

/// The client closed its connection before the exchange was over.
struct ClientGone: Error {}

private struct LocalWriter: LocalResponseWriter {
    let exchange: NIOLoopBound<LocalExchange>
    let loop: any EventLoop

    func writeHead(status: Int, headers: [(name: String, value: String)]) async throws {
        let exchange = exchange
        try await loop.submit { try exchange.value.writeHead(status: status, headers: headers) }.get()
    }

    func write(_ bytes: ByteBuffer) async throws {
        let (exchange, loop) = (exchange, loop)
        try await withCheckedThrowingContinuation { continuation in
            loop.execute { exchange.value.write(bytes, continuation) }
        }
    }
}

extension FrontConnection {
    /// Lets the local responder answer.
    func answerLocally(_ head: RequestHead) {
        let request = headBytes.withUnsafeReadableBytes {
            localRequest(head, Self.localTarget(head, in: $0), in: $0)
        }
        let exchange = LocalExchange(self)
        origin = exchange
        armExchangeTimer()
        exchange.run(request, hasBody: !body.isDone)
        beginBody(head)
    }

    /// Path and query, with one slash at the beginning: none is what an absolute target may have, and several are what
    /// `Destination` takes for one.
    private static func localTarget(_ head: RequestHead, in bytes: UnsafeRawBufferPointer) -> String {
        let path = UnsafeRawBufferPointer(rebasing: bytes[head.target.lowerBound..<head.pathEnd])
        let start = head.target.lowerBound + Destination.extraSlashes(path)
        return (path.isEmpty ? "/" : "") + String(decoding: bytes[start..<head.target.upperBound], as: UTF8.self)
    }

    /// What a function is asked, for those who carry calls out in ways of their own.
    var requestAtFunction: LocalRequest {
        guard let head else {
            return LocalRequest(method: "", target: "/", headers: [], contentLength: 0, clientAddress: nil)
        }
        return headBytes.withUnsafeReadableBytes { bytes in
            let target = String(decoding: bytes[rest], as: UTF8.self)
            return localRequest(head, target.hasPrefix("/") ? target : "/" + target, in: bytes)
        }
    }

    private func localRequest(
        _ head: RequestHead,
        _ target: String,
        in bytes: UnsafeRawBufferPointer
    ) -> LocalRequest {
        let length: Int? =
            switch head.framing {
            case .length(let length): length
            case .chunked: nil
            case .none, .untilClose: 0
            }
        return LocalRequest(
            method: String(decoding: bytes[head.methodRange], as: UTF8.self),
            target: target,
            headers: scanner.fields.filter { !$0.name.endsAtHop }.map {
                (
                    String(decoding: $0.nameBytes(in: bytes), as: UTF8.self),
                    String(decoding: $0.valueBytes(in: bytes), as: UTF8.self)
                )
            },
            contentLength: length,
            clientAddress: clientAddress.isEmpty ? nil : clientAddress
        )
    }
}
