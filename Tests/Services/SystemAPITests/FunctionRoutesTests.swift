// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import HTTPTypes
import ProviderConformance
import ProviderContract
import Testing

@testable import SystemAPI

/// Functions and secrets as clients see them, and what is told beside the statuses that they want.
struct FunctionRoutesTests {
    private let api = APIUnderTest()
    private let env = #"{"service":"env","image":"host","envProcess":"env"}"#

    private func revision() async throws -> Int? {
        let id = FunctionID(name: "env", namespace: NameRule.defaultNamespace)
        return try await api.provider.function(id, includingUsage: false).martlet?.revision
    }

    private func unchanged(_ headers: HTTPFields) throws -> String? {
        headers[try #require(HTTPField.Name(UpdateOutcome.field))]
    }

    @Test func `an equal deployment is 202 too, told as unchanged, and makes no revision (§8.6)`() async throws {
        #expect(try await api.ask(.post, "/system/functions", env).status == 202)
        let same = try await api.ask(.put, "/system/functions", env)
        #expect(try same.status == 202 && unchanged(same.headers) == "true" && same.body.isEmpty)
        #expect(try await revision() == 1)
        let other = try await api.ask(.put, "/system/functions", env.replacing("\"env\"}", with: "\"cat\"}"))
        #expect(try other.status == 202 && unchanged(other.headers) == nil)
        #expect(try await revision() == 2)
    }

    @Test(arguments: [("true", 2), ("1", 2), ("false", 1), ("0", 1), ("", 1)])
    func `an equal deployment makes a revision when it is forced`(value: String, expected: Int) async throws {
        _ = try await api.ask(.post, "/system/functions", env)
        let answer = try await api.ask(.put, "/system/functions?force=\(value)", env)
        #expect(try answer.status == 202 && (unchanged(answer.headers) == nil) == (expected == 2))
        #expect(try await revision() == expected)
    }

    @Test func `a function is restarted by its name, and nothing else is`() async throws {
        _ = try await api.ask(.post, "/system/functions", env)
        #expect(try await api.ask(.post, "/system/function/env/restart").status == 202)
        #expect(try await api.ask(.post, "/system/function/env.openfaas-fn/restart").status == 202)
        #expect(try await revision() == 3)
        #expect(try await api.ask(.post, "/system/function/none/restart").status == 404)
        #expect(try await api.ask(.post, "/system/function/env/restart?namespace=none").status == 404)
        let wrong = try await api.ask(.get, "/system/function/env/restart")
        #expect(wrong.status == 405 && wrong.headers[.allow] == "POST")
    }

    @Test func `a function is read with its name among its labels and written back without (§8.2)`() async throws {
        _ = try await api.ask(.post, "/system/functions", env)
        for path in ["/system/functions", "/system/function/env"] {
            #expect(try await api.ask(.get, path).body.contains(#""labels":{"faas_function":"env"}"#), "\(path)")
        }
        let labelled = env.dropLast() + #","labels":{"faas_function":"env"}}"#
        let same = try await api.ask(.put, "/system/functions", String(labelled))
        #expect(try unchanged(same.headers) == "true")
    }

    @Test func `the answer to a changed secret says who sees it (§9)`() async throws {
        let field = try #require(HTTPField.Name(SecretReach.field))
        let secret = #"{"name":"key.new","value":"v"}"#
        #expect(try await api.ask(.put, "/system/secrets", secret).status == 404)
        let made = try await api.ask(.post, "/system/secrets", secret)
        #expect(made.status == 202 && made.headers[field] == nil)
        let changed = try await api.ask(.put, "/system/secrets", secret)
        #expect(changed.status == 202 && changed.headers[field] == "later" && changed.body.isEmpty)
        #expect(try await api.ask(.get, "/system/secrets").body.contains("key.new"))
    }
}
