// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import NIOHTTP1
import NIOPosix

/// Posts to an `http` URL through a proxy, with the whole URL in the request line (RFC 9112 §3.2.2).
///
/// AsyncHTTPClient asks a proxy for a tunnel instead, which most proxies grant to port 443 alone.
enum PlainProxy {
    /// Posts a body.
    static func post(
        to url: ServerURL,
        via proxy: ProxyRules.Proxy,
        _ fields: [(name: String, value: String)],
        _ body: ByteBuffer,
        within limit: Duration
    ) async throws -> CallbackAnswer {
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connectTimeout(.seconds(10))
            .connect(host: proxy.host, port: proxy.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(
                        wrappingChannelSynchronously: channel
                    )
                }
            }
        var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: url.text, headers: HTTPHeaders(fields))
        head.headers.replaceOrAdd(name: "Content-Length", value: String(body.readableBytes))
        head.headers.replaceOrAdd(name: "Connection", value: "close")
        let request: [HTTPClientRequestPart] = [.head(head), .body(.byteBuffer(body)), .end(nil)]
        return try await withThrowingTaskGroup(of: CallbackAnswer.self) { group in
            group.addTask { try await exchange(request, on: channel) }
            group.addTask {
                try await Task.sleep(for: limit)
                throw ChannelError.connectTimeout(TimeAmount(limit))
            }
            defer { group.cancelAll() }
            return try await group.next() ?? CallbackAnswer(status: 0)
        }
    }

    private static func exchange(
        _ request: [HTTPClientRequestPart],
        on channel: NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>
    ) async throws -> CallbackAnswer {
        try await channel.executeThenClose { inbound, outbound in
            for part in request { try await outbound.write(part) }
            for try await case .head(let head) in inbound where head.status.code >= 200 {
                return CallbackAnswer(
                    status: Int(head.status.code),
                    location: head.headers.first(name: "location")
                )
            }
            throw ChannelError.eof
        }
    }
}
