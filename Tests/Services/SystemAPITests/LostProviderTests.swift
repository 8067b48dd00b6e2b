// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import HTTPTypes
import InvocationEngine
import ProviderContract
import RemoteProvider
import SystemClient
import TestSupport
import Testing

@testable import SystemAPI

/// What is answered while the provider elsewhere is known to be lost: at once, and since when it is so.
struct LostProviderTests {
    private let table = RoutingTable.withoutFunctions()

    private func api(over origin: ScriptedOrigin, login: SystemClient.Login? = nil) throws -> APIUnderTest {
        let client = SystemClient(
            baseURL: "http://127.0.0.1:\(origin.port)",
            login: login,
            http: RunningMartlet.http,
            timeout: .seconds(3600)
        )
        return APIUnderTest(over: try HTTPFunctionProvider(client: client)) { [table] in table.loss }
    }

    private func lose() {
        table.apply(.lost(PlatformFault(.providerUnreachable, "There is no answer.", hint: "Look.")))
    }

    @Test(
        arguments: [
            ("GET", "/system/functions"), ("GET", "/system/function/env"), ("GET", "/healthz"),
            ("GET", "/system/secrets"), ("GET", "/system/namespaces"), ("GET", "/system/bundles"),
            ("GET", "/system/logs?name=env"), ("POST", "/system/functions"), ("DELETE", "/system/functions"),
            ("POST", "/system/scale-function/env"),
        ]
    )
    func `a frozen provider that is known to be lost keeps nobody waiting`(method: String, path: String) async throws {
        // It takes each request, and never answers.
        let origin = try await ScriptedOrigin { _ in [] }
        lose()
        let body = #"{"service":"env","image":"host","functionName":"env","serviceName":"env","replicas":1}"#
        let answer = try await api(over: origin).ask(try #require(HTTPRequest.Method(method)), path, body)
        #expect(answer.status == 503 && answer.headers[.retryAfter] == "10", "\(answer)")
        #expect(answer.body.contains("Nothing has been heard of the functions since 2"), "\(answer.body)")
    }

    @Test func `info tells at once of a frozen provider, as null and lost`() async throws {
        let origin = try await ScriptedOrigin { _ in [] }
        lose()
        let answer = try await api(over: origin).ask(.get, "/system/info")
        #expect(answer.status == 200 && answer.body.contains("\"reason\":\"There is no answer.\""), "\(answer.body)")
    }

    @Test func `a provider that answers again is asked, though it is not followed yet`() async throws {
        let origin = try await ScriptedOrigin { request in
            let body = request.contains("/healthz") ? "" : "[]"
            return [.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
        }
        lose()
        #expect(try await api(over: origin).ask(.get, "/system/functions").status == 200)
    }

    @Test(arguments: [401, 403])
    func `credentials that a provider refuses are not the caller's`(status: Int) async throws {
        let json = #"{"error":"invalid credentials","code":"unauthorized","fault":"caller","hint":""}"#
        for body in ["invalid credentials", json] {
            let origin = try await ScriptedOrigin { _ in
                [.send("HTTP/1.1 \(status) No\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")]
            }
            let api = try api(over: origin, login: SystemClient.Login(user: "admin", password: "old"))
            for path in ["/system/functions", "/system/logs?name=env", "/system/secrets"] {
                let answer = try await api.ask(.get, path)
                #expect(answer.status == 502 && answer.headers[.wwwAuthenticate] == nil, "\(answer)")
                #expect(answer.body.contains("refuses the credentials that it is asked with"), "\(answer.body)")
                #expect(answer.body.contains("secret-mount-path"), "\(answer.body)")
            }
        }
    }
}
