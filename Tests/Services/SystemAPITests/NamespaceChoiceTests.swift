// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Testing

@testable import SystemAPI

/// Which namespace a request means (contract §8.8, §25.8, §28).
struct NamespaceChoiceTests {
    private let choice = NamespaceChoice(fallback: "team")

    private func request(_ path: String) -> Request {
        Request(
            head: HTTPRequest(method: .get, scheme: "http", authority: "a", path: path),
            body: RequestBody(buffer: ByteBuffer())
        )
    }

    private func function(_ name: String, query: String = "", body: String? = nil) throws -> String {
        var context = SystemContext(
            source: SystemContext.Source(logger: Logger(label: "test"), clientAddress: nil)
        )
        context.coreContext.parameters["name"] = name[...]
        return try choice.function(request("/system/function/\(name)\(query)"), context, body: body).description
    }

    @Test(arguments: [
        ("/system/functions", nil, "team"), ("/system/functions?namespace=", nil, "team"),
        ("/system/functions?namespace=b", nil, "b"), ("/system/functions?namespace=b", "c", "c"),
        ("/system/functions?namespace=b", "", "b"), ("/system/functions?other=b", nil, "team"),
    ])
    func `the body's namespace wins over the query's, and that over the default`(
        path: String,
        body: String?,
        namespace: String
    ) {
        #expect(choice.of(request(path), body: body) == namespace)
    }

    @Test(arguments: ["/system/functions?namespace=openfaas-fn", "/system/functions"])
    func `OpenFaaS' name for the default namespace means ours`(path: String) {
        #expect(choice.of(request(path)) == "team")
        #expect(choice.of(request(path), body: "openfaas-fn") == "team")
    }

    @Test func `a namespace is decoded once`() {
        #expect(choice.of(request("/system/functions?namespace=a%2Db")) == "a-b")
    }

    @Test(arguments: [
        ("env", "", nil, "env.team"), ("env.b", "", nil, "env.b"), ("env.openfaas-fn", "", nil, "env.team"),
        ("env", "?namespace=b", nil, "env.b"), ("env", "?namespace=b", "c", "env.c"),
        ("env", "?namespace=openfaas-fn", nil, "env.team"),
    ])
    func `a function's address may name its namespace`(
        name: String,
        query: String,
        body: String?,
        address: String
    ) throws {
        #expect(try function(name, query: query, body: body) == address)
    }

    @Test func `beside a namespace of its own a name is not taken apart`() throws {
        let id = try choice.function(
            request("/system/function/env.b?namespace=c"),
            {
                var context = SystemContext(
                    source: SystemContext.Source(logger: Logger(label: "test"), clientAddress: nil)
                )
                context.coreContext.parameters["name"] = "env.b"
                return context
            }()
        )
        #expect(id.name == "env.b" && id.namespace == "c")
    }
}
