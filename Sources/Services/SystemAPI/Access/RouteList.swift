// SPDX-License-Identifier: Apache-2.0

import FaultModel
import HTTPTypes
package import Hummingbird

/// Answers one request of the API.
package typealias Handler = @Sendable (Request, SystemContext) async throws -> Response

/// The routes of one listener, each a row of the table of access; whoever adds one cannot leave out who may use it.
package struct RouteList: Sendable {
    private struct Route {
        let endpoint: Endpoint
        let handler: Handler
    }

    private var routes: [Route] = []

    private let contact: ProviderContact?

    /// Nothing yet; routes that ask the provider of a contact make sure of that first.
    package init(asking contact: ProviderContact? = nil) { self.contact = contact }

    /// What there is, in the order of adding.
    package var endpoints: [Endpoint] { routes.map(\.endpoint) }

    /// Adds a route.
    package mutating func add(_ endpoint: Endpoint, _ handler: @escaping Handler) {
        guard let contact, endpoint.asksProvider else {
            return routes.append(Route(endpoint: endpoint, handler: handler))
        }
        let careful: Handler = { request, context in
            try await contact.check()
            return try await handler(request, context)
        }
        routes.append(Route(endpoint: endpoint, handler: careful))
    }

    /// All of it as the router has it: everything that is not open behind the gate.
    ///
    /// Methods that a path does not have are a 405 that names those it has (contract §3), for whoever may know that.
    func makeRouter(
        through middleware: [any MiddlewareProtocol<Request, Response, SystemContext>],
        behind gate: AccessGate
    ) -> Router<SystemContext> {
        let router = Router(context: SystemContext.self)
        for middleware in middleware { router.add(middleware: middleware) }
        for (path, ofPath) in Dictionary(grouping: routes, by: { $0.endpoint.row.path }) {
            var verbs: [HTTPRequest.Method: Handler] = [:]
            for route in ofPath {
                let row = route.endpoint.row
                let earlier = verbs.updateValue(gate.guarded(route.handler, row.access), forKey: row.method)
                precondition(earlier == nil, "\(route.endpoint) is served twice.")
            }
            // What GET answers HEAD does, without the body (RFC 9110 §9.3.2).
            if let get = verbs[.get], verbs[.head] == nil { verbs[.head] = get }
            let isOpen = ofPath.allSatisfy { $0.endpoint.row.access == .open }
            let refuse = refusal(allowing: verbs.keys.map(\.rawValue).sorted().joined(separator: ", "))
            let others = isOpen ? refuse : gate.guarded(refuse)
            for method in HTTPRequest.Method.routed {
                router.on(RouterPath(path), method: method, use: verbs[method] ?? others)
            }
        }
        return router
    }

    private func refusal(allowing allowed: String) -> Handler {
        { request, _ in
            let name = request.method == .anyOther ? "This method" : request.method.rawValue
            var response = Response(
                PlatformFault(.methodNotAllowed, "\(name) is not for \(request.uri.path).", hint: "Use \(allowed)."),
                to: request
            )
            response.headers[.allow] = allowed
            return response
        }
    }
}

extension AccessGate {
    fileprivate func guarded(_ handler: @escaping Handler, _ access: Endpoint.Access) -> Handler {
        switch access {
        case .open: handler
        case .needs(let permission): guarded(handler, to: permission)
        }
    }

    fileprivate func guarded(_ handler: @escaping Handler, to permission: Permission? = nil) -> Handler {
        { request, context in
            var context = context
            context.principal = try await admit(request, to: permission)
            return try await handler(request, context)
        }
    }
}

extension HTTPRequest.Method {
    /// The methods that routes tell apart.
    private static let known: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options]

    /// What stands for each method that no route has, TRACE itself, made-up ones and those in small letters among them.
    static var anyOther: HTTPRequest.Method { .trace }

    /// Each method that a path has an answer for.
    fileprivate static let routed = known + [.anyOther]

    /// The method of a request as routes know it.
    static func asRouted(_ text: String) -> HTTPRequest.Method {
        HTTPRequest.Method(text).flatMap { known.contains($0) ? $0 : nil } ?? anyOther
    }
}
