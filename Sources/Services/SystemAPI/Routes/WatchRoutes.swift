// SPDX-License-Identifier: Apache-2.0

import FaultModel
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
    let end: EndlessAnswers

    func addRoutes(to routes: inout RouteList) {
        routes.add(.watch, watch)
    }

    @Sendable private func watch(_ request: Request, _ context: SystemContext) async throws -> Response {
        let (provider, end) = (provider, end)
        return Response(
            status: .ok,
            headers: [.contentType: "application/x-ndjson"],
            body: ResponseBody { writer in
                var loss: PlatformFault?
                for try await piece in SignsOfLife.between(provider.watch(), until: end) {
                    var update: RouteUpdate?
                    if case .element(let told) = piece { update = told }
                    switch update {
                    case .lost(let fault): loss = fault
                    case .heardAgain: loss = nil
                    default: break
                    }
                    try await writer.write(Self.line(WatchRecord(update, loss, provider.capabilities)))
                }
                try await writer.finish(nil)
            }
        )
    }

    private static func line(_ record: WatchRecord) throws -> ByteBuffer {
        var bytes = ByteBuffer(bytes: try JSONEncoder().encode(record))
        bytes.writeStaticString("\n")
        return bytes
    }
}

extension WatchRecord {
    /// The line of an update, or of a sign of life, which says as well whether the functions are heard of: gateways
    /// that do not know of that ignore it.
    fileprivate init(_ update: RouteUpdate?, _ loss: PlatformFault?, _ capabilities: ProviderCapabilities) {
        switch update {
        case .snapshot(let routes):
            self.init(kind: .snapshot, functions: routes.map(Function.init), capabilities: capabilities)
        case .changed(let route): self.init(kind: .changed, functions: [Function(route)])
        case .removed(let id): self.init(kind: .removed, functions: [Function(gone: id)])
        case .lost, .heardAgain, nil: self.init(kind: .heartbeat, fault: loss.map(FaultBody.init))
        }
    }
}

extension WatchRecord.Function {
    /// Calls of a gateway elsewhere come to our own door, which draws a variant for each: it is told what they have in common.
    fileprivate init(_ route: FunctionRoute) {
        let policy = route.commonPolicy
        self.init(
            name: route.id.name,
            namespace: route.id.namespace,
            revision: route.revision,
            replicas: route.desiredReplicas,
            availableReplicas: route.replicas.count,
            execTimeoutSeconds: policy.deadline?.inSeconds,
            maxInFlight: route.slots,
            queueDepth: policy.queueDepth,
            minReplicas: route.scaling.min,
            maxReplicas: route.scaling.max,
            scaling: route.scaling.rules?.labels,
            retry: WatchRecord.Retry(policy.retry),
            access: policy.access == .public ? nil : policy.access.rawValue,
            methods: policy.methods,
            paths: route.paths.isEmpty ? nil : route.paths,
            annotations: route.annotations.isEmpty ? nil : route.annotations,
            state: route.state?.rawValue,
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
