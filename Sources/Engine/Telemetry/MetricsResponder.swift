// SPDX-License-Identifier: Apache-2.0

public import InvocationEngine
import NIOCore

/// `/metrics` and `/healthz` on their own port, open to everybody who reaches it (contract §1, §12.2, §12.5).
public struct MetricsResponder: LocalResponder {
    private let families: @Sendable () async -> [MetricFamily]

    /// Answers with what the closure gathers at the moment of asking.
    public init(families: @escaping @Sendable () async -> [MetricFamily]) { self.families = families }

    /// Answers one request.
    public func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        // The only failure is a scraper that has gone.
        try? await answer(request, writer)
    }

    private func answer(_ request: LocalRequest, _ writer: any LocalResponseWriter) async throws {
        let path = request.target.prefix { $0 != "?" }
        guard path == "/metrics" || path == "/healthz" else {
            return try await write("404 page not found\n", 404, "text/plain; charset=utf-8", request, writer)
        }
        guard request.method == "GET" || request.method == "HEAD" else {
            return try await writer.writeHead(status: 405, headers: [("Allow", "GET, HEAD"), ("Content-Length", "0")])
        }
        guard path == "/metrics" else {
            return try await write("OK", 200, "text/plain; charset=utf-8", request, writer)
        }
        let format = MetricsText(accept: request.header("accept"))
        try await write(format.encode(await families()), 200, format.contentType, request, writer)
    }

    private func write(
        _ text: String,
        _ status: Int,
        _ type: String,
        _ request: LocalRequest,
        _ writer: any LocalResponseWriter
    ) async throws {
        let bytes = ByteBuffer(string: text)
        let headers = [("Content-Type", type), ("Content-Length", String(bytes.readableBytes))]
        try await writer.writeHead(status: status, headers: headers)
        if request.method != "HEAD" { try await writer.write(bytes) }
    }
}
