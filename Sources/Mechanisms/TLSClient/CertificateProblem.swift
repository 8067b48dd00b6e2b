// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import Glibc
public import NIOCore
public import NIOPosix
import NIOSSL
import Synchronization

/// What is wrong with the certificate that a server shows, in words.
///
/// The library says only that a certificate cannot be verified. So the server is asked to show it once more, by a
/// connection that never comes about, and it is looked at.
public enum CertificateProblem {
    /// Whether an error of a connection is about the certificate that its server shows.
    public static func isMeant(by error: any Error) -> Bool {
        if error is NIOSSLExtraError { return true }
        guard case .handshakeFailed(let why)? = error as? NIOSSLError else { return false }
        // Its reasons are told apart by their text alone.
        return "\(why)".contains("CERTIFICATE_VERIFY_FAILED")
    }

    /// Why a certificate is not taken, to stand behind a colon, as `it expired on …`; never fails.
    ///
    /// `name` is what the server is asked by, nil for an address without a name; `connect` opens a connection to it.
    public static func describe(
        _ error: any Error,
        name: String?,
        within limit: TimeAmount,
        on loop: any EventLoop,
        connect: (ClientBootstrap) -> EventLoopFuture<any Channel>
    ) -> EventLoopFuture<String> {
        if error is NIOSSLExtraError {
            return loop.makeSucceededFuture("it is not for \(name.map { "the name \($0)" } ?? "this address").")
        }
        let shown = ShownChain(loop)
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(limit).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(shown.makeHandler(name: name))
            }
        }
        let late = loop.scheduleTask(in: limit) { shown.end([]) }
        connect(bootstrap).whenComplete { outcome in
            switch outcome {
            case .failure: shown.end([])
            case .success(let channel):
                channel.closeFuture.whenComplete { _ in shown.end([]) }
                shown.chain.whenComplete { _ in channel.close(promise: nil) }
            }
        }
        return shown.chain.map { chain in
            late.cancel()
            return reason(chain)
        }
    }

    private static func reason(_ chain: [NIOSSLCertificate]) -> String {
        let now = time(nil)
        if let expired = chain.first(where: { $0.notValidAfter < now }) {
            return "it expired on \(date(expired.notValidAfter))."
        }
        if let early = chain.first(where: { $0.notValidBefore > now }) {
            return "it is not valid before \(date(early.notValidBefore))."
        }
        return "no authority that is trusted here has signed it."
    }

    private static func date(_ moment: time_t) -> String { HTTPDate.format(secondsSinceEpoch: Int64(moment)) }
}

/// Takes down which certificates a server shows, and goes no further.
private final class ShownChain: Sendable {
    private let promise: EventLoopPromise<[NIOSSLCertificate]>
    private let hasEnded = Atomic<Bool>(false)

    init(_ loop: any EventLoop) { promise = loop.makePromise() }

    var chain: EventLoopFuture<[NIOSSLCertificate]> { promise.futureResult }

    /// What has been found out; what comes later is of no interest.
    func end(_ chain: [NIOSSLCertificate]) {
        guard !hasEnded.exchange(true, ordering: .relaxed) else { return }
        promise.succeed(chain)
    }

    func makeHandler(name: String?) throws -> NIOSSLClientHandler {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .certificates([])
        return try NIOSSLClientHandler(
            context: NIOSSLContext(configuration: configuration),
            serverHostname: name,
            customVerificationCallback: { [self] chain, verified in
                end(chain)
                verified.succeed(.failed)
            }
        )
    }
}
