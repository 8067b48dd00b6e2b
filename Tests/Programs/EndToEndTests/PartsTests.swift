// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Glibc
import SystemClient
import TestSupport
import Testing

/// `martlet gateway` in front of `martlet provider process`, as two programs (contract §21, §22).
struct PartsTests {
    private let folder = TemporaryFolder()

    private func provider(port: Int) async throws -> RunningMartlet {
        try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--port", "\(port)"]
        )
    }

    /// Configured by OpenFaaS' own variables.
    private func gateway(_ provider: RunningMartlet) async throws -> RunningMartlet {
        try await RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path + "/data",
            environment: [
                "functions_provider_url": "http://127.0.0.1:\(provider.port)/",
                "secret_mount_path": folder.path + "/data", "basic_auth": "true", "upstream_timeout": "20s",
            ]
        )
    }

    private func password() throws -> String {
        try String(contentsOfFile: folder.path + "/data/basic-auth-password", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test func `a gateway alone serves a provider's functions, and outlives it`() async throws {
        let port = try ReservedPort.claim()
        let provider = try await provider(port: port)
        let gateway = try await gateway(provider)
        #expect(try await gateway.ask("GET", "/system/functions", withLogin: false).status == 401)
        #expect(gateway.pagePort > 0 && provider.pagePort == 0, "the gateway has the page")
        let env = FunctionDeployment(service: "env", image: "host", envProcess: "env")
        try await gateway.client.create(env)
        let call = try await gateway.call("env/a%20b?c=d", headers: [("X-Call-Id", "mine")])
        #expect(call.status == 200 && call.body.contains("Http_Path=/a b\n"), "\(call)")
        #expect(call.body.contains("Http_X_Call_Id=mine\n") && call.headers["x-call-id"] == "mine")
        let secret = "Basic \(Data("admin:\(try password())".utf8).base64EncodedString())"
        let known = try await provider.call("env", headers: [("Authorization", secret), ("X-A", "1")])
        #expect(known.body.contains("Http_X_A=1\n") && !known.body.contains("Http_Authorization"), "\(known)")
        try await gateway.client.scale("env", in: nil, to: 0)
        #expect(try await eventually { try await gateway.client.function("env", in: nil).availableReplicas == 0 })
        #expect(try await gateway.call("env").status == 200, "from zero")
        #expect(try await gateway.page().contains("/function/env"))
        #expect(try await gateway.client.info().provider?.orchestration == "process")

        await provider.kill()
        #expect(try await eventually { try await gateway.ask("GET", "/healthz", withLogin: false).status == 503 })
        let list = try await gateway.ask("GET", "/system/functions")
        #expect(list.status == 503 && list.headers["x-openfaas-internal"] != nil, "\(list)")
        #expect(try await gateway.client.info().provider == nil)
        let refused = try await gateway.call("env", headers: [("X-Timeout", "500ms")])
        #expect([502, 503, 504].contains(refused.status) && !refused.body.isEmpty, "\(refused)")

        let again = try await self.provider(port: port)
        #expect(try await eventually { try await gateway.call("env").status == 200 })
        #expect(await gateway.stop() == 0)
        #expect(await again.stop() == 0)
    }

    @Test func `doctor hears of a lost provider where the gateway has management`() async throws {
        let provider = try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--no-auth"]
        )
        let gateway = try await RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path + "/gateway",
            arguments: ["--provider-url", "http://127.0.0.1:\(provider.port)/", "--management-port", "0"]
        )
        let settings = [
            "MARTLET_PORT": "\(gateway.port)", "MARTLET_MANAGEMENT_PORT": "\(gateway.managementPort)",
            "MARTLET_METRICS_PORT": "0", "MARTLET_UI_PORT": "off",
            "functions_provider_url": "http://127.0.0.1:\(provider.port)/",
        ]
        let heard = try await gateway.run("doctor", environment: settings)
        #expect(heard.output.contains("provider: http://127.0.0.1:\(provider.port) answers"), "\(heard)")
        await provider.kill()
        #expect(try await eventually { try await gateway.client.info().lost != nil })
        let lost = try await gateway.run("doctor", environment: settings)
        #expect(lost.code == 1 && lost.output.contains("the gateway has heard nothing of it since"), "\(lost)")
        #expect(await gateway.stop() == 0)
    }

    @Test(arguments: ["true", "false"])
    func `a gateway starts on a machine that has no data directory yet`(async: String) async throws {
        let provider = try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--no-auth"]
        )
        let gateway = try await RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path + "/gateway",
            arguments: ["--provider-url", "http://127.0.0.1:\(provider.port)/"],
            environment: ["MARTLET_ASYNC": async]
        )
        #expect(try await gateway.ask("GET", "/system/functions", withLogin: false).status == 401)
        #expect(try await gateway.ask("GET", "/system/functions").status == 200)
        #expect(await gateway.stop() == 0)
        #expect(await provider.stop() == 0)
    }

    @Test func `a gateway that is started before its provider waits for it, and until then misses no function`()
        async throws
    {
        let (port, own) = (try ReservedPort.claim(), try ReservedPort.claim())
        async let waiting = RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path + "/gateway",
            arguments: ["--port", "\(own)"],
            environment: ["functions_provider_url": "http://127.0.0.1:\(port)/", "basic_auth": "false"]
        )
        let client = SystemClient(baseURL: "http://127.0.0.1:\(own)", login: nil, http: RunningMartlet.http)
        #expect(
            await eventually {
                let answer = try? await client.send("GET", "/function/env")
                return answer?.status == 503 && answer?.headers.contains { $0.name == "Retry-After" } == true
            }
        )
        #expect(try await eventually { try await client.info().lost != nil })
        let provider = try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--port", "\(port)"],
            environment: ["basic_auth": "false"]
        )
        let gateway = try await waiting
        #expect(try await client.send("GET", "/function/env").status == 404)
        #expect(try await eventually { try await client.info().lost == nil })
        #expect(await gateway.stop() == 0)
        #expect(await provider.stop() == 0)
    }
}

