// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization
import Testing

@testable import SystemAPI

/// Who is let through to what, and whom a route hears of.
struct AccessGateTests {
    /// Knows everybody as one and the same.
    private struct Everybody: Authenticator {
        let principal: Principal

        func authenticate(_ request: Request) async -> Principal? { principal }
    }

    /// Keeps who asked.
    private final class Seen: Sendable {
        let principals = Mutex<[Principal]>([])
    }

    private let seen = Seen()

    private func ask(
        _ endpoint: Endpoint,
        _ authenticator: (any Authenticator)?,
        _ method: HTTPRequest.Method? = nil,
        authorization: String? = nil
    ) async throws -> (status: Int, body: String) {
        var routes = RouteList()
        routes.add(endpoint) { [seen] _, context in
            seen.principals.withLock { $0.append(context.principal) }
            return Response(status: .ok)
        }
        var head = HTTPRequest(
            method: method ?? endpoint.row.method,
            scheme: "http",
            authority: "a",
            path: endpoint.row.path
        )
        head.headerFields[.authorization] = authorization
        let request = Request(head: head, body: RequestBody(buffer: ByteBuffer()))
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let context = SystemContext(source: SystemContext.Source(logger: logger, clientAddress: nil))
        let router = routes.makeRouter(through: [FaultMiddleware()], behind: AccessGate(authenticator))
        let response = try await router.buildResponder().respond(to: request, context: context)
        let body = Keeper()
        try await response.body.write(body)
        return (response.status.code, body.text)
    }

    private final class Keeper: ResponseBodyWriter {
        private var bytes = ByteBuffer()

        var text: String { String(buffer: bytes) }

        func write(_ buffer: ByteBuffer) async throws { bytes.writeImmutableBuffer(buffer) }

        func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }

    private var credentials: Credentials { Credentials(user: "root", password: "pw") }

    @Test func `a route hears who asks: the administrator by name, and nobody where nobody was asked`() async throws {
        #expect(try await ask(.showInfo, credentials, authorization: "Basic cm9vdDpwdw==").status == 200)
        #expect(try await ask(.showHealth, credentials, authorization: "Basic cm9vdDpwdw==").status == 200)
        #expect(try await ask(.showInfo, nil).status == 200)
        #expect(seen.principals.withLock { $0 } == [.administrator("root"), .nobody, .nobody])
    }

    @Test func `a principal that was given nothing may do nothing but what is open`() async throws {
        for principal in [.nobody, Principal(Principal.Kind(rawValue: "token"), name: "ci")] {
            let known = Everybody(principal: principal)
            let refused = try await ask(.deleteFunction, known)
            #expect(refused.status == 403 && refused.body.contains("\(principal) "), "\(refused)")
            #expect(refused.body.contains("Function:Delete"), "\(refused)")
            #expect(try await ask(.showHealth, known).status == 200)
            // Which methods a path has is no secret from anybody who is known.
            #expect(try await ask(.deleteFunction, known, .patch).status == 405)
        }
        #expect(seen.principals.withLock { $0 }.count == 2)
    }

    @Test func `what a path does not have is told to those alone who are known, or on open paths`() async throws {
        #expect(try await ask(.deleteFunction, credentials, .patch).status == 401)
        #expect(try await ask(.showHealth, credentials, .patch).status == 405)
    }

    @Test func `whoever has nothing is asked for it, and wrong parts are as good as none`() async throws {
        let wrong = ["Basic cm9vdDpwdzE=", "Basic cm9vOnB3", "Basic cm9vdA=="]
        for word in [nil, "", "Basic", "Basic %%%", "Bearer x"] + wrong {
            #expect(try await ask(.showInfo, credentials, authorization: word).status == 401, "\(word ?? "nothing")")
        }
        #expect(seen.principals.withLock { $0 }.isEmpty)
    }
}
