// SPDX-License-Identifier: Apache-2.0

import FaultModel
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import TLSClient

/// Stands behind the handler that encrypts: tells whether the server is the right one, and if not, why.
final class HandshakeWatch: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// Nil where the server has no name but an address.
    private let name: String?
    private let limit: TimeAmount
    /// Nil when it has been told.
    private var secured: EventLoopPromise<Void>?
    /// Whether it is being found out what is wrong with the server's certificate.
    private var isAsking = false
    private var isLate: Scheduled<Void>?

    init(name: String?, within limit: TimeAmount, _ secured: EventLoopPromise<Void>) {
        self.name = name
        self.limit = limit
        self.secured = secured
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        begin(context)
    }

    /// A channel on this machine may be connected before this handler is there, another one is not.
    private func begin(_ context: ChannelHandlerContext) {
        guard isLate == nil else { return }
        // Nobody behind this handler reads before the handshake is over.
        context.read()
        let channel = context.channel
        isLate = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { [self] in
            guard !isAsking else { return }
            fail(ChannelError.connectTimeout(limit))
            channel.close(promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event {
            isLate?.cancel()
            secured.take()?.succeed(())
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard secured != nil else { return context.fireErrorCaught(refusal(error) ?? error) }
        guard !isAsking else { return }
        guard CertificateProblem.isMeant(by: error), let address = context.remoteAddress else {
            return fail(refusal(error) ?? noTLS(error) ?? error)
        }
        isAsking = true
        let server = name ?? address.ipAddress ?? "the server"
        CertificateProblem.describe(error, name: name, within: limit, on: context.eventLoop) { $0.connect(to: address) }
            .assumeIsolated()
            .whenSuccess { [self] reason in fail(Self.notVerified(server, reason, error)) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isAsking { fail(ChannelError.ioOnClosedChannel) }
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        if !isAsking { fail(ChannelError.ioOnClosedChannel) }
    }

    private func fail(_ error: any Error) {
        isLate?.cancel()
        secured.take()?.fail(error)
    }

    // MARK: Faults

    private static func notVerified(_ server: String, _ reason: String, _ error: any Error) -> PlatformFault {
        PlatformFault(
            .providerUnreachable,
            "The certificate of \(server) cannot be verified: \(reason)",
            hint: "Its operator has to renew it, or this gateway has to be told which authority and name are right.",
            cause: error
        )
    }

    /// What a server says that does not take our certificate; in newer versions of TLS it does so late.
    private func refusal(_ error: any Error) -> PlatformFault? {
        let words = "\(error)"
        // Its reasons are told apart by their text alone.
        guard words.contains("_ALERT_"), words.contains("CERTIFICATE") || words.contains("UNKNOWN_CA") else {
            return nil
        }
        return PlatformFault(
            .providerUnreachable,
            "\(name ?? "The server") does not accept the certificate that this gateway shows, if any.",
            hint: "Which one it shows is a setting of the gateway's.",
            cause: error
        )
    }

    /// What is answered by a server that speaks something else; nil for a connection that merely broke.
    private func noTLS(_ error: any Error) -> PlatformFault? {
        let words = "\(error)"
        guard words.contains("WRONG_VERSION_NUMBER") || words.contains("HTTP_REQUEST") else { return nil }
        return PlatformFault(
            .providerUnreachable,
            "No encrypted connection to \(name ?? "the server") comes about.",
            hint: "Does it speak TLS at this port?",
            cause: error
        )
    }
}
