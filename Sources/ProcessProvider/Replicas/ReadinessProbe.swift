// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import NIOPosix

/// Asks a starting replica again and again whether it is ready: by its port, or by a path that must answer 2xx.
///
/// A process cannot be asked to say when it listens, so this one thing is polled: often at first, when a quick function
/// comes up in milliseconds, then less and less.
final class ReadinessProbe {
    private let loop: any EventLoop
    private let port: Int
    private let probe: FunctionRules.Probe
    private let whenReady: () -> Void
    private var successes = 0
    private var interval: TimeAmount
    private var isOver = false

    init(port: Int, probe: FunctionRules.Probe, on loop: any EventLoop, whenReady: @escaping () -> Void) {
        self.port = port
        self.probe = probe
        self.loop = loop
        self.whenReady = whenReady
        interval = .milliseconds(1)
    }

    func start() { schedule(after: TimeAmount(probe.initialDelay)) }

    func cancel() { isOver = true }

    private func schedule(after delay: TimeAmount) {
        loop.assumeIsolated().scheduleTask(in: delay) { [self] in ask() }
    }

    private func ask() {
        guard !isOver else { return }
        let request = probe.path.map { "GET \($0) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n\r\n" }
        let answer = loop.makePromise(of: Bool.self)
        let limit = TimeAmount(probe.timeout)
        let handler = NIOLoopBound(ProbeHandler(request: request, answer: answer), eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(limit)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
            .connect(host: "127.0.0.1", port: port)
            .assumeIsolated()
            .whenComplete { [self] outcome in
                switch outcome {
                case .failure: answer.succeed(false)
                case .success(let channel):
                    loop.assumeIsolated().scheduleTask(in: limit) { channel.close(promise: nil) }
                }
            }
        answer.futureResult.assumeIsolated().whenComplete { [self] outcome in answered((try? outcome.get()) ?? false) }
    }

    private func answered(_ isReady: Bool) {
        guard !isOver else { return }
        successes = isReady ? successes + 1 : 0
        if successes >= probe.successThreshold {
            isOver = true
            return whenReady()
        }
        if let period = probe.period, probe.path != nil { return schedule(after: TimeAmount(period)) }
        schedule(after: interval)
        // 1, 1, 2, 2, 3, … up to 50 ms: a tenth of the time waited so far, roughly.
        interval = min(.milliseconds(50), .nanoseconds(interval.nanoseconds * 11 / 10))
    }
}

private final class ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let request: String?
    private var answer: EventLoopPromise<Bool>?
    private var head = ByteBuffer()

    init(request: String?, answer: EventLoopPromise<Bool>) {
        self.request = request
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        // A connection to itself is no server (the ports are chosen so that it cannot happen; belt and braces).
        guard context.localAddress?.port != context.remoteAddress?.port else { return finish(context, false) }
        guard let request else { return finish(context, true) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var piece = unwrapInboundIn(data)
        head.writeBuffer(&piece)
        guard head.readableBytes >= 12, let line = head.getString(at: 0, length: 12) else { return }
        finish(context, line.hasPrefix("HTTP/1.") && line.dropFirst(9).first == "2")
    }

    func channelInactive(context: ChannelHandlerContext) { finish(context, false) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { finish(context, false) }

    private func finish(_ context: ChannelHandlerContext, _ isReady: Bool) {
        answer?.succeed(isReady)
        answer = nil
        context.close(promise: nil)
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        let parts = duration.components
        self = .nanoseconds(parts.seconds &* 1_000_000_000 &+ parts.attoseconds / 1_000_000_000)
    }
}
