// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import InvocationEngine
public import NIOCore
import NIOSSL
import Synchronization
import TLSClient

/// TLS towards servers that carry out calls, by BoringSSL: what a program gives its engine that is to call such.
public final class TLSConnector: UpstreamSecurity {
    private struct Entry {
        weak var tls: UpstreamTLS?
        let context: NIOSSLContext
    }

    private let entries = Mutex<[Entry]>([])

    /// Nothing is read yet.
    public init() {}

    /// Reads everything that connections need, which the first of them would otherwise wait for.
    ///
    /// Blocks.
    ///
    /// - Throws: `badSettings` for certificates and keys that cannot be used.
    public func prepare(_ tls: UpstreamTLS) throws(PlatformFault) { _ = try context(of: tls) }

    /// Lets new connections that are to be made by one description be made by another; those that are open keep what they
    /// began with.
    ///
    /// Blocks. - Throws: `badSettings` for certificates and keys that cannot be used; then everything is as before.
    public func renew(_ tls: UpstreamTLS, as fresh: UpstreamTLS) throws(PlatformFault) {
        keep(try Self.makeContext(fresh), for: tls)
    }

    /// See `UpstreamSecurity`.
    public func secure(
        _ channel: any Channel,
        by tls: UpstreamTLS,
        host: String?,
        within limit: TimeAmount
    ) -> EventLoopFuture<Void> {
        let secured = channel.eventLoop.makePromise(of: Void.self)
        let name = tls.serverName ?? host
        do {
            let handler = try NIOSSLClientHandler(context: context(of: tls), serverHostname: name)
            let watch = HandshakeWatch(name: name, within: limit, secured)
            try channel.pipeline.syncOperations.addHandlers(handler, watch)
        } catch {
            secured.fail(PlatformFault.unexpected(error, doing: "preparing a connection by TLS"))
        }
        return secured.futureResult
    }

    private func context(of tls: UpstreamTLS) throws(PlatformFault) -> NIOSSLContext {
        if let known = entries.withLock({ $0.first { $0.tls === tls }?.context }) { return known }
        let context = try Self.makeContext(tls)
        keep(context, for: tls)
        return context
    }

    private func keep(_ context: NIOSSLContext, for tls: UpstreamTLS) {
        entries.withLock { entries in
            entries.removeAll { $0.tls == nil || $0.tls === tls }
            entries.append(Entry(tls: tls, context: context))
        }
    }

    private static func makeContext(_ tls: UpstreamTLS) throws(PlatformFault) -> NIOSSLContext {
        var configuration = try TLSConfiguration.client(tls)
        configuration.applicationProtocols = ["http/1.1"]
        // Whoever does not answer our goodbye is not waited for.
        configuration.shutdownTimeout = .seconds(1)
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw PlatformFault(
                .badSettings,
                "The certificate and the private key for a server elsewhere do not belong together.",
                cause: error
            )
        }
    }
}
