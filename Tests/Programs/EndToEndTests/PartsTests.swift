// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
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
