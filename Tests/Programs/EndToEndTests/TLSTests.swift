// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import ProcessControl
import SystemClient
import TestSupport
import Testing

/// The API over TLS, as the real binary speaks it.
@Suite(.enabled("needs openssl: scripts/test --with-peers", OpenSSL.isThere))
struct TLSTests {
    private let folder = TemporaryFolder()

    private var certificate: String { folder.path + "/cert.pem" }
    private var key: String { folder.path + "/key.pem" }

    private func makeCertificate(for name: String) async throws {
        let made = await OpenSSL.run(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=\(name)",
            "-keyout",
            key,
            "-out",
            certificate
        )
        try #require(made.isSuccess, "\(made.output)")
    }

    private func start() async throws -> RunningMartlet {
        try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--tls-cert", certificate, "--tls-key", key]
        )
    }

    /// What a handshake shows.
    private func handshake(_ martlet: RunningMartlet) async -> String {
        await OpenSSL.run("s_client", "-connect", "127.0.0.1:\(martlet.port)", "-alpn", "h2,http/1.1").output
    }

    @Test func `calls and management go over TLS, large bodies too, and ends are clean`() async throws {
        try await makeCertificate(for: "one.example")
        let martlet = try await start()
        #expect(martlet.startText.contains("https://127.0.0.1:\(martlet.pagePort)/ui/"))
        #expect(try await martlet.page().contains("https://127.0.0.1:\(martlet.port)"), "the page over TLS")
        try await martlet.client.create(FunctionDeployment(service: "cat", image: "host", envProcess: "cat"))
        let large = String(repeating: "0123456789abcdef", count: 131_072)
        let call = try await martlet.call("cat", method: "POST", body: large)
        #expect(call.status == 200 && call.body == large)
        let begun = ContinuousClock.now
        let last = try await martlet.call("cat", method: "POST", headers: [("Connection", "close")], body: "bye")
        #expect(last.body == "bye" && ContinuousClock.now - begun < .milliseconds(1500), "the end was waited for")
        #expect(await handshake(martlet).contains("ALPN protocol: http/1.1"))
        let plain = try RawConnection(port: martlet.port)
        try await plain.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(!(try await plain.receive()).contains("200 OK"))
        #expect(try await martlet.ask("GET", "/healthz").status == 200, "garbage ends its own connection alone")
        _ = await martlet.stop()
    }

    @Test func `a certificate is read again on SIGHUP, and a broken one leaves the old one in use`() async throws {
        try await makeCertificate(for: "one.example")
        let martlet = try await start()
        #expect(await handshake(martlet).contains("one.example"))
        try await makeCertificate(for: "two.example")
        martlet.hangUp()
        #expect(await martlet.prints("the certificate was read again"))
        #expect(await handshake(martlet).contains("two.example"))
        folder.write("cert.pem", "no certificate")
        martlet.hangUp()
        #expect(await martlet.prints("the certificate stays the old one"))
        #expect(await handshake(martlet).contains("two.example"))
        #expect(await martlet.stop() == 0)
    }

    @Test func `a stack file is deployed over TLS, to the platform that runs already too`() async throws {
        try await makeCertificate(for: "one.example")
        let stack = folder.write("stack.yaml", "functions: {one: {image: host, fprocess: env}}")
        let arguments = ["--tls-cert", certificate, "--tls-key", key, "--file", stack]
        let martlet = try await RunningMartlet(dataDirectory: folder.path + "/data", arguments: arguments)
        #expect(try await martlet.client.functions(in: nil).map(\.name) == ["one"], "\(martlet.output)")
        folder.write("stack.yaml", "functions: {two: {image: host, fprocess: env}}")
        let again = try await martlet.run("up", "--data-dir", martlet.dataDirectory, "--port", "\(martlet.port)")
        #expect(again.code != 0, "without a file it is a second start")
        let run = try await ProgramRun.run(
            [RunningProgram.folder.appendingPathComponent("martlet").path, "up", "--port", "\(martlet.port)"]
                + ["--data-dir", martlet.dataDirectory] + arguments,
            environment: ["HOME": folder.path],
            in: folder.path
        )
        #expect(run.isSuccess && run.output.contains("two: deployed"), "\(run.output) \(run.error)")
        // Whoever answers with another certificate is not told the password.
        try await makeCertificate(for: "two.example")
        let other = try await ProgramRun.run(
            [RunningProgram.folder.appendingPathComponent("martlet").path, "up", "--port", "\(martlet.port)"]
                + ["--data-dir", martlet.dataDirectory] + arguments,
            environment: ["HOME": folder.path],
            in: folder.path
        )
        #expect(!other.isSuccess && other.error.contains("cannot be verified"), "\(other.output) \(other.error)")
        #expect(await martlet.stop() == 0)
    }

    @Test func `what is no certificate stops the start and is named`() async throws {
        folder.write("cert.pem", "no certificate")
        let failure = await #expect(throws: RunningMartlet.StartFailure.self) { try await start() }
        #expect(failure?.output.contains(certificate) == true, "\(failure?.output ?? "")")
        let half = await #expect(throws: RunningMartlet.StartFailure.self) {
            try await RunningMartlet(dataDirectory: folder.path + "/data", arguments: ["--tls-cert", certificate])
        }
        #expect(half?.output.contains("tls-key") == true, "\(half?.output ?? "")")
    }
}
