// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import NIOCore
import QueueContract
import Testing

@testable import InvocationWorker

struct CallbackTests {
    @Test(arguments: ["http://h/x", "https://h", "HTTP://H:81/a?b=c", "http://user:pw@h/x", "http://[::1]:80/"])
    func `a URL with a host over http or https can be called back`(text: String) {
        #expect(CallbackURL(text) != nil)
    }

    @Test(arguments: [
        "", "/x", "x", "ftp://h/x", "http:///x", "mailto:a@b", "http://", "h:80/x", "//h/x", "http://h/\r\nX: y",
        "http://h/" + String(repeating: "x", count: CallbackURL.limit), "http://127.0.0.1:65536/",
        "http://127.0.0.1:0/",
        "http://[::1]:99999/", "https://127.0.0.1:70000", "http://h:99999999999999999999/", "http://h:-1/",
        "http://h:+80/",
        "http://[::1/", "http://[::g]/", "http://h%41/", "http://h h/",
    ])
    func `anything else never can`(text: String) {
        #expect(CallbackURL(text) == nil)
    }

    @Test func `what a URL says is taken as it is written`() throws {
        let url = try #require(CallbackURL("http://User:Pw@Gateway:8080/function/a%2Fb/c?x=%20"))
        #expect(url.authority == "gateway:8080" && url.path == "/function/a%2Fb/c" && url.query == "x=%20")
        #expect(url.server.login?.user == "User" && url.server.login?.password == "Pw")
        #expect(url.server.text == "http://gateway:8080/function/a%2Fb/c?x=%20")
    }

    /// The fields by lower-case name.
    private func fields(_ url: CallbackURL, _ namespace: String, _ result: CallResult) -> [String: String] {
        let callback = PendingCallback(
            id: "1",
            end: 1,
            callID: "1",
            function: FunctionID(name: "fn", namespace: namespace),
            url: url.calledAs.map { url.text(calledAs: $0) } ?? url.text,
            attempts: 0,
            duration: .seconds(1),
            result: result
        )
        let settings = WorkerSettings(defaultNamespace: "openfaas-fn", userAgent: "test")
        let fields = CallbackSender.fields(callback, CallbackHop(url.server), settings).map {
            ($0.name.lowercased(), $0.value)
        }
        return Dictionary(fields, uniquingKeysWith: { first, _ in first })
    }

    @Test func `a receiver learns the name by which the function was called, and no fragment reaches it`() throws {
        let url = try #require(CallbackURL("http://h/x?y#called-as=evil"))
        #expect(url.text == "http://h/x?y")
        for (namespace, name) in [("openfaas-fn", "fn.openfaas-fn"), ("dev", "fn.dev"), ("faas", "fn.openfaas-fn")] {
            let kept = try #require(CallbackURL(url.text(calledAs: name)))
            #expect(kept.text == url.text && kept.query == "y")
            #expect(fields(kept, namespace, CallResult(status: 200))["x-function-name"] == name)
        }
        let plain = try #require(CallbackURL("http://h/x"))
        #expect(fields(plain, "openfaas-fn", CallResult(status: 200))["x-function-name"] == "fn")
        #expect(fields(plain, "dev", CallResult(status: 200))["x-function-name"] == "fn.dev")
        for fragment in ["called-as=", "called-as=a b", "called-as=a\r\nX: y", "x"] {
            #expect(CallbackURL("http://h/x#\(fragment)")?.calledAs == nil, "\(fragment)")
        }
    }

    @Test func `an empty result has a Content-Type, and a function's own type is kept`() throws {
        let url = try #require(CallbackURL("http://h/x"))
        #expect(fields(url, "dev", CallResult(status: 204))["content-type"] == "text/plain")
        let typed = CallResult(status: 200, fields: ByteBuffer(string: "content-type: text/x\r\n"))
        #expect(fields(url, "dev", typed)["content-type"] == "text/x")
        let untyped = CallResult(status: 200, body: ByteBuffer(string: "x"))
        #expect(fields(url, "dev", untyped)["content-type"] == nil)
    }

    @Test func `a path of a function is one of ours, any other is not`() throws {
        func target(_ path: String) throws -> OwnTarget? {
            OwnTarget(try #require(ServerURL("http://gateway\(path)")), "openfaas-fn")
        }
        let direct = try #require(try target("/function/fn/a/b?c=d"))
        #expect(direct.function == FunctionID(name: "fn", namespace: "openfaas-fn"))
        #expect(direct.path == "/a/b" && direct.query == "c=d" && !direct.isAsynchronous)
        let later = try #require(try target("/async-function/fn.dev"))
        #expect(
            later.function == FunctionID(name: "fn", namespace: "dev") && later.path.isEmpty && later.isAsynchronous
        )
        #expect(try target("//function/fn")?.function.name == "fn")
        for path in [
            "/system/functions", "/function/", "/functions/fn", "/", "/async-function/*.x", "/async-function/a%3E",
        ] { #expect(try target(path) == nil) }
    }

    @Test func `Retry-After is seconds or a date, at most a day (RFC 9110 §10.2.3)`() throws {
        let now = try #require(Timestamp("1994-11-06T08:49:37Z"))
        #expect(RetryAfter.parse("120", now: now) == .seconds(120))
        #expect(RetryAfter.parse("Sun, 06 Nov 1994 08:50:07 GMT", now: now) == .seconds(30))
        #expect(RetryAfter.parse("Sun, 06 Nov 1994 08:00:00 GMT", now: now) == .zero)
        #expect(RetryAfter.parse("999999999", now: now) == .seconds(86_400))
        #expect(RetryAfter.parse("-5", now: now) == .zero)
        #expect(RetryAfter.parse("soon", now: now) == nil)
    }

    @Test func `proxies are chosen as curl and Go choose them`() throws {
        let rules = try ProxyRules(environment: [
            "HTTP_PROXY": "http://proxy.example:3128/", "https_proxy": "user:pw@secure.example:8443",
            "HTTPS_PROXY": "ignored:1", "NO_PROXY": "internal.example, .corp, 10.0.0.7",
        ])
        #expect(rules.proxy(scheme: "http", host: "a.example")?.host == "proxy.example")
        #expect(rules.proxy(scheme: "http", host: "a.example")?.port == 3128)
        #expect(rules.proxy(scheme: "https", host: "a.example")?.host == "secure.example")
        for host in ["localhost", "127.0.0.1", "internal.example", "x.internal.example", "a.CORP", "corp", "10.0.0.7"] {
            #expect(rules.proxy(scheme: "http", host: host) == nil, "\(host)")
        }
        #expect(rules.proxy(scheme: "http", host: "notinternal.example") != nil)
        #expect(
            try ProxyRules(environment: ["no_proxy": "*", "http_proxy": "p:1"]).proxy(scheme: "http", host: "a") == nil
        )
        #expect(try ProxyRules(environment: [:]).proxy(scheme: "http", host: "a") == nil)
    }
}
