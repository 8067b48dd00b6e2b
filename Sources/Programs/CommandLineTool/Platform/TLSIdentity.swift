// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// The certificate that the API shows, read from files and read again when they have changed.
final class TLSIdentity: Sendable {
    private let files: (certificate: String, key: String)
    private let context: Mutex<NIOSSLContext>

    /// - Throws: `badSettings` naming the file that is wrong.
    init(_ files: (certificate: String, key: String)) throws(PlatformFault) {
        self.files = files
        context = Mutex(try Self.read(files))
    }

    /// Reads the files again; what is wrong with them leaves the old certificate in use.
    ///
    /// Blocks.
    func reload(_ logger: Logger) {
        do throws(PlatformFault) {
            let fresh = try Self.read(files)
            context.withLock { $0 = fresh }
            logger.notice("the certificate was read again", metadata: ["file": "\(files.certificate)"])
        } catch {
            logger.error("the certificate stays the old one", metadata: ["why": "\(error)"])
        }
    }

    /// Lets a connection speak TLS; those that are open keep what they began with.
    func prepare(_ channel: any Channel) throws {
        let handler = NIOSSLServerHandler(context: context.withLock { $0 })
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    private static func read(_ files: (certificate: String, key: String)) throws(PlatformFault) -> NIOSSLContext {
        let chain: [NIOSSLCertificate]
        do { chain = try NIOSSLCertificate.fromPEMFile(files.certificate) } catch {
            throw unusable("certificate", files.certificate, "tls-cert", error)
        }
        let key: NIOSSLPrivateKey
        do { key = try NIOSSLPrivateKey(file: files.key, format: .pem) } catch {
            throw unusable("private key", files.key, "tls-key", error)
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        configuration.applicationProtocols = ["http/1.1"]
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw PlatformFault(
                .badSettings,
                "The certificate \(NameRule.printable(files.certificate)) and the key \(NameRule.printable(files.key)) do not belong together.",
                hint: "Name both by --tls-cert and --tls-key.",
                cause: error
            )
        }
    }

    private static func unusable(
        _ what: String,
        _ file: String,
        _ setting: String,
        _ error: any Error
    ) -> PlatformFault {
        PlatformFault(
            .badSettings,
            "The \(what) \(NameRule.printable(file)) cannot be read, or is not PEM.",
            hint: "Name another one by --\(setting).",
            cause: error
        )
    }
}
