// SPDX-License-Identifier: Apache-2.0

import FaultModel
import HTTPTypes
public import Hummingbird
import Logging
import NIOCore

/// Turns faults into answers by the one table; anything else is a bland 500 whose cause goes to the log.
public struct FaultMiddleware: RouterMiddleware {
    private let audience: Audience

    /// Makes the middleware.
    public init(for audience: Audience = .programs) { self.audience = audience }

    /// Answers, or tells why not.
    @concurrent
    public func handle(
        _ request: Request,
        context: SystemContext,
        next: @concurrent (Request, SystemContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let fault as PlatformFault {
            log(fault, request, context)
            return Response(fault, to: request, for: audience)
        } catch let error as any HTTPResponseError {
            guard error.status != .notFound else { return Self.notFound }
            return try error.response(from: request, context: context)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            let fault = PlatformFault.unexpected(error, doing: "answering \(request.method) \(request.uri.path)")
            log(fault, request, context)
            return Response(fault, to: request, for: audience)
        }
    }

    /// As Go's router words it (contract §3).
    static var notFound: Response {
        Response(
            status: .notFound,
            headers: [.contentType: "text/plain; charset=utf-8", .xContentTypeOptions: "nosniff"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: "404 page not found\n"))
        )
    }

    private func log(_ fault: PlatformFault, _ request: Request, _ context: SystemContext) {
        guard fault.source != .caller else { return }
        context.logger.error(
            "request failed",
            metadata: ["request": "\(request.method) \(request.uri.path)", "why": "\(fault)"]
        )
    }
}

extension Response {
    /// The answer of a fault: JSON where the client reads it or the route is Martlet's own, text elsewhere.
    init(_ fault: PlatformFault, to request: Request, for audience: Audience = .programs) {
        let isOwnRoute = ["/system/bundles", "/system/watch", "/system/scaling", "/system/calls", "/system/queue"]
            .contains { request.uri.path.hasPrefix($0) }
        let isJSON = isOwnRoute || request.headers[.accept]?.contains("json") == true
        var headers: HTTPFields = [
            .contentType: isJSON ? "application/json" : "text/plain; charset=utf-8",
            .xContentTypeOptions: "nosniff",
        ]
        if let name = HTTPField.Name(PlatformFault.internalHeader) { headers[name] = fault.internalHeaderValue }
        if fault.code == .unauthorized { headers[.wwwAuthenticate] = audience.challenge(to: request) }
        if let seconds = fault.retryAfterSeconds { headers[.retryAfter] = String(seconds) }
        self.init(
            status: HTTPResponse.Status(code: FaultTable.row(for: fault.code).status),
            headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(string: isJSON ? fault.jsonBody : fault.textBody))
        )
    }
}
