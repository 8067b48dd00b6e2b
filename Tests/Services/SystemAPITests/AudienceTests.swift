// SPDX-License-Identifier: Apache-2.0

import FaultModel
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Testing

@testable import SystemAPI

/// Who is asked for a password, and whose password is taken, on the functions' origin and on the page's.
struct AudienceTests {
    private static let right = "Basic YWRtaW46cHc="

    private func request(_ fields: [String: String]) -> Request {
        var headers = HTTPFields()
        for (name, value) in fields { if let name = HTTPField.Name(name) { headers[name] = value } }
        let head = HTTPRequest(
            method: .delete,
            scheme: "http",
            authority: "a",
            path: "/system/functions",
            headerFields: headers
        )
        return Request(head: head, body: RequestBody(buffer: ByteBuffer()))
    }

    private func answer(
        _ fields: [String: String],
        for audience: Audience = .programs,
        _ credentials: Credentials? = Credentials(user: "admin", password: "pw")
    ) async throws -> Response {
        let context = SystemContext(
            source: SystemContext.Source(logger: Logger(label: "test"), clientAddress: nil)
        )
        var routes = RouteList()
        routes.add(.deleteFunction) { _, _ in Response(status: .ok) }
        let gate = AccessGate(credentials, for: audience)
        let router = routes.makeRouter(through: [FaultMiddleware(for: audience)], behind: gate)
        return try await router.buildResponder().respond(to: request(fields), context: context)
    }

    @Test(arguments: [
        "curl/8.5.0", "Wget/1.21", "Java/17.0.2", "Java-http-client/17", "Python-urllib/3.11", "Go-http-client/1.1", "",
        "Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) WindowsPowerShell/5.1.17763.316",
    ])
    func `programs are asked for the password, and theirs is taken`(agent: String) async throws {
        let open = try await answer(["User-Agent": agent])
        #expect(open.status == .unauthorized)
        #expect(open.headers[.wwwAuthenticate] == "Basic realm=\"Restricted\"")
        let closed = try await answer(["User-Agent": agent, "Authorization": Self.right])
        #expect(closed.status == .ok)
    }

    @Test(arguments: [
        ["User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/120.0 Safari/537.36"], ["Origin": "http://a"],
        ["Origin": "null"], ["Sec-Fetch-Site": "none"], ["Sec-Fetch-Mode": "navigate"], ["Sec-Fetch-Dest": "image"],
    ])
    func `a browser is asked for no password on the functions' origin`(fields: [String: String]) async throws {
        let answer = try await answer(fields)
        #expect(answer.status == .unauthorized && answer.headers[.wwwAuthenticate] == nil)
    }

    @Test(arguments: [
        ["Origin": "http://127.0.0.1:8080"], ["Origin": "null"], ["Sec-Fetch-Site": "same-origin"],
        ["Sec-Fetch-Site": "cross-site"], ["Sec-Fetch-Site": "none"],
    ])
    func `a password that comes from a browser is refused there, right or wrong`(
        fields: [String: String]
    ) async throws {
        for word in [Self.right, "Basic YWRtaW46eA==", "Bearer x"] {
            let answer = try await answer(fields.merging(["Authorization": word]) { own, _ in own })
            #expect(answer.status == .forbidden && answer.headers[.wwwAuthenticate] == nil, "\(word)")
        }
    }

    @Test(arguments: [
        ([:], true), (["Sec-Fetch-Site": "none"], true), (["Origin": "http://evil.example"], false),
        (["Sec-Fetch-Site": "same-origin"], false), (["Sec-Fetch-Site": "cross-site"], false),
    ])
    func `where no password is needed, a page still may not manage`(
        fields: [String: String],
        isLetIn: Bool
    ) async throws {
        #expect(try await answer(fields, nil).status == (isLetIn ? .ok : .forbidden))
    }

    @Test func `on the page's origin browsers are asked, and theirs is taken`() async throws {
        let browser = ["User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"]
        let open = try await answer(browser, for: .browsers)
        #expect(open.status == .unauthorized)
        #expect(open.headers[.wwwAuthenticate] == "Basic realm=\"Martlet\", charset=\"UTF-8\"")
        let closed = browser.merging(["Authorization": Self.right]) { own, _ in own }
        #expect(try await answer(closed, for: .browsers).status == .ok)
    }
}
