// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import InvocationEngine
import NIOCore
import NIOPosix
import NIOSSL
import ProviderContract
import TestSupport
import UpstreamTLS

/// An engine that speaks TLS to servers, with one function `fn`.
final class SecuredEngine: Sendable {
    let port: Int
    private let door: FrontDoor
    private let table = RoutingTable { _, _ in }
    let connector = TLSConnector()

    init(_ upstream: Upstream) async throws {
        let settings = EngineSettings(
            servedBy: "martlet/test",
            origins: OriginFactories(security: connector)
        )
        door = FrontDoor(
            group: .singletonMultiThreadedEventLoopGroup,
            settings: settings,
            table: table,
            responder: NoResponder()
        )
        port = try await door.listen(host: "127.0.0.1", port: 0).port ?? 0
        let route = FunctionRoute(
            id: FunctionID(name: "fn", namespace: "openfaas-fn"),
            revision: 1,
            desiredReplicas: 1,
            replicas: [Replica(id: "fn-1", target: upstream, maxInFlight: nil)]
        )
        table.apply(.snapshot([route]))
        _ = try await door.metrics()
    }

    /// Sends bytes on a connection of its own and returns everything until it closes.
    func exchange(
        _ request: String = "GET /function/fn HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    ) async throws
        -> String
    {
        let connection = try RawConnection(port: port)
        try await connection.send(request)
        return try await connection.receive()
    }

    func callsInFlight() async throws -> Int? { try await door.metrics().first.map { Int($0.inFlight) } }
}

private struct NoResponder: LocalResponder {
    func respond(to request: LocalRequest, body: LocalRequestBody, writer: any LocalResponseWriter) async {
        // A client that has gone need not be told.
        try? await writer.writeHead(status: 404, headers: [("Content-Length", "0")])
    }
}

/// What makes a scripted server speak TLS.
struct ServerSecurity: Sendable {
    private let context: NIOSSLContext
    /// Whether it ends connections without saying so first, as whoever cuts one does.
    private let cutsConnections: Bool

    init(_ identity: TestAuthority.Identity, clients: String? = nil, cutsConnections: Bool = false) throws {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: identity.key, format: .pem))
        )
        if let clients {
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .file(clients)
        }
        context = try NIOSSLContext(configuration: configuration)
        self.cutsConnections = cutsConnections
    }

    func prepare(_ channel: any Channel) throws {
        let floor = Floor()
        let pipeline = channel.pipeline.syncOperations
        if cutsConnections { try pipeline.addHandler(floor) }
        try pipeline.addHandler(NIOSSLServerHandler(context: context))
        if cutsConnections { try pipeline.addHandler(RaggedEnd(floor)) }
    }
}

/// What stands below everything that encrypts.
private final class Floor: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    fileprivate var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
}

/// Ends connections past what would say goodbye.
private final class RaggedEnd: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    private let floor: Floor

    init(_ floor: Floor) { self.floor = floor }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        floor.context?.close(promise: promise)
    }
}

extension UpstreamTLS {
    /// As files have it.
    convenience init(
        name: String? = nil,
        authority: TestAuthority,
        identity: TestAuthority.Identity? = nil
    ) throws {
        func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
        self.init(
            serverName: name,
            roots: try text(authority.certificate),
            identity: try identity.map {
                Identity(certificates: try text($0.certificate), privateKey: try text($0.key))
            }
        )
    }
}
