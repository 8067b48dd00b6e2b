// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import NIOPosix
import ProviderContract
import Testing

@testable import FunctionProcesses

struct ReadinessProbeTests {
    /// A server that answers every connection's first bytes with a status.
    private func server(_ status: String) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Answering(status: status))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private func ask(_ port: Int, anyStatus: Bool) async -> Bool {
        var probe = ProbeSpec(path: "/_/health")
        probe.acceptsAnyStatus = anyStatus
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let asked = probe
        return await withCheckedContinuation { continuation in
            loop.execute {
                ProbeQuestion.ask(.tcp(host: "127.0.0.1", port: port), probe: asked, on: loop) {
                    continuation.resume(returning: $0)
                }
            }
        }
    }

    @Test(arguments: [("200 OK", true, true), ("404 Not Found", false, true), ("500 Oops", false, true)])
    func `any status but 503 counts where that is asked for, 2xx alone otherwise`(
        status: String,
        usually: Bool,
        always: Bool
    ) async throws {
        let server = try await server(status)
        let port = try #require(server.localAddress?.port)
        #expect(await ask(port, anyStatus: false) == usually)
        #expect(await ask(port, anyStatus: true) == always)
        try await server.close()
    }

    @Test func `a server that is not available yet, and one that says nothing of HTTP, are not ready`() async throws {
        for status in ["503 Service Unavailable", ""] {
            let server = try await server(status)
            let port = try #require(server.localAddress?.port)
            #expect(await ask(port, anyStatus: true) == false)
            try await server.close()
        }
    }
}

private final class Answering: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let status: String

    init(status: String) { self.status = status }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = status.isEmpty ? "220 mail.example ESMTP\r\n" : "HTTP/1.1 \(status)\r\nContent-Length: 0\r\n\r\n"
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }
}
