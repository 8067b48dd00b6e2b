// SPDX-License-Identifier: Apache-2.0

import Foundation
public import NIOCore
import NIOPosix
import Synchronization

/// A function's server that answers with exactly the bytes it is told to.
public final class ScriptedOrigin: Sendable {
    /// What to do about the bytes of a request.
    public enum Step: Sendable {
        /// Send these bytes.
        case send(String)
        /// Send these bytes, which need not be text.
        case sendBytes([UInt8])
        /// Close the connection.
        case close
        /// Send these bytes, and close the connection when they are out.
        case sendAndClose(String)
        /// Send a short answer only when the test says so: it is handed what releases it.
        case hold(@Sendable (_ hand: @escaping @Sendable () -> Void) -> Void)
    }

    /// The port it listens on; 0 for a socket in the file system.
    public let port: Int
    private let channel: any Channel
    private let seen = Mutex<[String]>([])

    /// Listens on a loopback port, a free one for 0, or on a socket in the file system.
    ///
    /// `answer` is asked once per request head that has come whole; `prepare` puts what decodes bytes before that, TLS say,
    /// into the pipeline of each connection.
    public init(
        host: String = "127.0.0.1",
        port: Int = 0,
        path: String? = nil,
        prepare: (@Sendable (any Channel) throws -> Void)? = nil,
        answer: @escaping @Sendable (_ request: String) -> [Step]
    ) async throws {
        let (heads, continuation) = AsyncStream.makeStream(of: String.self)
        requests = heads
        let bootstrap = ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try prepare?(channel)
                    try channel.pipeline.syncOperations.addHandler(
                        ScriptHandler(answer: answer) { continuation.yield($0) }
                    )
                }
            }
        channel =
            if let path {
                try await bootstrap.bind(unixDomainSocketPath: path).get()
            } else {
                try await bootstrap.bind(host: host, port: port).get()
            }
        self.port = channel.localAddress?.port ?? 0
    }

    /// The heads of the requests that came, in their order.
    public let requests: AsyncStream<String>

    /// The head of the next request.
    public func nextRequest() async -> String {
        for await request in requests { return request }
        return ""
    }

    deinit { channel.close(promise: nil) }
}

private final class ScriptHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let released = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nreleased"
    private let answer: @Sendable (String) -> [ScriptedOrigin.Step]
    private let report: (String) -> Void
    private var text = ""

    init(answer: @escaping @Sendable (String) -> [ScriptedOrigin.Step], report: @escaping (String) -> Void) {
        self.answer = answer
        self.report = report
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        text += String(buffer: unwrapInboundIn(data))
        while let end = text.range(of: "\r\n\r\n") {
            let head = String(text[..<end.upperBound])
            text = String(text[end.upperBound...])
            report(head)
            for step in answer(head) {
                switch step {
                case .send(let bytes): context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: bytes)), promise: nil)
                case .sendBytes(let bytes):
                    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
                case .close: context.close(promise: nil)
                case .sendAndClose(let bytes):
                    let channel = context.channel
                    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: bytes)))
                        .whenComplete { _ in channel.close(promise: nil) }
                case .hold(let take):
                    let channel = context.channel
                    take { channel.writeAndFlush(ByteBuffer(string: Self.released), promise: nil) }
                }
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
