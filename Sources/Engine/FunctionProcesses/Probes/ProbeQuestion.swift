// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import NIOPosix
import ProcessControl
import ProviderContract

/// One question to a replica: whether its port accepts, or its path answers 2xx, in time.
enum ProbeQuestion {
    private static let ownMachine = "127.0.0.1"

    /// Calls back once, on the loop.
    static func ask(
        _ address: Upstream.Address,
        probe: ProbeSpec,
        on loop: any EventLoop,
        then answered: @escaping (Bool) -> Void
    ) {
        // By far the most questions are this one, and hundreds of functions may be starting.
        if probe.path == nil, case .tcp(ownMachine, let port) = address, let accepts = PortPool.accepts(port) {
            return answered(accepts)
        }
        let request = probe.path.map {
            "GET \($0) HTTP/1.1\r\nHost: \(address.authority)\r\nConnection: close\r\n\r\n"
        }
        let answer = loop.makePromise(of: Bool.self)
        let limit = TimeAmount(probe.timeout)
        let handler = NIOLoopBound(
            ProbeHandler(request: request, acceptsAnyStatus: probe.acceptsAnyStatus, answer: answer),
            eventLoop: loop
        )
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(limit)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
        connect(bootstrap, to: address)
            .assumeIsolated()
            .whenComplete { outcome in
                switch outcome {
                case .failure: answer.succeed(false)
                case .success(let channel):
                    let isLate = loop.assumeIsolated().scheduleTask(in: limit) { channel.close(promise: nil) }
                    answer.futureResult.assumeIsolated().whenComplete { _ in isLate.cancel() }
                }
            }
        answer.futureResult.assumeIsolated().whenComplete { outcome in answered((try? outcome.get()) ?? false) }
    }

    private static func connect(
        _ bootstrap: ClientBootstrap,
        to address: Upstream.Address
    ) -> EventLoopFuture<any Channel> {
        switch address {
        case .tcp(let host, let port): bootstrap.connect(host: host, port: port)
        case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
        }
    }
}

private final class ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let request: String?
    private let acceptsAnyStatus: Bool
    private var answer: EventLoopPromise<Bool>?
    private var head = ByteBuffer()

    init(request: String?, acceptsAnyStatus: Bool, answer: EventLoopPromise<Bool>) {
        self.request = request
        self.acceptsAnyStatus = acceptsAnyStatus
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        // A connection to itself is no server (the ports are chosen so that it cannot happen; belt and braces).
        guard context.localAddress != context.remoteAddress else { return finish(context, false) }
        guard let request else { return finish(context, true) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: request)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var piece = unwrapInboundIn(data)
        head.writeBuffer(&piece)
        guard head.readableBytes >= 12, let line = head.getString(at: 0, length: 12) else { return }
        finish(context, line.hasPrefix("HTTP/1.") && isSuccess(line.dropFirst(9)))
    }

    private func isSuccess(_ status: Substring) -> Bool {
        acceptsAnyStatus ? status != "503" : status.first == "2"
    }

    func channelInactive(context: ChannelHandlerContext) { finish(context, false) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { finish(context, false) }

    private func finish(_ context: ChannelHandlerContext, _ isReady: Bool) {
        answer?.succeed(isReady)
        answer = nil
        context.close(promise: nil)
    }
}
