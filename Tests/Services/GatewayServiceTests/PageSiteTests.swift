// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import GatewayService

/// Under which names the page is known, and where browsers are led.
struct PageSiteTests {
    private func site(
        page: String = "127.0.0.1",
        api: String = "127.0.0.1",
        names: [String] = [],
        publicURL: String? = nil,
        isEncrypted: Bool = false
    ) -> PageSite {
        let page = Gateway.Page(host: page, port: 8083, apiHost: api, names: names, publicURL: publicURL)
        return PageSite(page, apiPort: 8080, isEncrypted: isEncrypted) { nil }
    }

    @Test(arguments: [
        ("a.example:8083", "a.example", false), ("A.Example.", "a.example", false), ("10.0.0.1:1", "10.0.0.1", true),
        ("[::1]:8083", "[::1]", true), ("::1", "[::1]", true), ("localhost", "localhost", false),
    ])
    func `a Host is a name or an address, and a port`(authority: String, text: String, isAddress: Bool) {
        let host = HostName(authority)
        #expect(host?.text == text && host?.isAddress == isAddress)
    }

    @Test(arguments: [
        "", ":80", "a b", "a/b", "a@b", "[::1", "[a]:1", "[]", "a:b:c", "é.example", "<script>", "a\r\nb",
        String(repeating: "a", count: 254),
    ])
    func `what is neither is none`(authority: String) {
        // An address may lack its closing bracket here: the engine has refused such a field before.
        #expect(HostName(authority) == nil || authority == "[::1")
    }

    @Test func `the page is known under its own names, local ones and bare addresses alone`() {
        let site = site(page: "0.0.0.0", api: "api.example", names: ["Faas.Example"])
        for known in ["api.example:1", "faas.example", "FAAS.example:8083", "localhost:8083", "ui.localhost", "[::1]"] {
            #expect(site.isKnown(known), "\(known)")
        }
        for other in ["evil.example", "faas.example.evil.example", "localhost.evil.example", "", "a b", "127.0.0.1.x"] {
            #expect(!site.isKnown(other), "\(other)")
        }
        #expect(!site.isKnown(nil))
    }

    @Test func `a browser is led to the page on the host that it asked, if the page is there`() {
        #expect(site().page(asSeenBy: "localhost:8080") == "http://localhost:8083/ui/")
        #expect(site(isEncrypted: true).page(asSeenBy: "[::1]:8080") == "https://[::1]:8083/ui/")
        #expect(site().page(asSeenBy: "a b") == "http://127.0.0.1:8083/ui/")
        #expect(site().page(asSeenBy: nil) == "http://127.0.0.1:8083/ui/")
        #expect(site(page: "ui.example").page(asSeenBy: "localhost:8080") == "http://ui.example:8083/ui/")
        #expect(site(page: "::").page(asSeenBy: "x.example") == "http://x.example:8083/ui/")
    }

    @Test func `ports of its own choice are told once they are known`() throws {
        let page = Gateway.Page(host: "127.0.0.1", port: 0, apiHost: "127.0.0.1")
        let addresses = Milestone<Gateway.Addresses>()
        let site = PageSite(page, apiPort: 0, isEncrypted: false) { addresses.value }
        #expect(site.page(asSeenBy: "localhost") == nil)
        addresses.reach(
            Gateway.Addresses(
                api: try SocketAddress(ipAddress: "127.0.0.1", port: 5001),
                page: try SocketAddress(ipAddress: "127.0.0.1", port: 5000)
            )
        )
        #expect(site.page(asSeenBy: "localhost") == "http://localhost:5000/ui/")
        #expect(site.functions(asSeenBy: "localhost:5000") == "http://localhost:5001")
    }

    @Test func `functions are called where others reach them, or on the host of the page`() {
        #expect(site(publicURL: "https://faas.example/").functions(asSeenBy: "a") == "https://faas.example")
        #expect(site().functions(asSeenBy: "10.0.0.9:8083") == "http://10.0.0.9:8080")
    }
}
