// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import NIOCore
import NIOPosix
import ProviderContract

/// One call carried out by a process of its own: body to standard input, standard output to the answer
/// (contract §15.4).
///
/// Both directions flow at once and with back-pressure, so a process that writes while it reads loses nothing. The
/// status is held until the first byte or the exit is known: a process that fails before it said anything is a 500.
final class ProcessExchange: ChannelInboundHandler, Origin {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let contentType: String
    private let collectsOutput: Bool
    private var front: FrontConnection?
    private var context: ChannelHandlerContext?
    private var process: LaunchedProcess?
    private var end: ProcessEnd?
    private var outputEnded = false
    private var inputEnded = false
    private var hasAnswered = false
    private var isWaitingForRoom = false
    private var collected = ByteBuffer()

    init(front: FrontConnection, contentType: String, collectsOutput: Bool) {
        self.front = front
        self.contentType = contentType
        self.collectsOutput = collectsOutput
    }

    // MARK: Life of the process

    /// Starts the process; what happens next happens on the event loop.
    func launch(_ launcher: any ProcessLauncher, _ variables: [(name: String, value: String)], on loop: any EventLoop) {
        let exchange = NIOLoopBound(self, eventLoop: loop)
        launcher.launch(
            requestVariables: variables,
            started: { outcome in loop.execute { exchange.value.started(outcome, on: loop) } },
            ended: { end in loop.execute { exchange.value.ended(end) } }
        )
    }

    private func started(_ outcome: Result<LaunchedProcess, ProcessLaunchError>, on loop: any EventLoop) {
        switch outcome {
        case .failure(let error):
            takeFront()?.failed(PlatformFault(.processFailed, error.message))
        case .success(let process):
            self.process = process
            connect(process, on: loop)
        }
    }

    private func connect(_ process: LaunchedProcess, on loop: any EventLoop) {
        let exchange = NIOLoopBound(self, eventLoop: loop)
        NIOPipeBootstrap(group: loop)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(exchange.value) }
            }
            .takingOwnershipOfDescriptors(input: process.standardOutput, output: process.standardInput)
            .assumeIsolated()
            .whenComplete { [self] outcome in
                switch outcome {
                case .success: connected()
                case .failure(let error):
                    process.kill()
                    takeFront()?.failed(.unexpected(error, doing: "connecting to a process"))
                }
            }
    }

    private func connected() {
        context?.read()
        if inputEnded { closeInput() }
        guard let front else {
            context?.close(promise: nil)
            return
        }
        front.originBecameWritable()
    }

    private func ended(_ end: ProcessEnd) {
        self.end = end
        finishIfDone()
    }

    // MARK: Origin

    var isWritable: Bool { context?.channel.isWritable ?? false }

    func takeBody(_ piece: ByteBuffer) {
        // A process that has closed its input does not want the rest; that is no fault.
        context?.write(wrapOutboundOut(piece), promise: nil)
    }

    func endBody(trailers: ByteBuffer?) {
        inputEnded = true
        closeInput()
    }

    private func closeInput() {
        context?.flush()
        context?.close(mode: .output, promise: nil)
    }

    func flush() { context?.flush() }

    func resumeAnswer() {
        guard isWaitingForRoom else { return }
        isWaitingForRoom = false
        context?.read()
    }

    func abandon() {
        front = nil
        process?.kill()
        context?.close(promise: nil)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let piece = unwrapInboundIn(data)
        guard piece.readableBytes > 0, let front else { return }
        if collectsOutput {
            collected.writeImmutableBuffer(piece)
        } else {
            if !hasAnswered { answerHead(front, framing: .chunked) }
            front.answerBody(piece)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard let front else { return }
        front.flushAnswer()
        if front.canTakeAnswer { context.read() } else { isWaitingForRoom = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { front?.originBecameWritable() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else { return }
        outputEnded = true
        finishIfDone()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A broken pipe: the process stopped reading. Its output and its exit decide what the call was.
        guard !outputEnded else { return }
        context.read()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        outputEnded = true
        finishIfDone()
    }

    // MARK: The answer

    private func answerHead(_ front: FrontConnection, framing: BodyFraming) {
        hasAnswered = true
        let type = contentType
        let isStream = type.hasPrefix("text/event-stream") || type.hasPrefix("application/x-ndjson")
        let seconds = front.elapsedSeconds
        front.answerHead(status: 200, framing: framing, isStream: isStream) { out in
            out.writeField("Content-Type", type)
            out.writeField("X-Duration-Seconds", seconds)
        }
    }

    /// The call is over when the process has exited and everything it printed was read.
    private func finishIfDone() {
        guard let end, outputEnded else { return }
        context?.close(promise: nil)
        guard let front = takeFront() else { return }
        if !hasAnswered, !end.isSuccess {
            return front.failed(PlatformFault(.processFailed, end.description))
        }
        if case .signalled = end { return front.answerBroke() }
        if !hasAnswered {
            answerHead(front, framing: .length(collected.readableBytes))
            if collected.readableBytes > 0 { front.answerBody(collected) }
        }
        front.answerEnded(trailers: nil)
    }

    private func takeFront() -> FrontConnection? {
        let taken = front
        front = nil
        return taken
    }
}

extension FrontConnection {
    /// Carries the call out by a process of its own.
    func startProcess(_ launcher: any ProcessLauncher) {
        guard let head, let entry else { return }
        let rest = rest
        let variables = headBytes.withUnsafeReadableBytes { bytes in
            RequestVariables(
                head,
                rest: rest,
                facts: facts,
                clientAddress: clientAddress,
                in: bytes,
                scanner.fields
            )
        }
        guard let variables else {
            return refuse(PlatformFault(.malformedRequest, "The path has an encoded NUL, which no variable can hold."))
        }
        let exchange = ProcessExchange(
            front: self,
            contentType: launcher.contentType,
            collectsOutput: entry.rules.mode == .serializing
        )
        origin = exchange
        exchange.launch(launcher, variables.variables, on: loopContext.loop)
        beginBody(head)
    }

    /// The call's duration so far, as `X-Duration-Seconds` has it.
    var elapsedSeconds: String {
        var text = ByteBuffer()
        text.writeSeconds(nanoseconds: NIODeadline.now().uptimeNanoseconds &- facts.begun.uptimeNanoseconds)
        return String(buffer: text)
    }
}
