// SPDX-License-Identifier: Apache-2.0

import ProcessControl

/// The command `openssl`.
public enum OpenSSL {
    /// Whether this machine has it.
    public static func isThere() async -> Bool { await run("version").isSuccess }

    /// Runs it; returns all that it printed.
    public static func run(_ arguments: String...) async -> (isSuccess: Bool, output: String) {
        await run(arguments)
    }

    static func run(_ arguments: [String]) async -> (isSuccess: Bool, output: String) {
        let run = try? await ProgramRun.run(
            ["openssl"] + arguments,
            environment: ["PATH": "/usr/local/bin:/usr/bin:/bin"],
            in: "/"
        )
        return (run?.isSuccess ?? false, (run?.output ?? "") + (run?.error ?? ""))
    }
}

/// An authority that signs what a test needs; its files last as long as it does.
public final class TestAuthority: Sendable {
    /// What `openssl` did not do.
    public struct Failure: Error {
        /// What it printed.
        public let output: String
    }

    /// A certificate and its key, as files of PEM.
    public struct Identity: Sendable {
        /// The certificate's path.
        public let certificate: String
        /// The key's path.
        public let key: String

        /// Names both.
        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    private let folder = TemporaryFolder()
    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    /// The path of the authority's own certificate.
    public var certificate: String { folder.path + "/ca.pem" }

    /// Makes an authority.
    public init() async throws {
        try await run(
            ["req", "-x509", "-days", "2", "-subj", "/CN=Authority of a test"] + Self.newKey
                + ["-addext", "basicConstraints=critical,CA:TRUE", "-keyout", folder.path + "/ca.key"]
                + ["-out", certificate]
        )
    }

    /// Signs a certificate for names as `DNS:one.example,IP:127.0.0.1`, until so many days from now.
    public func issue(_ names: String, days: Int = 2) async throws -> Identity {
        let base = "\(folder.path)/\(UInt64.random(in: 0 ... .max))"
        try await run(
            ["req", "-new", "-subj", "/CN=A server of a test"] + Self.newKey
                + ["-addext", "subjectAltName=\(names)", "-keyout", base + ".key", "-out", base + ".csr"]
        )
        try await run(
            ["x509", "-req", "-in", base + ".csr", "-CA", certificate, "-CAkey", folder.path + "/ca.key"]
                + ["-days", "\(days)", "-copy_extensions", "copyall", "-out", base + ".pem"]
        )
        return Identity(certificate: base + ".pem", key: base + ".key")
    }

    private func run(_ arguments: [String]) async throws {
        let run = await OpenSSL.run(arguments)
        guard run.isSuccess else { throw Failure(output: run.output) }
    }
}
