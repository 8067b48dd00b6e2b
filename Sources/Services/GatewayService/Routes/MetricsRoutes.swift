// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import NIOCore
import SystemAPI
import Telemetry

/// `/metrics` of a provider's own interface, on the same port (contract §21).
struct MetricsRoutes: Sendable {
    let families: @Sendable () async -> [MetricFamily]

    func addRoutes(to routes: inout RouteList) {
        routes.add(.showMetrics, answer)
    }

    @Sendable private func answer(_ request: Request, _ context: SystemContext) async throws -> Response {
        let format = MetricsText(accept: request.headers[.accept])
        let text = format.encode(await families())
        return Response(
            status: .ok,
            headers: [.contentType: format.contentType],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }
}
