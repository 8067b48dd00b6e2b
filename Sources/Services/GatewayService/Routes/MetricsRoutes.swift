// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import NIOCore
import SystemAPI
import Telemetry

/// `/metrics` of a provider's own interface, on the same port (contract §21).
///
/// Public, as on the port of metrics.
struct MetricsRoutes: Sendable {
    let source: MetricsSource

    func addRoutes(to router: Router<SystemContext>) {
        router.resource("/metrics", [.get: answer])
    }

    @Sendable private func answer(_ request: Request, _ context: SystemContext) async throws -> Response {
        let format = MetricsText(accept: request.headers[.accept])
        let text = format.encode(await source.families())
        return Response(
            status: .ok,
            headers: [.contentType: format.contentType],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }
}
