// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ProviderConformance
import ProviderContract
import QueueConformance
import TestSupport
import Testing

@testable import GatewayService
@testable import SystemAPI

/// Every route that a gateway has on any of its listeners, against the table of access.
struct AccessTests {
    private static let right = "Basic YWRtaW46cHc="
    private let credentials = Credentials(user: "admin", password: "pw")

    /// Knows everybody, as one that was given nothing.
    private struct Guests: Authenticator {
        func authenticate(_ request: Request) async -> Principal? {
            Principal(Principal.Kind(rawValue: "guest"), name: "guest")
        }
    }

    /// The routes of one listener.
    private struct Asked {
        let name: String
        let routes: RouteList
        var audience = Audience.programs
    }

    private var listeners: [Asked] {
        let provider = InMemoryProvider()
        let queue = GatewayRoutes.Calls(queue: MemoryQueue(), bodyLimit: 1000)
        let site = PageSite(
            Gateway.Page(host: "127.0.0.1", port: 8083, apiHost: "127.0.0.1"),
            apiPort: 8080,
            isEncrypted: false
        ) { nil }
        func gateway(_ surfaces: Set<GatewayService.Listener.Surface>, _ calls: GatewayRoutes.Calls?) -> RouteList {
            GatewayRoutes(
                provider: provider,
                defaultNamespace: NameRule.defaultNamespace,
                version: ProviderInfo.Version(release: "test", sha: "test"),
                calls: calls,
                describeScaling: nil,
                readiness: Readiness([]),
                metrics: { [] },
                invocationCount: { _ in 0 },
                awaitCallable: { _ in },
                loss: { nil },
                site: site
            ).list(of: surfaces)
        }
        let page = PageRoutes(provider: provider, version: "test", invocationCount: { _ in 0 }, queue: nil, site: site)
        return [
            Asked(name: "gateway", routes: gateway([.functions, .management], queue)),
            Asked(name: "gateway without a queue", routes: gateway([.functions, .management], nil)),
            Asked(name: "provider", routes: gateway([.functions, .management, .metrics], nil)),
            Asked(name: "functions alone", routes: gateway([.functions], queue)),
            Asked(name: "page", routes: page.list, audience: .browsers),
        ]
    }

    private func router(_ listener: Asked, _ authenticator: any Authenticator) -> Router<SystemContext> {
        let gate = AccessGate(authenticator, for: listener.audience)
        return listener.routes.makeRouter(through: [FaultMiddleware(for: listener.audience)], behind: gate)
    }

    /// Asks a route by a path that fits it; a body that goes on for ever is not waited for.
    private func ask(
        _ route: Router<SystemContext>.RouteDescription,
        _ responder: RouterResponder<SystemContext>,
        authorization: String? = nil
    ) async throws -> Int {
        let parts = route.path.description.split(separator: "/").map { part in
            part.hasPrefix("{") || part.hasPrefix(":") || part == "**" ? "some" : part
        }
        var head = HTTPRequest(
            method: route.method,
            scheme: "http",
            authority: "127.0.0.1",
            path: "/" + parts.joined(separator: "/")
        )
        head.headerFields[.authorization] = authorization
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let context = SystemContext(source: SystemContext.Source(logger: logger, clientAddress: nil))
        let request = Request(head: head, body: RequestBody(buffer: ByteBuffer()))
        return try await responder.respond(to: request, context: context).status.code
    }

    /// The row of a route; nil for a method that its path does not have.
    private func access(of route: Router<SystemContext>.RouteDescription, _ rows: [Endpoint.Row]) -> Endpoint.Access? {
        rows.first { $0.method == (route.method == .head ? .get : route.method) }?.access
    }

    @Test func `each route is a row of the table, and asks of whoever comes what its row says`() async throws {
        for listener in listeners {
            let routes = router(listener, credentials).routes
            #expect(!routes.isEmpty)
            let known = router(listener, credentials).buildResponder()
            let guests = router(listener, Guests()).buildResponder()
            for route in routes {
                let what = "\(listener.name): \(route)"
                let rows = listener.routes.endpoints.map(\.row).filter {
                    RouterPath($0.path).description == route.path.description
                }
                try #require(!rows.isEmpty, "\(what) is not in the table")
                let access = access(of: route, rows)
                if access == .open || access == nil && rows.allSatisfy({ $0.access == .open }) {
                    #expect(![401, 403].contains(try await ask(route, known)), "\(what)")
                    continue
                }
                #expect(try await ask(route, known) == 401, "\(what)")
                #expect(try await ask(route, known, authorization: "Basic YWRtaW46eA==") == 401, "\(what)")
                #expect(try await ask(route, guests) == (access == nil ? 405 : 403), "\(what)")
                let status = try await ask(route, known, authorization: Self.right)
                #expect(access == nil ? status == 405 : ![401, 403, 405].contains(status), "\(what): \(status)")
            }
        }
    }

    @Test func `where management is elsewhere, whether the platform is alive is all that is told`() throws {
        let alone = try #require(listeners.first { $0.name == "functions alone" })
        #expect(alone.routes.endpoints == [.showHealth, .showReadiness])
    }

    @Test func `no row of the table is without a route, and these alone are open`() {
        let served = listeners.flatMap(\.routes.endpoints)
        #expect(Set(served) == Set(Endpoint.allCases))
        #expect(
            Endpoint.allCases.filter { $0.row.access == .open } == [
                .refuseCall, .showHealth, .showReadiness, .leadToPage, .leadToPageFromPath, .leadToPageFromWithin,
                .showMetrics,
            ]
        )
    }
}
