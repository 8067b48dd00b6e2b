// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import HTTPTypes
import Hummingbird
import InvocationEngine
import Logging
import NIOCore
import ProviderConformance
import ProviderContract

@testable import SystemAPI

/// The routes over a provider in memory, asked without a socket.
struct APIUnderTest {
    let provider: InMemoryProvider
    let end = EndlessAnswers()
    private let responder: RouterResponder<SystemContext>

    init(_ abilities: ProviderCapabilities = InMemoryProvider.usual) {
        self.init(in: InMemoryProvider(abilities: abilities), at: nil) { nil }
    }

    /// The routes over a provider elsewhere that is lost, or is not.
    init(over remote: any FunctionProvider, loss: @escaping @Sendable () -> RoutingTable.LostContact?) {
        self.init(in: InMemoryProvider(), at: remote, loss)
    }

    private init(
        in provider: InMemoryProvider,
        at remote: (any FunctionProvider)?,
        _ loss: @escaping @Sendable () -> RoutingTable.LostContact?
    ) {
        self.provider = provider
        let system = SystemRoutes(
            provider: remote ?? provider,
            defaultNamespace: NameRule.defaultNamespace,
            version: ProviderInfo.Version(release: "test", sha: "test"),
            invocationCount: { _ in 0 },
            awaitCallable: { _ in },
            loss: loss,
            end: end
        )
        var routes = system.emptyList
        system.addHealth(to: &routes)
        system.addManagement(to: &routes)
        responder = routes.makeRouter(through: [FaultMiddleware()], behind: AccessGate(nil)).buildResponder()
    }

    /// Asks a route; returns status, a header field by its name, and the body.
    func ask(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ body: String = ""
    ) async throws -> (status: Int, headers: HTTPFields, body: String) {
        let request = Request(
            head: HTTPRequest(method: method, scheme: "http", authority: "test", path: path),
            body: RequestBody(buffer: ByteBuffer(string: body))
        )
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let context = SystemContext(source: SystemContext.Source(logger: logger, clientAddress: nil))
        let response = try await responder.respond(to: request, context: context)
        let collector = Collector()
        try await response.body.write(collector)
        return (response.status.code, response.headers, collector.text)
    }
}

/// Keeps what a body writes.
private final class Collector: ResponseBodyWriter {
    private var bytes = ByteBuffer()

    var text: String { String(buffer: bytes) }

    func write(_ buffer: ByteBuffer) async throws { bytes.writeImmutableBuffer(buffer) }

    func finish(_ trailingHeaders: HTTPFields?) async throws {}
}
