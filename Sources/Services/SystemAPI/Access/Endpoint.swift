// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

/// Every route that is answered beside calls of functions, and who may use it: the one table of access.
///
/// A `RouteList` takes nothing else, so a route that is not here cannot be served, and one that is here has said who may
/// use it.
package enum Endpoint: CaseIterable, Sendable {
    case listFunctions
    case createFunction
    case updateFunction
    case deleteFunction
    case showFunction
    case restartFunction
    case scaleFunction
    case showScaling
    case readLogs
    case watch
    case alert
    case listSecrets
    case createSecret
    case updateSecret
    case deleteSecret
    case listNamespaces
    case createNamespace
    case createNamedNamespace
    case showNamespace
    case updateNamespace
    case deleteNamespace
    case listBundles
    case storeBundle
    case deleteBundle
    case listCalls
    case purgeCalls
    case retryDeadCalls
    case importCall
    case showCall
    case exportCall
    case takeCallBack
    case showResult
    case retryCall
    case showQueue
    case cancelCall
    case refuseCall
    case refuseCancelling
    case showInfo
    case showHealth
    case showReadiness
    case leadToPage
    case leadToPageFromPath
    case leadToPageFromWithin
    case showMetrics
    case showPage
    case showPageStyle

    /// Who may use a route.
    package enum Access: Sendable, Equatable {
        /// Everybody.
        case open
        /// Whoever has this permission.
        case needs(Permission)

        fileprivate static func needs(_ resource: Permission.Resource, _ verb: Permission.Verb) -> Access {
            .needs(Permission(resource, verb))
        }
    }

    /// One row of the table.
    package struct Row: Sendable {
        /// The method; GET stands for HEAD, too.
        package let method: HTTPRequest.Method
        /// The path, as the router reads it.
        package let path: String
        /// Who may use it.
        package let access: Access

        fileprivate init(_ method: HTTPRequest.Method, _ path: String, _ access: Access) {
            self.method = method
            self.path = path
            self.access = access
        }
    }

    /// Whether it is answered by the provider alone: where that is lost there is no answer.
    var asksProvider: Bool {
        switch self {
        case .listFunctions, .createFunction, .updateFunction, .deleteFunction, .showFunction, .restartFunction,
            .scaleFunction, .readLogs, .alert, .listSecrets, .createSecret, .updateSecret, .deleteSecret,
            .listNamespaces, .createNamespace, .createNamedNamespace, .showNamespace, .updateNamespace,
            .deleteNamespace, .listBundles, .storeBundle, .deleteBundle, .showHealth, .showPage:
            true
        case .showScaling, .watch, .listCalls, .purgeCalls, .retryDeadCalls, .importCall, .showCall, .exportCall,
            .takeCallBack, .showResult, .retryCall, .showQueue, .cancelCall, .refuseCall, .refuseCancelling, .showInfo,
            .showReadiness, .leadToPage, .leadToPageFromPath, .leadToPageFromWithin, .showMetrics, .showPageStyle:
            false
        }
    }

    /// What the table says of it.
    package var row: Row {
        switch self {
        case .listFunctions: Row(.get, "/system/functions", .needs(.function, .list))
        case .createFunction: Row(.post, "/system/functions", .needs(.function, .create))
        case .updateFunction: Row(.put, "/system/functions", .needs(.function, .update))
        case .deleteFunction: Row(.delete, "/system/functions", .needs(.function, .delete))
        case .showFunction: Row(.get, "/system/function/:name", .needs(.function, .get))
        case .restartFunction: Row(.post, "/system/function/:name/restart", .needs(.function, .update))
        case .scaleFunction: Row(.post, "/system/scale-function/:name", .needs(.function, .scale))
        case .showScaling: Row(.get, "/system/scaling/:name", .needs(.function, .get))
        case .readLogs: Row(.get, "/system/logs", .needs(.function, .logs))
        case .watch: Row(.get, "/system/watch", .needs(.function, .list))
        case .alert: Row(.post, "/system/alert", .needs(.function, .scale))

        case .listSecrets: Row(.get, "/system/secrets", .needs(.secret, .list))
        case .createSecret: Row(.post, "/system/secrets", .needs(.secret, .create))
        case .updateSecret: Row(.put, "/system/secrets", .needs(.secret, .update))
        case .deleteSecret: Row(.delete, "/system/secrets", .needs(.secret, .delete))

        case .listNamespaces: Row(.get, "/system/namespaces", .needs(.namespace, .list))
        case .createNamespace: Row(.post, "/system/namespace", .needs(.namespace, .create))
        case .createNamedNamespace: Row(.post, "/system/namespace/:name", .needs(.namespace, .create))
        case .showNamespace: Row(.get, "/system/namespace/:name", .needs(.namespace, .get))
        case .updateNamespace: Row(.put, "/system/namespace/:name", .needs(.namespace, .update))
        case .deleteNamespace: Row(.delete, "/system/namespace/:name", .needs(.namespace, .delete))

        case .listBundles: Row(.get, "/system/bundles", .needs(.bundle, .list))
        // A name may have slashes, as images' names do.
        case .storeBundle: Row(.put, "/system/bundles/**", .needs(.bundle, .create))
        case .deleteBundle: Row(.delete, "/system/bundles/**", .needs(.bundle, .delete))

        case .listCalls: Row(.get, "/system/calls", .needs(.call, .read))
        case .purgeCalls: Row(.delete, "/system/calls", .needs(.call, .purge))
        case .retryDeadCalls: Row(.post, "/system/calls/dead/retry", .needs(.call, .retry))
        case .importCall: Row(.post, "/system/calls/import", .needs(.call, .import))
        case .showCall: Row(.get, "/system/calls/{id}", .needs(.call, .read))
        case .exportCall: Row(.post, "/system/calls/{id}/export", .needs(.call, .export))
        case .takeCallBack: Row(.delete, "/system/calls/{id}/export", .needs(.call, .export))
        case .showResult: Row(.get, "/system/calls/{id}/result", .needs(.call, .read))
        case .retryCall: Row(.post, "/system/calls/{id}/retry", .needs(.call, .retry))
        case .showQueue: Row(.get, "/system/queue", .needs(.call, .read))
        case .cancelCall: Row(.delete, "/async-function/{id}", .needs(.call, .cancel))
        // Calling is open, so its refusal is (contract §2.1); cancelling is managing.
        case .refuseCall: Row(.post, "/async-function/**", .open)
        case .refuseCancelling: Row(.delete, "/async-function/**", .needs(.call, .cancel))

        case .showInfo: Row(.get, "/system/info", .needs(.system, .info))
        // Load balancers ask without credentials.
        case .showHealth: Row(.get, "/healthz", .open)
        case .showReadiness: Row(.get, "/readyz", .open)
        // They only lead to the page, which asks for the credentials.
        case .leadToPage: Row(.get, "/", .open)
        case .leadToPageFromPath: Row(.get, "/ui", .open)
        case .leadToPageFromWithin: Row(.get, "/ui/**", .open)
        // As on the port of metrics.
        case .showMetrics: Row(.get, "/metrics", .open)
        case .showPage: Row(.get, "/ui", .needs(.function, .list))
        case .showPageStyle: Row(.get, "/ui/style.css", .needs(.function, .list))
        }
    }
}