/// The same by TLS, as two machines would have it.
@Suite(.enabled("needs openssl: scripts/test --with-peers", OpenSSL.isThere))
struct SecuredPartsTests {
    private let folder = TemporaryFolder()

    private func gateway(_ provider: RunningMartlet, _ arguments: String...) async throws -> RunningMartlet {
        try await RunningMartlet(
            ["gateway"],
            dataDirectory: folder.path + "/data",
            arguments: arguments,
            environment: [
                "functions_provider_url": "https://127.0.0.1:\(provider.port)/",
                "secret_mount_path": folder.path + "/data",
            ]
        )
    }

    /// What a gateway says that must not trust its provider, and so never becomes ready.
    private func answerOfBlindGateway(
        _ provider: RunningMartlet,
        _ arguments: [String]
    ) async throws -> (status: Int, body: String) {
        let program = try await RunningProgram(
            [
                RunningProgram.folder.appendingPathComponent("martlet").path, "gateway", "--port", "0",
                "--metrics-port", "0",
            ]
                + ["--ui-port", "off", "--no-auth", "--provider-url", "https://127.0.0.1:\(provider.port)"] + arguments,
            environment: ["HOME": folder.path]
        )
        defer { program.signal(SIGKILL) }
        #expect(await program.prints("but is not ready"), "\(program.output)")
        let url = "http://127.0.0.1:\(program.number(after: "listens at http://127.0.0.1:"))"
        let client = SystemClient(baseURL: url, login: nil, http: RunningMartlet.http)
        let answer = try await client.send("GET", "/system/functions")
        return (answer.status, String(decoding: try await client.collect(answer), as: UTF8.self))
    }

    @Test func `a gateway reaches its provider by TLS, for management and for calls, and tells what is wrong`()
        async throws
    {
        let authority = try await TestAuthority()
        let identity = try await authority.issue("DNS:provider.example")
        let provider = try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--tls-cert", identity.certificate, "--tls-key", identity.key]
        )
        let trust = ["--provider-ca", authority.certificate, "--provider-server-name", "provider.example"]
        let gateway = try await gateway(provider, trust[0], trust[1], trust[2], trust[3])
        #expect(gateway.output.contains("provider https://127.0.0.1:\(provider.port)"))
        let doctor = try await gateway.run(
            "doctor",
            environment: [
                "functions_provider_url": "https://127.0.0.1:\(provider.port)/",
                "MARTLET_PROVIDER_CA": authority.certificate, "MARTLET_PROVIDER_SERVER_NAME": "provider.example",
            ]
        )
        #expect(doctor.output.contains("provider: https://127.0.0.1:\(provider.port) answers"), "\(doctor)")
        try await gateway.client.create(FunctionDeployment(service: "cat", image: "host", envProcess: "cat"))
        let large = String(repeating: "0123456789abcdef", count: 65_536)
        let call = try await gateway.call("cat", method: "POST", body: large)
        #expect(call.status == 200 && call.body == large)
        #expect(await gateway.stop() == 0)

