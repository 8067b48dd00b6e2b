// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
package import HTTPTypes
package import Hummingbird

/// Answers one request of the API.
package typealias Handler = @Sendable (Request, SystemContext) async throws -> Response

extension HTTPRequest.Method {
    /// The methods that routes tell apart.
    private static let known: Set<HTTPRequest.Method> = [.get, .head, .post, .put, .patch, .delete, .options]

    /// What stands for each method that no route has, TRACE itself, made-up ones and those in small letters among them.
    static var anyOther: HTTPRequest.Method { .trace }

    /// The method of a request as routes know it.
    static func asRouted(_ text: String) -> HTTPRequest.Method {
        HTTPRequest.Method(text).flatMap { known.contains($0) ? $0 : nil } ?? anyOther
    }
}

extension RouterMethods where Context == SystemContext {
    /// Lists the verbs of a path; any other is a 405 that names them (contract §3).
    ///
    /// What GET answers HEAD does, without the body (RFC 9110 §9.3.2), unless the list says otherwise.
    package func resource(_ path: RouterPath, _ verbs: [HTTPRequest.Method: Handler]) {
        var verbs = verbs
        if let get = verbs[.get], verbs[.head] == nil { verbs[.head] = get }
        for (method, handler) in verbs { on(path, method: method, use: handler) }
        let allowed = verbs.keys.map(\.rawValue).sorted().joined(separator: ", ")
        let others: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options, .anyOther]
        for method in others where verbs[method] == nil {
            on(path, method: method) { request, _ in
                let name = request.method == .anyOther ? "This method" : request.method.rawValue
                var response = Response(
                    PlatformFault(
                        .methodNotAllowed,
                        "\(name) is not for \(request.uri.path).",
                        hint: "Use \(allowed)."
                    ),
                    to: request
                )
                response.headers[.allow] = allowed
                return response
            }
        }
    }
}

/// Finds the namespace that a request means: the body's, then the query's, then the default one (contract §8.8, §28).
struct NamespaceChoice: Sendable {
    let fallback: String

    func of(_ request: Request, body: String? = nil) -> String {
        let wanted =
            body.flatMap { $0.isEmpty ? nil : $0 }
            ?? request.uri.queryParameters["namespace"].map(String.init).flatMap { $0.isEmpty ? nil : $0 }
        return named(wanted)
    }

    /// OpenFaaS' clients say `openfaas-fn` whatever our default is called (contract §25.8).
    func named(_ name: String?) -> String {
        guard let name, name != NameRule.defaultNamespace else { return fallback }
        return name
    }

    /// A function in a path, `NAME` or `NAME.NAMESPACE`; the query's and the body's namespace win.
    func function(_ request: Request, _ context: SystemContext, body: String? = nil) throws -> FunctionID {
        let address = try context.parameters.require("name")
        let explicit = body?.isEmpty == false || request.uri.queryParameters["namespace"]?.isEmpty == false
        let id = FunctionID(address: address, defaultNamespace: fallback)
        guard let id, !explicit, address.contains(".") else {
            return FunctionID(name: address, namespace: of(request, body: body))
        }
        return FunctionID(name: id.name, namespace: named(id.namespace))
    }
}
