// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import TestSupport
import Testing

@testable import InvocationWorker

/// Where a callback goes whose receiver says that it is elsewhere.
struct CallbackHopTests {
    private func hop(_ url: String) throws -> CallbackHop { CallbackHop(try #require(ServerURL(url))) }

    private func next(_ hop: CallbackHop, _ location: String?, status: Int = 307) -> CallbackHop? {
        hop.next(CallbackAnswer(status: status, location: location))
    }

    @Test(arguments: [
        ("http://other/x?y", "http://other/x?y"), ("//other:81/x", "http://other:81/x"), ("/x", "http://h:80/x"),
        ("x/y?z", "http://h:80/a/x/y?z"), ("?q=1", "http://h:80/a/b?q=1"), ("", "http://h:80/a/b?c"),
        ("HTTPS://H/", "https://h/"), ("x:y", nil), ("ftp://h/", nil), ("http://h:65536/", nil), ("//[::1/", nil),
        ("/\r\nX: y", nil), ("./x:y", "http://h:80/a/./x:y"),
    ]) func `the place it names is seen from where it is`(location: String, expected: String?) throws {
        #expect(next(try hop("http://h:80/a/b?c"), location)?.server.text == expected)
    }

    @Test func `only 307 and 308 keep method and body, so only those are followed, and three at most`() throws {
        var hop = try hop("http://h/")
        for status in [200, 300, 301, 302, 303, 304, 305, 306, 404, 500, 0] {
            #expect(next(hop, "/x", status: status) == nil, "\(status)")
        }
        #expect(next(hop, nil) == nil)
        for status in [307, 308, 307] { hop = try #require(next(hop, "/x", status: status)) }
        #expect(next(hop, "/x") == nil)
    }

    @Test func `what was sent by https is never sent on by http`() throws {
        #expect(next(try hop("https://h/"), "http://h/") == nil)
        let upgraded = try #require(next(try hop("http://h/"), "https://h/"))
        #expect(next(upgraded, "http://h/") == nil)
    }

    @Test func `user and password become Basic, and never go to another host`() throws {
        let first = try hop("http://us%3Aer:p%40ss@h/")
        #expect(first.authorization == "Basic dXM6ZXI6cEBzcw==")
        #expect(next(first, "/x")?.authorization == first.authorization)
        for elsewhere in ["http://other/", "http://h:81/", "https://h/", "//user:pw@other/"] {
            let hop = try #require(next(first, elsewhere))
            #expect(hop.authorization == nil && !hop.server.text.contains("@"), "\(elsewhere)")
            for field in ["Authorization", "cookie", "Proxy-Authorization"] { #expect(!hop.takes(field)) }
            #expect(hop.takes("Content-Type"))
            // Nor do they come back.
            #expect(next(hop, "http://h/")?.authorization == nil)
        }
        #expect(!first.takes("authorization") && first.takes("Cookie"))
        #expect(try hop("http://h/").takes("Authorization"))
    }

    @Test func `whatever a receiver answers leads to a server or nowhere`() throws {
        var random = SeededGenerator()
        let seeds = ["http://other:80/x?y#z", "//[::1]:443/", "../a/b", "?q", "https://user:pw@h:1/"]
        for _ in 0..<5000 {
            let bytes = Array((seeds.randomElement(using: &random) ?? "").utf8)
            let location = String(decoding: random.mutated(bytes), as: UTF8.self)
            guard let found = next(try hop("https://h/a/b"), location) else { continue }
            #expect(found.server.scheme == "https" && ServerURL(found.server.text) != nil, "\(location) \(random)")
        }
    }
}