        for (arguments, words) in [
            (["--provider-ca", authority.certificate], "not for this address"),
            (["--provider-server-name", "provider.example"], "no authority that is trusted"),
        ] {
            let list = try await self.answerOfBlindGateway(provider, arguments)
            #expect(list.status == 503 && list.body.contains("cannot be verified: "), "\(list)")
            #expect(list.body.contains(words), "\(list)")
        }
        let failure = await #expect(throws: RunningMartlet.StartFailure.self) {
            try await self.gateway(provider, "--provider-ca", identity.key)
        }
        #expect(failure?.output.contains("authorities") == true, "\(failure?.output ?? "")")
        #expect(await provider.stop() == 0)
    }

    @Test func `a provider's authorities are read again on SIGHUP, and broken ones leave the old in use`()
        async throws
    {
        let (first, second) = (try await TestAuthority(), try await TestAuthority())
        let port = try ReservedPort.claim()
        func copy(_ path: String, to name: String) throws {
            folder.write(name, try String(contentsOfFile: path, encoding: .utf8))
        }
        func provider(_ authority: TestAuthority) async throws -> RunningMartlet {
            let identity = try await authority.issue("IP:127.0.0.1")
            return try await RunningMartlet(
                ["provider", "process"],
                dataDirectory: folder.path + "/data",
                arguments: ["--port", "\(port)", "--tls-cert", identity.certificate, "--tls-key", identity.key]
            )
        }
        let one = try await provider(first)
        try copy(first.certificate, to: "ca.pem")
        let gateway = try await gateway(one, "--provider-ca", folder.path + "/ca.pem")
        try await gateway.client.create(FunctionDeployment(service: "env", image: "host", envProcess: "env"))
        #expect(try await gateway.call("env").status == 200)
        folder.write("ca.pem", "no certificate")
        gateway.hangUp()
        #expect(await gateway.prints("stay the old ones"))
        #expect(try await gateway.client.functions(in: nil).count == 1)

        #expect(await one.stop() == 0)
        let two = try await provider(second)
        #expect(try await eventually { try await gateway.ask("GET", "/system/functions").body.contains("verified") })
        try copy(second.certificate, to: "ca.pem")
        gateway.hangUp()
        #expect(await gateway.prints("were read again"))
        #expect(try await eventually { try await gateway.call("env").status == 200 })
        #expect(try await gateway.client.functions(in: nil).count == 1)
        #expect(await gateway.stop() == 0)
        #expect(await two.stop() == 0)
        withExtendedLifetime((first, second)) {}
    }
}

/// `martlet queue-worker` before a gateway that it does not reach by plain TCP.
@Suite(.enabled(if: RunningNATS.isThere))
struct SecuredWorkerTests {
    private let folder = TemporaryFolder()

    /// Calls for later that a worker alone carries out.
    private func work(at address: (RunningMartlet) -> String, _ gateway: [String], _ worker: [String]) async throws {
        let variables = [
            "MARTLET_NATS_URL": try await RunningNATS.shared.value.url,
            "queue_name": "t\(UInt64.random(in: 0 ... .max))",
        ]
        let martlet = try await RunningMartlet(
            dataDirectory: folder.path + "/data",
            arguments: ["--async-worker", "false"] + gateway,
            environment: variables
        )
        try await martlet.client.create(FunctionDeployment(service: "env", image: "host", envProcess: "env"))
        let worker = try await RunningMartlet(
            ["queue-worker"],
            dataDirectory: folder.path + "/data",
            arguments: ["--gateway-url", address(martlet)] + worker,
            environment: variables
        )
        let fields = [(name: "X-Call-Id", value: "later")]
        let sent = try await martlet.ask("POST", "/async-function/env", "", headers: fields, withLogin: false)
        #expect(sent.status == 202)
        #expect(
            try await eventually { try await martlet.client.call("later").state == "succeeded" },
            "\(worker.output)"
        )
        let answer = try await martlet.ask("GET", "/system/calls/later/result")
        #expect(answer.body.contains("Http_X_Call_Id=later"), "\(answer)")
        #expect(!answer.body.contains("Authorization"), "the worker's login is no function's business")
        #expect(await worker.stop() == 0)
        #expect(await martlet.stop() == 0)
    }

    @Test(.enabled("needs openssl: scripts/test --with-peers", OpenSSL.isThere))
    func `a worker alone carries calls out through a gateway that speaks TLS`() async throws {
        let authority = try await TestAuthority()
        let identity = try await authority.issue("DNS:gateway.example")
        try await work(
            at: { "https://127.0.0.1:\($0.port)" },
            ["--tls-cert", identity.certificate, "--tls-key", identity.key],
            ["--provider-ca", authority.certificate, "--provider-server-name", "gateway.example"]
        )
        withExtendedLifetime(authority) {}
    }

    @Test func `a worker alone carries calls out through a gateway on a socket in the file system`() async throws {
        let path = folder.path + "/g.sock"
        try await work(at: { _ in "unix://\(path)" }, ["--socket", path], [])
    }
}
