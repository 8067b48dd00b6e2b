// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
import NIOSSL
import Synchronization
import TLSClient

/// How a server elsewhere is asked by TLS from now on, which may change while it is asked.
public final class ClientTLS: Sendable {
    private let current: Mutex<TLSConfiguration>

    /// - Throws: `badSettings` for certificates and keys that cannot be used.
    public init(_ tls: UpstreamTLS) throws(PlatformFault) { current = Mutex(try .client(tls)) }

    /// Lets new connections go by other certificates; those that are open keep what they began with.
    ///
    /// - Throws: `badSettings` for such that cannot be used; then everything is as before.
    public func renew(_ tls: UpstreamTLS) throws(PlatformFault) {
        let fresh = try TLSConfiguration.client(tls)
        current.withLock { $0 = fresh }
    }

    /// What holds now.
    var configuration: TLSConfiguration { current.withLock { $0 } }
}
