// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import Testing

@testable import GatewayService

/// What is said of addresses that cannot be listened on, and of those that nobody else reaches.
struct ListenerWordsTests {
    @Test(arguments: ["no.such.host.invalid", "http://a:secret@h"])
    func `a host that is none is blamed, and not the port`(host: String) throws {
        for (role, flag) in [(ListenerRole.api, "--host"), (.page, "--ui-host")] {
            let listener = Listener(role, host: host, port: 1, [.functions])
            let cause = try #require(throws: (any Error).self) { try listener.resolved() }
            let fault = listener.conflict(cause)
            #expect(fault.hint?.contains("by \(flag),") == true && fault.message.contains("no such host"), "\(fault)")
            #expect(!"\(fault)".contains("secret"), "\(fault)")
        }
    }

    @Test func `the address of another machine is blamed on the host, a port that is taken on the port`() {
        let listener = Listener(.api, host: "192.0.2.1", port: 80, [.functions])
        let elsewhere = listener.conflict(IOError(errnoCode: 99, reason: "bind"))
        #expect(elsewhere.hint?.contains("--host") == true, "\(elsewhere)")
        let taken = listener.conflict(IOError(errnoCode: 98, reason: "bind"))
        #expect(taken.hint?.contains("another port by --port") == true, "\(taken)")
    }

    @Test func `localhost is the address that it stands for, where ports meet`() {
        let api = Listener(.api, host: "127.0.0.1", port: 8080, [.functions])
        #expect(throws: PlatformFault.self) {
            try [api, Listener(.page, host: "localhost", port: 8080, [.page])].checkPorts()
        }
        #expect(throws: Never.self) {
            try [api, Listener(.page, host: "127.0.0.2", port: 8080, [.page])].checkPorts()
        }
    }

    @Test func `every address of this machine alone is known as such`() {
        for host in ["127.0.0.1", "127.0.0.2", "::1", "localhost"] {
            #expect(ListenerSettings.isOnlyHere(host), "\(host)")
        }
        for host in ["0.0.0.0", "::", "192.0.2.1", "127.example.org", "h"] {
            #expect(!ListenerSettings.isOnlyHere(host), "\(host)")
        }
    }
}
