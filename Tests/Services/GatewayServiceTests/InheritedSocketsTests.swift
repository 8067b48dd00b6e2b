// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Glibc
import NIOCore
import Testing

@testable import GatewayService

/// Which of the sockets that were there before goes to which listener.
struct InheritedSocketsTests {
    /// A socket that listens; port 0 takes a free one.
    private func listening(_ host: String = "127.0.0.1", _ port: Int = 0) throws -> (socket: CInt, port: Int) {
        let address = try SocketAddress(ipAddress: host, port: port)
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var one: CInt = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<CInt>.size))
        try #require(address.withSockAddr { bind(descriptor, $0, socklen_t($1)) } == 0)
        try #require(listen(descriptor, 4) == 0)
        return (descriptor, try #require(SocketAddress(boundTo: descriptor)?.port))
    }

    private func listener(_ role: ListenerRole, _ port: Int, on host: String = "127.0.0.1") -> Listener {
        Listener(role, host: host, port: port, [.metrics])
    }

    private func accepts(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        let address = try? SocketAddress(ipAddress: "127.0.0.1", port: port)
        return address?.withSockAddr { connect(descriptor, $0, socklen_t($1)) } == 0
    }

    @Test func `a listener gets the socket with its address, whosever it was, and whichever of several`() throws {
        let (api, page, other) = (try listening(), try listening(), try listening())
        let sockets = InheritedSockets([(.page, page.socket), (.api, other.socket), (.api, api.socket)])
        sockets.settle(for: [listener(.api, api.port), listener(.management, page.port), listener(.page, 0)])
        #expect(sockets.take(.api) == api.socket && sockets.take(.api) == nil)
        #expect(sockets.take(.management) == page.socket)
        #expect(sockets.take(.page) == nil)
        close(api.socket)
        close(page.socket)
    }

    @Test func `a socket on another host is another one, and any port is only that of the same listener`() throws {
        let (everywhere, page) = (try listening("0.0.0.0"), try listening())
        let sockets = InheritedSockets([(.api, everywhere.socket), (.page, page.socket)])
        sockets.settle(for: [
            listener(.api, everywhere.port), listener(.metrics, 0), listener(.page, 0),
            listener(.management, 0, on: "0.0.0.0"),
        ])
        #expect(sockets.take(.api) == nil && sockets.take(.metrics) == nil && sockets.take(.management) == nil)
        #expect(sockets.take(.page) == page.socket)
        close(page.socket)
    }

    @Test func `a socket that nobody wants is listened on no more, and in nobody's way, whoever has it, too`() throws {
        let old = try listening("0.0.0.0")
        let copy = dup(old.socket)
        defer { close(copy) }
        #expect(accepts(old.port))
        InheritedSockets([(.api, old.socket)]).settle(for: [listener(.api, old.port)])
        #expect(!accepts(old.port))
        let new = try listening("127.0.0.1", old.port)
        #expect(accepts(old.port))
        close(new.socket)
    }

    @Test func `what nobody listens on is opened beforehand, and found taken while there is a way back`() throws {
        let (api, foreign) = (try listening(), try listening())
        defer { close(foreign.socket) }
        let sockets = InheritedSockets([(.api, api.socket)])
        let fault = #expect(throws: PlatformFault.self) {
            try sockets.prepare([listener(.api, api.port), listener(.metrics, foreign.port)])
        }
        #expect(fault?.code == .conflict && fault?.message.contains(":\(foreign.port): address already") == true)
        #expect(throws: PlatformFault.self) { try sockets.prepare([listener(.page, 0, on: "nowhere.invalid")]) }
        try sockets.prepare([listener(.metrics, 0)])
        sockets.settle(for: [listener(.api, api.port), listener(.metrics, 0)])
        #expect(sockets.take(.api) == api.socket)
        let metrics = try #require(sockets.take(.metrics))
        #expect(accepts(try #require(SocketAddress(boundTo: metrics)?.port)))
        close(metrics)
        close(api.socket)
    }

    @Test func `what is in the way of its own successor's address goes later, if the address is this machine's`() throws
    {
        let old = try listening("0.0.0.0")
        let sockets = InheritedSockets([(.api, old.socket)])
        try sockets.prepare([listener(.api, old.port)])
        #expect(accepts(old.port), "until there is no way back")
        #expect(throws: PlatformFault.self) { try sockets.prepare([listener(.api, old.port, on: "192.0.2.1")]) }
        sockets.settle(for: [listener(.api, old.port)])
        #expect(sockets.take(.api) == nil && !accepts(old.port))
    }

    @Test func `two listeners on one port are bad settings`() throws {
        try [listener(.api, 1), listener(.page, 0), listener(.metrics, 0), listener(.management, 2)].checkPorts()
        try [listener(.api, 1), listener(.page, 1, on: "127.0.0.2")].checkPorts()
        let fault = #expect(throws: PlatformFault.self) {
            try [listener(.api, 1), listener(.metrics, 3), listener(.page, 3)].checkPorts()
        }
        #expect(fault?.code == .badSettings && fault?.message == "--metrics-port and --ui-port are both 3.")
        #expect(throws: PlatformFault.self) {
            try [listener(.api, 1), listener(.page, 1, on: "0.0.0.0")].checkPorts()
        }
    }
}
