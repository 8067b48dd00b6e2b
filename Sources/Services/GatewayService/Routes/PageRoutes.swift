// SPDX-License-Identifier: Apache-2.0

import Dashboard
import FaultModel
import FunctionModel
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ProviderContract
import QueueContract
import SystemAPI

/// The page for people, `/ui/`, on a listener of its own (contract §23): nothing that changes anything, and no function.
struct PageRoutes: Sendable {
    let provider: any FunctionProvider
    let version: String
    let invocationCount: @Sendable (FunctionID) -> Double
    /// Nil where asynchronous calls are not accepted.
    let queue: (any CallQueue)?
    let site: PageSite
    let contact: ProviderContact

    /// Nothing but the page.
    var list: RouteList {
        var routes = RouteList(asking: contact)
        routes.addLeadToPage()
        routes.add(.showPage, page)
        routes.add(.showPageStyle, style)
        return routes
    }

    /// What answers on the page's listener.
    func makeResponder(_ authenticator: (any Authenticator)?, logger: Logger) -> HummingbirdResponder {
        HummingbirdResponder(
            list,
            through: [PageHeaders(), FaultMiddleware(for: .browsers), PageGuard(site: site)],
            behind: AccessGate(authenticator, for: .browsers),
            logger: logger
        )
    }

    @Sendable private func style(_ request: Request, _ context: SystemContext) async throws -> Response {
        Response(DashboardPage.style, type: "text/css; charset=utf-8", caching: "no-cache")
    }

    @Sendable private func page(_ request: Request, _ context: SystemContext) async throws -> Response {
        var functions: [FunctionStatus] = []
        for namespace in try await provider.namespaceNames() {
            functions += try await provider.functions(in: namespace)
        }
        for index in functions.indices { functions[index].invocationCount = invocationCount(functions[index].id) }
        let info = try? await provider.info()
        let page = DashboardPage(
            functions: functions,
            calls: await queue?.counts().functions.mapValues { QueueNumbers(nil, $0) } ?? [:],
            version: version,
            provider: info?.provider ?? "provider cannot be reached",
            capabilities: provider.capabilities,
            address: site.functions(asSeenBy: request.head.authority)
        )
        return Response(page.html, type: "text/html; charset=utf-8", caching: "no-store")
    }
}

/// `/` and `/ui/` on the port of the API: where the page is (contract §3).
struct PageRedirects: Sendable {
    /// Nil where there is no page.
    let site: PageSite?

    func addRoutes(to routes: inout RouteList) {
        routes.addLeadToPage()
        routes.add(.leadToPageFromPath, lead)
        routes.add(.leadToPageFromWithin, lead)
    }

    @Sendable private func lead(_ request: Request, _ context: SystemContext) async throws -> Response {
        guard let page = site?.page(asSeenBy: request.head.authority) else {
            throw PlatformFault(
                .notFound,
                "This Martlet shows no page.",
                hint: "It is switched on by --ui-port."
            )
        }
        return Response.redirect(to: page)
    }
}

/// Lets in what asks for this page by a name of its own, and what its own pages or a person ask for.
///
/// Under a name that somebody else has made lead here (DNS rebinding) a browser takes the page for that somebody's.
private struct PageGuard: RouterMiddleware {
    let site: PageSite

    @concurrent
    func handle(
        _ request: Request,
        context: SystemContext,
        next: @concurrent (Request, SystemContext) async throws -> Response
    ) async throws -> Response {
        guard site.isKnown(request.head.authority) else {
            throw PlatformFault(
                .misdirected,
                "The page is not known under this name.",
                hint: "Ask for it by its address, or tell Martlet the name by --public-url."
            )
        }
        guard Self.isOwn(request) else {
            throw PlatformFault(.forbidden, "The page is not for other pages: open it in a window of its own.")
        }
        return try await next(request, context)
    }

    /// Whether our own page, a person, or a link that opens the page is behind a request; browsers say so.
    private static func isOwn(_ request: Request) -> Bool {
        func value(_ name: String) -> String? { HTTPField.Name(name).flatMap { request.headers[$0] } }
        guard let site = value("Sec-Fetch-Site"), site != "same-origin", site != "none" else { return true }
        return value("Sec-Fetch-Mode") == "navigate" && value("Sec-Fetch-Dest") == "document"
    }
}

/// What tells browsers how little of the page may be used, and by whom.
private struct PageHeaders: RouterMiddleware {
    private static let fields = [
        (
            "Content-Security-Policy",
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ]

    @concurrent
    func handle(
        _ request: Request,
        context: SystemContext,
        next: @concurrent (Request, SystemContext) async throws -> Response
    ) async throws -> Response {
        var response = try await next(request, context)
        for (name, value) in Self.fields {
            if let name = HTTPField.Name(name) { response.headers[name] = value }
        }
        return response
    }
}

extension RouteList {
    /// From the root to where the page is, or where the way to it is known.
    fileprivate mutating func addLeadToPage() {
        add(.leadToPage) { _, _ in Response.redirect(to: "/ui/") }
    }
}

extension Response {
    fileprivate static func redirect(to location: String) -> Response {
        Response(status: .temporaryRedirect, headers: [.location: location, .contentLength: "0"])
    }

    fileprivate init(_ text: String, type: String, caching: String) {
        self.init(
            status: .ok,
            headers: [.contentType: type, .cacheControl: caching],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }
}

/// `/async-function/`: not offered by this version, and said so instead of a plain 404.
struct AsyncRoutes: Sendable {
    func addCalling(to routes: inout RouteList) { routes.add(.refuseCall, refuse) }

    func addCancelling(to routes: inout RouteList) { routes.add(.refuseCancelling, refuse) }

    @Sendable private func refuse(_ request: Request, _ context: SystemContext) async throws -> Response {
        throw PlatformFault(
            .notSupported,
            "This version of Martlet does not take asynchronous calls.",
            hint: "Call the function synchronously at /function/NAME."
        )
    }
}
