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

    private static let unknown = #"{"com.martlet.queue.deph":"5"}"#

    @Test(arguments: ["labels", "annotations"])
    func `a new deployment with a name of Martlet's that does not exist is a 400 that names the nearest`(
        place: String
    ) async throws {
        let body = env.dropLast() + ",\"\(place)\":\(Self.unknown)}"
        for method in [HTTPRequest.Method.post, .put] {
            let answer = try await api.ask(method, "/system/functions", String(body))
            #expect(answer.status == 400, "\(answer)")
            #expect(answer.body.contains("com.martlet.queue.deph") && answer.body.contains("com.martlet.queue.depth"))
        }
        #expect(try await api.ask(.get, "/system/functions").body == "[]")
    }

    @Test func `a function stored with such a name is served, and its next deployment has to be without`() async throws
    {
        let id = FunctionID(name: "env", namespace: NameRule.defaultNamespace)
        let stored = FunctionDeployment(service: "env", image: "host", labels: ["com.martlet.queue.deph": "5"])
        try await api.provider.create(FunctionSpec(stored: stored, of: id))
        #expect(try await api.ask(.get, "/system/function/env").body.contains("com.martlet.queue.deph"))
        let same = env.dropLast() + ",\"labels\":\(Self.unknown)}"
        #expect(try await api.ask(.put, "/system/functions", String(same)).status == 400)
        #expect(try await revision() == 1)
        #expect(try await api.ask(.put, "/system/functions", env).status == 202)
    }

    @Test(arguments: [
        #""annotations":{"com.martlet.access":"token"}"#, #""limits":{"nvidia.com/gpu":"half"}"#,
        #""envVars":{"exec_timeout":"soon"}"#, #""labels":{"com.openfaas.scale.min":"30"}"#, #""image":"""#,
    ])
    func `what cannot be parsed is a 400 with a sentence, whatever the provider`(member: String) async throws {
        let body = "{\"service\":\"env\",\(member.hasPrefix("\"image") ? "" : "\"image\":\"host\",")\(member)}"
        let answer = try await api.ask(.post, "/system/functions", body)
        #expect(answer.status == 400 && !answer.body.isEmpty, "\(answer)")
    }

    @Test func `graphics processors come back as they were asked for (§8.1)`() async throws {
        let body = env.dropLast() + #","limits":{"memory":"1Gi","nvidia.com/gpu":"2"}}"#
        #expect(try await api.ask(.post, "/system/functions", String(body)).status == 202)
        let status = try await api.ask(.get, "/system/function/env").body
        #expect(status.contains(#"nvidia.com\/gpu":"2""#) || status.contains(#"nvidia.com/gpu":"2""#), "\(status)")
    }
}
