// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Glibc
import NIOCore
import NIOPosix
import ProviderContract
import Synchronization

/// One call carried out by a process of its own: body to standard input, standard output to the answer
/// (contract §15.4).
///
/// Both directions flow at once and with back-pressure, so a process that writes while it reads loses nothing. Each has
/// a channel of its own: a process that stops reading breaks its input, and its output still arrives. The status is
/// held until the first byte or the exit is known: a process that fails before it said anything is a 500.
final class ProcessOrigin: Origin {
    private let contentType: String
    private let collectsOutput: Bool
    private let loop: any EventLoop
    private var exchange: Exchange?
    private var process: LaunchedProcess?
    private var input: (any Channel)?
    private var output: (any Channel)?
    private var end: ProcessEnd?
    private var inputEnded = false
    private var inputBroke = false
    private var outputEnded = false
    private var hasAnswered = false
    private var isWaitingForRoom = false
    private var collected = ByteBuffer()

    init(_ exchange: Exchange, contentType: String, collectsOutput: Bool) {
        self.exchange = exchange
        self.contentType = contentType
        self.collectsOutput = collectsOutput
        loop = exchange.loopContext.loop
    }

    // MARK: Life of the process

    /// Starts the process; what happens next happens on the event loop.
    func launch(_ launcher: any ProcessLauncher, _ variables: [(name: String, value: String)]) {
        let origin = NIOLoopBound(self, eventLoop: loop)
        let loop = loop
        launcher.launch(
            requestVariables: variables,
            started: { outcome in loop.execute { origin.value.started(outcome) } },
            ended: { end in loop.execute { origin.value.ended(end) } }
        )
    }

    private func started(_ outcome: Result<LaunchedProcess, ProcessLaunchError>) {
        switch outcome {
        case .failure(let error):
            exchange.take()?.failed(PlatformFault(.processFailed, error.message))
        case .success(let process) where exchange == nil:
            // Its caller went while it was being started.
            process.kill()
            close(process.standardInput)
            close(process.standardOutput)
        case .success(let process):
            self.process = process
            connect(process)
        }
    }

    private func connect(_ process: LaunchedProcess) {
        let origin = NIOLoopBound(self, eventLoop: loop)
        let (inputTaken, outputTaken) = (PipeTaken(), PipeTaken())
        let input = bootstrap(inputTaken) { InputHandler(origin.value) }
            .takingOwnershipOfDescriptor(output: process.standardInput)
        let output = bootstrap(outputTaken) { OutputHandler(origin.value) }
            .takingOwnershipOfDescriptor(input: process.standardOutput)
        EventLoopFuture.whenAllComplete([input, output], on: loop).assumeIsolated().whenSuccess { [self] outcomes in
            // What was not taken over is still ours to close; what was, goes with its channel.
            self.input = inputTaken.channel(outcomes[0], orClosing: process.standardInput)
            self.output = outputTaken.channel(outcomes[1], orClosing: process.standardOutput)
            for case .failure(let error) in outcomes { return connectFailed(process, error) }
            connected()
        }
    }

    private func connectFailed(_ process: LaunchedProcess, _ error: any Error) {
        process.kill()
        closePipes()
        exchange.take()?.failed(.unexpected(error, doing: "connecting to a process"))
    }

