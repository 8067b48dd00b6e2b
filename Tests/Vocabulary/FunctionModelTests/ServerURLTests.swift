// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import TestSupport
import Testing

struct ServerURLTests {
    @Test func `a URL is split into what connections and requests need`() throws {
        let url = try #require(ServerURL("HTTPS://us%3Aer:p%40ss@Host.Example:8443/a%2Fb/ä b?x=<1>&y#part"))
        #expect(url.scheme == "https" && url.host == "host.example" && url.port == 8443)
        #expect(url.authority == "host.example:8443" && url.base == "https://host.example:8443")
        #expect(url.path == "/a%2Fb/%C3%A4%20b" && url.query == "x=%3C1%3E&y")
        #expect(url.login?.user == "us:er" && url.login?.password == "p@ss")
        #expect(url.login.map { "\($0)" } == "***" && !url.text.contains("@"))
        #expect(url.text == "https://host.example:8443/a%2Fb/%C3%A4%20b?x=%3C1%3E&y")
    }

    @Test func `what is missing is a slash, no query, and the scheme's own port`() throws {
        let url = try #require(ServerURL("http://h"))
        #expect(url.port == 80 && url.path == "/" && url.query == nil && url.authority == "h" && url.login == nil)
        #expect(ServerURL("https://h:")?.port == 443)
        #expect(ServerURL("http://h?x=1")?.target == "/?x=1")
        #expect(ServerURL("nats://h", defaultPorts: ["nats": 4222])?.port == 4222)
        #expect(ServerURL("nats://h") == nil)
    }

    @Test func `an address of IPv6 loses its brackets, and keeps its link`() throws {
        let url = try #require(ServerURL("http://[FE80::1%25eth0]:8080/x"))
        #expect(url.host == "fe80::1%eth0" && url.authority == "[fe80::1%25eth0]:8080")
        #expect(ServerURL("http://[::1]")?.host == "::1")
        #expect(ServerURL("http://[::ffff:127.0.0.1]:1")?.port == 1)
    }

    @Test(arguments: [
        "65536", "0", "00000", "99999", "70000", "-1", "+80", " 80", "80 ", "8o", "８０", "99999999999999999999",
        "000080",
        "4294967376", "18446744073709551696", "80:80",
    ]) func `a port is a number from 1 to 65535, whatever stands before it`(port: String) {
        for host in ["127.0.0.1", "localhost", "[::1]", "user:pw@h"] {
            #expect(ServerURL("http://\(host):\(port)/") == nil)
        }
    }

    @Test(arguments: [
        "", "h", "/x", "//h/x", "http:", "http:/h", "http:///x", "http://", "http://:80/", "http://@/", "ftp://h",
        "http://h h/",
        "http://h\u{0}/", "http://h/\r\nX: y", "http://[::1", "http://::1/", "http://[]/", "http://[::g]/",
        "http://[1.2.3.4]/",
        "http://[::1]x/", "http://h%41/", "http://[::1%25]/", "http://a,b/", "http://ä/",
    ]) func `anything else is no server's`(text: String) {
        #expect(ServerURL(text) == nil)
    }

    @Test func `whatever is read here is read alike by the library that connects`() {
        var random = SeededGenerator()
        let seeds = [
            "http://127.0.0.1:65535/a/b?c=d", "https://user:pw@[::1]:443/?x", "http://host.example:80",
            "http://h/%41%zz",
            "http://[fe80::1%25lo]:1/",
        ]
        for _ in 0..<20_000 {
            let seed = Array((seeds.randomElement(using: &random) ?? "").utf8)
            let text = String(decoding: random.mutated(seed), as: UTF8.self)
            guard let url = ServerURL(text) else { continue }
            let read = URL(string: url.text)
            #expect(read?.scheme == url.scheme && read?.host == url.host, "\(text) \(random)")
            #expect(read?.port ?? ServerURL.webPorts[url.scheme] == url.port, "\(text) \(random)")
            #expect(ServerURL(url.text)?.text == url.text, "\(text) \(random)")
        }
    }
}
