// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import NIOCore
import SystemAPI

/// `/readyz`: whether calls can be served now (`/healthz` says whether the program is alive).
struct ReadinessRoutes: Sendable {
    let readiness: Readiness

    func addRoutes(to routes: inout RouteList) {
        routes.add(.showReadiness, answer)
    }

    @Sendable private func answer(_ request: Request, _ context: SystemContext) async throws -> Response {
        let (status, body) = readiness.answer
        return Response(
            status: HTTPResponse.Status(code: status),
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: body))
        )
    }
}
