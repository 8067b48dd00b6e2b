// SPDX-License-Identifier: Apache-2.0

public import FaultModel
public import FunctionModel
public import NIOSSL

extension TLSConfiguration {
    /// How a server elsewhere is asked, as a client; the name that it must have is the caller's to give.
    ///
    /// - Throws: `badSettings` for texts that are no PEM, naming which.
    public static func client(_ tls: UpstreamTLS) throws(PlatformFault) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if let roots = tls.roots {
            configuration.trustRoots = .certificates(try certificates(roots, "authorities"))
        }
        if let identity = tls.identity {
            configuration.certificateChain = try certificates(identity.certificates, "certificate")
                .map { .certificate($0) }
            configuration.privateKey = .privateKey(try key(identity.privateKey))
        }
        return configuration
    }

    private static func certificates(_ text: String, _ what: String) throws(PlatformFault) -> [NIOSSLCertificate] {
        do {
            let all = try NIOSSLCertificate.fromPEMBytes(Array(text.utf8))
            if !all.isEmpty { return all }
        } catch {
            throw unusable(what, error)
        }
        throw unusable(what, nil)
    }

    private static func key(_ text: String) throws(PlatformFault) -> NIOSSLPrivateKey {
        do { return try NIOSSLPrivateKey(bytes: Array(text.utf8), format: .pem) } catch {
            throw unusable("private key", error)
        }
    }

    private static func unusable(_ what: String, _ error: (any Error)?) -> PlatformFault {
        PlatformFault(.badSettings, "The \(what) for a server elsewhere cannot be read as PEM.", cause: error)
    }
}