    private func bootstrap(
        _ taken: PipeTaken,
        _ handler: @escaping @Sendable () -> any ChannelHandler
    ) -> NIOPipeBootstrap {
        NIOPipeBootstrap(group: loop)
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                taken.note()
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(handler())
                }
            }
    }

    private func connected() {
        guard let exchange else { return closePipes() }
        output?.read()
        if inputEnded { closeInput() }
        exchange.originBecameWritable()
    }

    private func ended(_ end: ProcessEnd) {
        self.end = end
        finishIfDone()
    }

    // MARK: Origin

    /// What a process that has stopped reading is sent is taken and thrown away; that is no fault.
    var isWritable: Bool { inputBroke || (input?.isWritable ?? false) }

    func takeBody(_ piece: ByteBuffer) {
        guard !inputBroke else { return }
        input?.write(piece, promise: nil)
    }

    func endBody(trailers: ByteBuffer?) {
        inputEnded = true
        closeInput()
    }

    /// Closing a channel drops what it has not written yet, so the end waits for the last byte.
    private func closeInput() {
        guard let input else { return }
        input.writeAndFlush(ByteBuffer()).whenComplete { _ in input.close(promise: nil) }
    }

    func flush() { input?.flush() }

    func resumeAnswer() {
        guard isWaitingForRoom else { return }
        isWaitingForRoom = false
        output?.read()
    }

    func abandon() {
        exchange = nil
        process?.kill()
        closePipes()
    }

    private func closePipes() {
        input?.close(promise: nil)
        output?.close(promise: nil)
    }

    // MARK: Events of the pipes

    fileprivate func inputClosed() {
        inputBroke = true
        exchange?.originBecameWritable()
    }

    fileprivate func inputBecameWritable() { exchange?.originBecameWritable() }

    fileprivate func take(_ piece: ByteBuffer) {
        guard piece.readableBytes > 0, let exchange else { return }
        if collectsOutput {
            collected.writeImmutableBuffer(piece)
        } else {
            if !hasAnswered { answerHead(exchange, framing: .chunked) }
            exchange.loopContext.readClock()
            exchange.answerBody(piece)
        }
    }

    fileprivate func outputPaused() {
        guard let exchange else { return }
        exchange.flushAnswer()
        if exchange.canTakeAnswer { output?.read() } else { isWaitingForRoom = true }
    }

    fileprivate func outputClosed() {
        outputEnded = true
        finishIfDone()
    }

    // MARK: The answer

    private func answerHead(_ exchange: Exchange, framing: BodyFraming) {
        hasAnswered = true
        let type = contentType
        let isStream = type.hasPrefix("text/event-stream") || type.hasPrefix("application/x-ndjson")
        exchange.answerHead(status: 200, framing: framing, isStream: isStream) { $0.writeField("Content-Type", type) }
    }

    /// The call is over when the process has exited and everything it printed was read.
    private func finishIfDone() {
        guard let end, outputEnded else { return }
        closePipes()
        guard let exchange = exchange.take() else { return }
        exchange.loopContext.readClock()
        if !hasAnswered, !end.isSuccess {
            return exchange.failed(PlatformFault(.processFailed, end.description))
        }
        if case .signalled = end { return exchange.answerBroke() }
        if !hasAnswered {
            answerHead(exchange, framing: .length(collected.readableBytes))
            if collected.readableBytes > 0 { exchange.answerBody(collected) }
        }
        exchange.answerEnded(trailers: nil)
    }
}

/// A process's standard input.
///
/// Its breaking is everyday: the process read as much as it wanted.
private final class InputHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let origin: ProcessOrigin

    init(_ origin: ProcessOrigin) { self.origin = origin }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { origin.inputBecameWritable() }
    }

    func channelInactive(context: ChannelHandlerContext) { origin.inputClosed() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// A process's standard output.
private final class OutputHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let origin: ProcessOrigin

    init(_ origin: ProcessOrigin) { self.origin = origin }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { origin.take(unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) { origin.outputPaused() }

    func channelInactive(context: ChannelHandlerContext) { origin.outputClosed() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Starts a process for each call.
final class ProcessSource: OriginSource {
    private let launcher: any ProcessLauncher

    init(_ target: ProcessTarget) { launcher = target.launcher }

    func begin(_ call: OriginCall) {
        let exchange = call.exchange
        guard let head = exchange.head else { return }
        let variables = exchange.headBytes.withUnsafeReadableBytes { RequestVariables(exchange, head, in: $0) }
        guard let variables else {
            let sentence = "The path has an encoded NUL, which no variable can hold."
            return exchange.refuse(PlatformFault(.malformedRequest, sentence))
        }
        let origin = ProcessOrigin(
            exchange,
            contentType: launcher.contentType,
            collectsOutput: launcher.collectsOutput
        )
        exchange.origin = origin
        origin.launch(launcher, variables.variables)
        exchange.carryOut(by: origin)
    }
}

extension RequestVariables {
    fileprivate init?(_ exchange: Exchange, _ head: RequestHead, in bytes: UnsafeRawBufferPointer) {
        self.init(
            head,
            identifiesCalls: exchange.profile.identifiesCalls,
            rest: exchange.rest,
            facts: exchange.facts,
            clientAddress: exchange.clientAddress,
            in: bytes,
            exchange.scanner.fields
        )
    }
}

/// Whether a channel has taken a pipe's descriptor, which it then closes however its making ends.
final class PipeTaken: Sendable {
    private let isTaken = Atomic<Bool>(false)

    /// Nothing is taken yet.
    init() {}

    /// Called when a channel is there.
    func note() { isTaken.store(true, ordering: .relaxed) }

    /// The channel; where there is none the descriptor is closed, once.
    func channel(_ outcome: Result<any Channel, any Error>, orClosing descriptor: CInt) -> (any Channel)? {
        if case .success(let channel) = outcome { return channel }
        if !isTaken.load(ordering: .relaxed) { close(descriptor) }
        return nil
    }
}
