// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Hummingbird

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
