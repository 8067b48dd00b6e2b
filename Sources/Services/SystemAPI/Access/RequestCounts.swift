// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
public import Hummingbird
public import InvocationEngine
import Synchronization

/// Counts the requests of the API by method, path and status (contract §12.5); calls of functions are none of them.
public final class RequestCounts: RouterMiddleware {
    /// What requests are told apart by.
    public struct Key: Hashable, Sendable, Comparable {
        /// The method, in capitals; `unknown` for one that no route has.
        public var method: String
        /// The route without what names a resource, as `/system/function`; `unknown` where there is none.
        public var path: String
        /// The status of the answer.
        public var status: Int

        /// By path, then method, then status.
        public static func < (left: Key, right: Key) -> Bool {
            (left.path, left.method, left.status) < (right.path, right.method, right.status)
        }
    }

    private let rows = Mutex<[Key: FunctionMetrics.Answers]>([:])

    /// Nothing counted yet.
    public init() {}

    /// What was counted, sorted.
    public var answers: [(key: Key, answers: FunctionMetrics.Answers)] {
        rows.withLock { $0 }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Answers and counts.
    @concurrent
    public func handle(
        _ request: Request,
        context: SystemContext,
        next: @concurrent (Request, SystemContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        let response = try await next(request, context)
        let key = Key(
            method: Self.methods.contains(request.method.rawValue) ? request.method.rawValue : "unknown",
            path: Self.route(context.endpointPath),
            status: response.status.code
        )
        let took = ContinuousClock.now - start
        rows.withLock { $0[key, default: FunctionMetrics.Answers()].count(took) }
        return response
    }

    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

    /// As many different words as there are routes, whatever clients ask for.
    private static func route(_ path: String?) -> String {
        guard let path else { return "unknown" }
        let names = path.split(separator: "/").prefix { !$0.hasPrefix(":") && !$0.hasPrefix("{") && $0 != "**" }
        return "/" + names.joined(separator: "/")
    }
}
