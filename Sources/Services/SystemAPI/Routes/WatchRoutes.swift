// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import HTTPTypes
import Hummingbird
import NIOCore
import ProviderContract

/// `GET /system/watch`: routing pushed to gateways elsewhere (martlet-api "Provider watch").
///
/// A gateway elsewhere cannot reach replicas on this machine's loopback; it sends its calls to our own `/function/`.
struct WatchRoutes: Sendable {
    let provider: any FunctionProvider
    static let heartbeat = Duration.seconds(10)

    func addRoutes(to routes: inout RouteList) {
        routes.add(.watch, watch)
    }

    @Sendable private func watch(_ request: Request, _ context: SystemContext) async throws -> Response {
        let provider = provider
        return Response(
            status: .ok,
            headers: [.contentType: "application/x-ndjson"],
            body: ResponseBody { writer in
                for await record in Self.records(provider) {
                    var bytes = ByteBuffer(bytes: try JSONEncoder().encode(record))
                    bytes.writeStaticString("\n")
                    try await writer.write(bytes)
                }
                try await writer.finish(nil)
            }
        )
    }

    /// Changes and heartbeats in one sequence; both producers end with it.
    private static func records(_ provider: any FunctionProvider) -> AsyncStream<WatchRecord> {
        let (stream, continuation) = AsyncStream.makeStream(of: WatchRecord.self)
        let changes = Task {
            for await event in provider.watch() {
                continuation.yield(WatchRecord(event, capabilities: provider.capabilities))
            }
            continuation.finish()
        }
        let heartbeats = Task {
            while true {
                try await Task.sleep(for: heartbeat)
                continuation.yield(WatchRecord(kind: .heartbeat))
            }
        }
        continuation.onTermination = { _ in
            changes.cancel()
            heartbeats.cancel()
        }
        return stream
    }
}

extension WatchRecord {
    fileprivate init(_ event: RoutingEvent, capabilities: ProviderCapabilities) {
        switch event {
        case .snapshot(let routes):
            self.init(kind: .snapshot, functions: routes.map(Function.init), capabilities: capabilities)
        case .changed(let route): self.init(kind: .changed, functions: [Function(route)])
        case .removed(let id): self.init(kind: .removed, functions: [Function(gone: id)])
        }
    }
}

extension WatchRecord.Function {
    fileprivate init(_ route: FunctionRoute) {
        self.init(
            name: route.id.name,
            namespace: route.id.namespace,
            revision: route.revision,
            replicas: route.desiredReplicas,
            availableReplicas: route.replicas.count,
            execTimeoutSeconds: route.policy.deadline?.inSeconds,
            maxInFlight: route.policy.maxInFlight.map { $0 * max(1, route.replicas.count) },
            queueDepth: route.policy.queueDepth,
            minReplicas: route.scaling.min,
            maxReplicas: route.scaling.max,
            scaling: route.scaling.rules?.labels,
            retry: WatchRecord.Retry(route.policy.retry),
            access: route.policy.access == .public ? nil : route.policy.access.rawValue,
            methods: route.policy.methods,
            notReadyReason: route.notReadyReason
        )
    }

    fileprivate init(gone id: FunctionID) {
        self.init(
            name: id.name,
            namespace: id.namespace,
            revision: 0,
            replicas: 0,
            availableReplicas: 0,
            execTimeoutSeconds: nil,
            maxInFlight: nil,
            queueDepth: 0,
            minReplicas: 0,
            notReadyReason: ""
        )
    }
}
