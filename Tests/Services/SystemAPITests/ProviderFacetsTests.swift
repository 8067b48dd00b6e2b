// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import HTTPTypes
import Hummingbird
import NIOCore
import ProviderConformance
import ProviderContract
import Testing

@testable import SystemAPI

/// What a provider cannot do is told in a sentence that names it.
struct ProviderFacetsTests {
    private static let secret = #"{"name":"key","value":"v"}"#
    private static let namespace = #"{"name":"team","labels":{"openfaas":"1"}}"#

    private static let beyond: [(HTTPRequest.Method, String, String, ProviderLack)] = [
        (.get, "/system/logs?name=fn", "", .logs),
        (.get, "/system/secrets", "", .secrets), (.post, "/system/secrets", secret, .secrets),
        (.put, "/system/secrets", secret, .secrets), (.delete, "/system/secrets", secret, .secrets),
        (.get, "/system/namespace/team", "", .namespaces), (.post, "/system/namespace/", namespace, .namespaces),
        (.put, "/system/namespace/team", namespace, .namespaces),
        (.delete, "/system/namespace/team", namespace, .namespaces),
        (.get, "/system/bundles", "", .images), (.put, "/system/bundles/a/b", "tar", .images),
        (.delete, "/system/bundles/a/b", "", .images),
        (.post, "/system/scale-function/fn", #"{"replicas":0}"#, .zeroReplicas),
        (.post, "/system/scale-function/fn", #"{"replicas":2}"#, .severalReplicas),
    ]

    @Test(arguments: beyond.indices)
    func `what a provider cannot do is 501 with a sentence that names it`(index: Int) async throws {
        let api = APIUnderTest(.none)
        let (method, path, body, lack) = Self.beyond[index]
        let answer = try await api.ask(method, path, body)
        #expect(answer.status == 501 && answer.body.contains("The provider in-memory \(lack.predicate)."), "\(answer)")
    }

    @Test func `what every provider can stays possible`() async throws {
        let api = APIUnderTest(.none)
        #expect(try await api.ask(.post, "/system/functions", #"{"service":"fn","image":"any"}"#).status == 202)
        #expect(try await api.ask(.post, "/system/scale-function/fn", #"{"replicas":1}"#).status == 202)
        #expect(try await api.ask(.get, "/system/namespaces").body == #"["openfaas-fn"]"#)
    }

    @Test func `an alert asks for no second replica of who runs one`() async throws {
        let api = APIUnderTest(.none)
        _ = try await api.ask(.post, "/system/functions", #"{"service":"fn","image":"any"}"#)
        let alert = #"{"alerts":[{"status":"firing","labels":{"function_name":"fn.openfaas-fn"}}]}"#
        #expect(try await api.ask(.post, "/system/alert", alert).status == 200)
        let id = FunctionID(name: "fn", namespace: NameRule.defaultNamespace)
        #expect(try await api.provider.function(id, includingUsage: false).replicas == 1)
    }

    @Test func `an archive that is longer than the limit is refused where it crosses it`() async throws {
        let archive = UploadedArchive(body: RequestBody(buffer: ByteBuffer(repeating: 0, count: 11)), limit: 10)
        await #expect(throws: (any Error).self) { for try await _ in archive {} }
        var count = 0
        for try await piece in UploadedArchive(
            body: RequestBody(buffer: ByteBuffer(repeating: 0, count: 10)),
            limit: 10
        ) {
            count += piece.count
        }
        #expect(count == 10)
    }
}
