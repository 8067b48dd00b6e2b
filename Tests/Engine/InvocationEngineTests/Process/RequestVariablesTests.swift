// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import InvocationEngine

/// What a process per call is told of its request (contract §15.5).
struct RequestVariablesTests {
    private func variables(
        _ line: String = "GET /a HTTP/1.1",
        _ fields: String = "",
        identifiesCalls: Bool = true
    ) throws -> [String: String]? {
        let bytes = Array("\(line)\r\nHost: gw:8080\r\n\(fields)\r\n".utf8)
        return try bytes.withUnsafeBytes { raw in
            var scanner = HeadScanner()
            _ = try #require(try scanner.scan(raw, limit: 65_536))
            let head = try RequestHead(scanner.startLine, scanner.fields, in: raw)
            if head.options.namesFields { scanner.markNamedFields(in: raw) }
            var facts = CallFacts()
            facts.callID = .kept("the-call")
            facts.startTime = 7
            facts.trace = head.traceParent.map { .client($0) } ?? .new(1, 2, 3)
            let made = RequestVariables(
                head,
                identifiesCalls: identifiesCalls,
                rest: head.target,
                facts: facts,
                clientAddress: "10.0.0.9",
                in: raw,
                scanner.fields
            )
            // Two of one name would mean one thing to one program and another to the next.
            return made.map { Dictionary(uniqueKeysWithValues: $0.variables.map { ($0.name, $0.value) }) }
        }
    }

    @Test func `a request's line and fields become variables, of a repeated field the first value`() throws {
        let all = try #require(
            try variables(
                "POST /a%20b?c=d HTTP/1.1",
                "content-TYPE: text/plain\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n"
            )
        )
        #expect(all["Http_Method"] == "POST" && all["Http_Path"] == "/a b" && all["Http_Query"] == "c=d")
        #expect(all["Http_Content_Type"] == "text/plain" && all["Http_X_A"] == "1" && all["Http_Content_Length"] == "3")
        #expect(all["Http_X_Call_Id"] == "the-call" && all["Http_X_Start_Time"] == "7")
        #expect(all["Http_X_Forwarded_For"] == "10.0.0.9" && all["Http_X_Forwarded_Host"] == "gw:8080")
        #expect(all["Http_Traceparent"]?.hasPrefix("00-") == true && all["Http_Host"] == nil)
    }

    @Test(arguments: [true, false])
    func `no field of a client's overrides what the platform tells`(identifiesCalls: Bool) throws {
        let forged = [
            "Path", "Method", "Query", "METHOD", "path", "Transfer_Encoding", "Content_Length", "X_Call_Id",
            "X_Start-Time", "X_Forwarded_For", "X-Forwarded_Host", "tRAnsfer_encODing",
        ]
        let fields = forged.map { "\($0): forged\r\n" }.joined()
        let all = try #require(try variables("GET /a HTTP/1.1", fields, identifiesCalls: identifiesCalls))
        #expect(all["Http_Method"] == "GET" && all["Http_Path"] == "/a")
        #expect(!all.values.contains("forged"), "\(all)")
        let chunked = try #require(
            try variables(
                "POST /a?b HTTP/1.1",
                fields + "Transfer-Encoding: chunked\r\n",
                identifiesCalls: identifiesCalls
            )
        )
        #expect(chunked["Http_Query"] == "b" && chunked["Http_Transfer_Encoding"] == "chunked")
        #expect(!chunked.values.contains("forged"), "\(chunked)")
    }

    @Test(arguments: ["Proxy", "PROXY", "proxy"])
    func `a client's Proxy field is no variable, since libraries would obey it`(name: String) throws {
        let all = try #require(try variables("GET / HTTP/1.1", "\(name): http://evil:1\r\nX-Proxy: fine\r\n"))
        #expect(!all.values.contains("http://evil:1") && all["Http_X_Proxy"] == "fine")
    }

    @Test func `ids, times and addresses are the gateway's own, and behind a gateway those that it wrote`() throws {
        let fields = "X-Call-Id: theirs\r\nX-Start-Time: 1\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: h\r\n"
        let first = try #require(try variables("GET / HTTP/1.1", fields))
        #expect(first["Http_X_Call_Id"] == "the-call" && first["Http_X_Start_Time"] == "7")
        #expect(first["Http_X_Forwarded_For"] == "9.9.9.9, 10.0.0.9" && first["Http_X_Forwarded_Host"] == "h")
        let second = try #require(try variables("GET / HTTP/1.1", fields, identifiesCalls: false))
        #expect(second["Http_X_Call_Id"] == "theirs" && second["Http_X_Start_Time"] == "1")
        #expect(second["Http_X_Forwarded_For"] == "9.9.9.9" && second["Http_X_Forwarded_Host"] == "h")
    }

    @Test func `what ends at this hop is not told, nor a trace that is none`() throws {
        let all = try #require(
            try variables(
                "GET / HTTP/1.1",
                "Connection: X-Mine, close\r\nX-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nUpgrade: x\r\n"
                    + "Proxy-Authorization: x\r\nExpect: 100-continue\r\nTraceparent: none\r\nTracestate: a=b\r\n"
            )
        )
        for gone in ["X_Mine", "Te", "Keep_Alive", "Upgrade", "Proxy_Authorization", "Expect", "Tracestate"] {
            #expect(all["Http_\(gone)"] == nil, "\(gone)")
        }
        #expect(all["Http_Traceparent"] != "none")
    }

    @Test(arguments: [
        ("/%2e%2E/%41%zz%4", "/../A%zz%4"), ("/ä/%C3%A4", "/ä/ä"), ("/?", "/"), ("http://h?q", "/"),
    ])
    func `a path is decoded once, and what is no encoding stays`(target: String, path: String) throws {
        #expect(try variables("GET \(target) HTTP/1.1")?["Http_Path"] == path)
    }

    @Test func `a path that cannot be a variable is none`() throws {
        #expect(try variables("GET /a%00b HTTP/1.1") == nil)
    }

    @Test func `a length is told as a number, without zeros before it`() throws {
        #expect(try variables("POST / HTTP/1.1", "Content-Length: 010\r\n")?["Http_Content_Length"] == "10")
    }

    @Test func `a thousand fields are no work to speak of`() throws {
        let fields = (0..<1000).map { "X-\($0): \($0)\r\n" }.joined()
        #expect(try variables("GET / HTTP/1.1", fields)?["Http_X_999"] == "999")
    }
}
