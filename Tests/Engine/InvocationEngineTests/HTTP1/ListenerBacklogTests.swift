// SPDX-License-Identifier: Apache-2.0

import Glibc
import InvocationEngine
import NIOCore
import NIOPosix
import TestSupport
import Testing

/// How many clients may wait until they are accepted.
struct ListenerBacklogTests {
    private struct Silent: LocalResponder {
        func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {}
    }

    /// As the system tells it of a socket that listens: the seventh number of `tcp_info` (tcp(7)).
    private func backlog(of socket: CInt) -> UInt32 {
        var bytes = [UInt8](repeating: 0, count: 104)
        var length = socklen_t(bytes.count)
        getsockopt(socket, CInt(IPPROTO_TCP), TCP_INFO, &bytes, &length)
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 28, as: UInt32.self) }
    }

    @Test func `a socket that was there before has as much room as a new one, and so after each hand-over`()
        async throws
    {
        let door = FrontDoor(
            group: .singletonMultiThreadedEventLoopGroup,
            settings: EngineSettings(servedBy: "martlet/test"),
            table: RoutingTable { _, _ in },
            responder: Silent()
        )
        _ = try await door.listen(host: "127.0.0.1", port: 0)
        var sockets = await door.stopListening()
        let own = backlog(of: try #require(sockets.first).socket)
        #expect(own > 128)
        for _ in 0..<2 {
            _ = try await door.listen(on: try #require(sockets.first).socket)
            sockets = await door.stopListening()
            #expect(sockets.map { backlog(of: $0.socket) } == [own])
        }
        for socket in sockets { close(socket.socket) }
    }
}
