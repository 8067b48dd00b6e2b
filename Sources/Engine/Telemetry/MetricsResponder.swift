// SPDX-License-Identifier: Apache-2.0

public import InvocationEngine
import NIOCore

/// `/metrics` and `/healthz` on their own port (contract §1, §12.2, §12.5), and `/readyz` of a program that has it; open
/// to everybody who reaches it.
public struct MetricsResponder: LocalResponder {
    /// What `/readyz` answers at the moment: a status and a text in JSON.
    public typealias Readiness = @Sendable () -> (status: Int, body: String)

    private let readiness: Readiness?
    private let families: @Sendable () async -> [MetricFamily]

    /// Answers with what the closures gather at the moment of asking.
    public init(readiness: Readiness? = nil, families: @escaping @Sendable () async -> [MetricFamily]) {
        self.readiness = readiness
        self.families = families
    }

    /// Answers one request.
    public func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        // The only failure is a scraper that has gone.
        try? await answer(request, writer)
    }

    private func answer(_ request: LocalRequest, _ writer: any LocalResponseWriter) async throws {
        let path = request.target.prefix { $0 != "?" }
        guard path == "/metrics" || path == "/healthz" || (path == "/readyz" && readiness != nil) else {
            return try await write("404 page not found\n", 404, "text/plain; charset=utf-8", request, writer)
        }
        guard request.method == "GET" || request.method == "HEAD" else {
            return try await writer.writeHead(status: 405, headers: [("Allow", "GET, HEAD"), ("Content-Length", "0")])
        }
        if path == "/readyz", let (status, body) = readiness?() {
            return try await write(body, status, "application/json", request, writer)
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
