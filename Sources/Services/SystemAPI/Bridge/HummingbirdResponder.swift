// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
package import Hummingbird
public import InvocationEngine
package import Logging
import NIOCore

/// Lets Hummingbird's routes answer requests on the front door's connections.
public struct HummingbirdResponder: LocalResponder {
    private let responder: RouterResponder<SystemContext>
    private let logger: Logger

    /// Answers by the routes of a list, behind the middleware and, but for open ones, behind the gate.
    package init(
        _ routes: RouteList,
        through middleware: [any MiddlewareProtocol<Request, Response, SystemContext>],
        behind gate: AccessGate,
        logger: Logger
    ) {
        responder = routes.makeRouter(through: middleware, behind: gate).buildResponder()
        self.logger = logger
    }

    /// Answers one request.
    public func respond(
        to request: LocalRequest,
        body: LocalRequestBody,
        writer: any LocalResponseWriter
    ) async {
        let context = SystemContext(
            source: SystemContext.Source(logger: logger, clientAddress: request.clientAddress)
        )
        do {
            let translated = Request(request, body: body)
            let isHead = translated.method == .head
            let response = try await responder.respond(to: translated, context: context)
            try await Self.write(response, isHead: isHead, to: writer)
        } catch {
            // The client went away, or broke off its request: there is nobody to tell.
            logger.debug("a control request was not answered", metadata: ["why": "\(error)"])
        }
    }

    private static func write(
        _ response: Response,
        isHead: Bool,
        to writer: any LocalResponseWriter
    ) async throws {
        var headers = response.headers.map { (name: $0.name.rawName, value: $0.value) }
        if let length = response.body.contentLength, response.headers[.contentLength] == nil {
            headers.append(("Content-Length", String(length)))
        }
        try await writer.writeHead(status: response.status.code, headers: headers)
        guard !isHead else { return }
        try await response.body.write(BodyWriter(writer: writer))
    }
}

private struct BodyWriter: ResponseBodyWriter {
    let writer: any LocalResponseWriter

    func write(_ buffer: ByteBuffer) async throws { try await writer.write(buffer) }

    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
}

extension Request {
    fileprivate init(_ request: LocalRequest, body: LocalRequestBody) {
        var fields = HTTPFields()
        for (name, value) in request.headers {
            if let name = HTTPField.Name(name) { fields.append(HTTPField(name: name, value: value)) }
        }
        let head = HTTPRequest(
            method: .asRouted(request.method),
            scheme: "http",
            authority: request.header("host"),
            path: request.target,
            headerFields: fields
        )
        self.init(head: head, body: RequestBody(asyncSequence: body))
    }
}
