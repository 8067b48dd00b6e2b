// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import Synchronization

/// One request answered by the local responder: the bridge from the connection's event loop to a task and back.
final class LocalOrigin: Origin {
    typealias Source = LocalRequestBody.Producer.Source

    private let loopContext: LoopContext
    private let responder: any LocalResponder
    private var exchange: Exchange?
    private var source: Source?
    private var bodyHasRoom = true
    private var task: Task<Void, Never>?
    private var waitingWrites: [CheckedContinuation<Void, any Error>] = []
    private var hasHead = false

    init(_ exchange: Exchange, _ responder: any LocalResponder) {
        self.exchange = exchange
        self.responder = responder
        loopContext = exchange.loopContext
    }

    /// Runs the responder.
    ///
    /// The task lives as long as the origin, which cancels it when the client goes.
    func run(_ request: LocalRequest, hasBody: Bool) {
        let origin = NIOLoopBound(self, eventLoop: loopContext.loop)
        let loop = loopContext.loop
        let body = hasBody ? makeBody(origin, loop) : LocalRequestBody(stream: nil)
        let writer = LocalWriter(origin: origin, loop: loop)
        // Unowned: begun on an event loop; the exchange cancels it.
        task = Task { [responder] in
            await responder.respond(to: request, body: body, writer: writer)
            loop.execute { origin.value.responderReturned() }
        }
    }

    private func makeBody(_ origin: NIOLoopBound<LocalOrigin>, _ loop: any EventLoop) -> LocalRequestBody {
        let delegate = LocalBodyDelegate(
            demand: { loop.execute { origin.value.bodyIsWanted() } },
            end: { loop.execute { origin.value.bodyIsUnwanted() } }
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
        exchange?.originBecameWritable()
    }

    /// The responder does not want the rest: it is read and dropped, so that the answer can be written.
    private func bodyIsUnwanted() {
        source = nil
        bodyIsWanted()
    }

    private func responderReturned() {
        guard let exchange = exchange.take() else { return }
        loopContext.readClock()
        guard hasHead else {
            return exchange.failed(PlatformFault(.internalError, "Martlet has no answer to this request."))
        }
        exchange.answerEnded(trailers: nil)
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
        exchange = nil
        task?.cancel()
        source?.finish(ClientGone())
        source = nil
        let writes = waitingWrites
        waitingWrites = []
        for write in writes { write.resume(throwing: ClientGone()) }
    }

    // MARK: Writing, on the event loop

    fileprivate func writeHead(status: Int, headers: [(name: String, value: String)]) throws {
        guard let exchange else { throw ClientGone() }
        hasHead = true
        let length = headers.first { $0.name.lowercased() == "content-length" }.flatMap { Int($0.value) }
        let noBody = status == 204 || status == 304 || status < 200
        let framing: BodyFraming = noBody ? .none : length.map { .length($0) } ?? .chunked
        exchange.answerHead(status: status, framing: framing) { out in
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
        guard let exchange else { return continuation.resume(throwing: ClientGone()) }
        loopContext.readClock()
        if bytes.readableBytes > 0 { exchange.answerBody(bytes) }
        exchange.flushAnswer()
        if exchange.canTakeAnswer { continuation.resume() } else { waitingWrites.append(continuation) }
    }
}

/// The client closed its connection before the exchange was over.
struct ClientGone: Error {}

private struct LocalWriter: LocalResponseWriter {
    let origin: NIOLoopBound<LocalOrigin>
    let loop: any EventLoop

    func writeHead(status: Int, headers: [(name: String, value: String)]) async throws {
        let origin = origin
        try await loop.submit { try origin.value.writeHead(status: status, headers: headers) }.get()
    }

    func write(_ bytes: ByteBuffer) async throws {
        let (origin, loop) = (origin, loop)
        try await withCheckedThrowingContinuation { continuation in
            loop.execute { origin.value.write(bytes, continuation) }
        }
    }
}

extension Exchange {
    /// Lets a responder answer.
    final func answer(by responder: any LocalResponder, _ head: RequestHead) {
        let request = headBytes.withUnsafeReadableBytes { bytes in
            LocalRequest(self, head, target: LocalRequest.target(head, in: bytes), in: bytes)
        }
        let origin = LocalOrigin(self, responder)
        self.origin = origin
        armTimer()
        origin.run(request, hasBody: !hasSentBody)
        carryOut(by: origin)
    }
}
