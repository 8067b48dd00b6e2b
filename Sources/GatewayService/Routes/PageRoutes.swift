// SPDX-License-Identifier: Apache-2.0

import Dashboard
import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import NIOCore
import ProviderContract
import QueueContract
import SystemAPI

/// `/` and `/ui/` (contract §3).
struct PageRoutes: Sendable {
    let provider: any FunctionProvider
    let version: String
    let credentials: Credentials?
    let invocationCount: @Sendable (FunctionID) -> Double
    /// Nil where asynchronous calls are not accepted.
    let queue: (any CallQueue)?

    func addRoutes(to router: Router<SystemContext>) {
        // Public: it only leads to the page, which asks for the credentials.
        router.get("/") { _, _ in Self.redirect }
        let guarded = router.group().add(middleware: BasicAuthMiddleware(credentials))
        guarded.get("/ui", use: page)
    }

    private static var redirect: Response {
        Response(status: .temporaryRedirect, headers: [.location: "/ui/", .contentLength: "0"])
    }

    @Sendable private func page(_ request: Request, _ context: SystemContext) async throws -> Response {
        var functions: [FunctionStatus] = []
        for namespace in try await provider.namespaces() { functions += try await provider.functions(in: namespace) }
        for index in functions.indices { functions[index].invocationCount = invocationCount(functions[index].id) }
        let info = try? await provider.info()
        let page = DashboardPage(
            functions: functions,
            calls: await queue?.counts().functions.mapValues { QueueNumbers(nil, $0) } ?? [:],
            version: version,
            provider: info?.provider ?? "provider cannot be reached",
            address: "http://\(request.head.authority ?? "127.0.0.1:8080")"
        )
        return Response(
            status: .ok,
            headers: [.contentType: "text/html; charset=utf-8", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: page.html))
        )
    }
}

/// `/async-function/`: not offered by this version, and said so instead of a plain 404.
struct AsyncRoutes: Sendable {
    let credentials: Credentials?

    func addRoutes(to router: Router<SystemContext>) {
        // Public, as the synchronous route is (contract §2.1).
        router.post("/async-function/**", use: refuse)
        // Cancelling is managing.
        router.group().add(middleware: BasicAuthMiddleware(credentials)).delete("/async-function/**", use: refuse)
    }

    @Sendable private func refuse(_ request: Request, _ context: SystemContext) async throws -> Response {
        throw PlatformFault(
            .notSupported,
            "This version of Martlet does not take asynchronous calls.",
            hint: "Call the function synchronously at /function/NAME."
        )
    }
}
