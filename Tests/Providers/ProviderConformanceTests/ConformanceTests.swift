// SPDX-License-Identifier: Apache-2.0

import FunctionModel
import GatewayService
import InvocationEngine
import Logging
import NIOCore
import NIOPosix
import ProcessProvider
import ProviderConformance
import ProviderContract
import RemoteProvider
import ServiceLifecycle
import SystemClient
import TestSupport
import Testing

/// Every promise of the provider contract, on every provider.
struct ConformanceTests {
    @Test(arguments: ProviderChecks.all)
    func `the in-memory provider keeps its promises`(check: ProviderCheck) async throws {
        try await check.run(on: MemorySubject())
    }

    @Test(arguments: ProviderChecks.all)
    func `the process provider keeps its promises`(check: ProviderCheck) async throws {
        let subject = try await ProcessSubject()
        try await check.run(on: subject)
        await subject.stop()
    }

    @Test(arguments: ProviderChecks.all)
    func `a remote provider keeps the promises of the process provider behind it (§21)`(
        check: ProviderCheck
    ) async throws {
        let subject = try await RemoteSubject()
        try await check.run(on: subject)
        await subject.stop()
    }
}

private struct MemorySubject: ProviderUnderTest {
    let provider: any FunctionProvider = InMemoryProvider()
    let defaultNamespace = NameRule.defaultNamespace

    func healthy(_ name: String, variant: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "any", envProcess: "cat", envVars: ["variant": variant])
    }

    func failing(_ name: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "never-ready", envProcess: "cat")
    }
}

private struct ProcessSubject: ProviderUnderTest {
    let local: LocalProcessProvider
    let folder = TemporaryFolder()
    let defaultNamespace = NameRule.defaultNamespace

    var provider: any FunctionProvider { local }

    init() async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        local = try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                dataDirectory: try DataDirectory(path: folder.path),
                platformURL: "http://127.0.0.1:8080",
                version: ProviderInfo.Version(release: "test", sha: "test")
            ),
            logger: logger
        )
    }

    func healthy(_ name: String, variant: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "host", envProcess: "cat", envVars: ["variant": variant])
    }

    func failing(_ name: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "host", envProcess: "no-such-program-anywhere")
    }

    func stop() async { await local.shutdown(within: .seconds(5)) }
}

/// The contract over HTTP: a client of the API that a gateway serves over a process provider.
private struct RemoteSubject: ProviderUnderTest {
    let inner: ProcessSubject
    let services: ServiceGroup
    let running: Task<Void, any Error>
    let remote: HTTPFunctionProvider
    let defaultNamespace = NameRule.defaultNamespace

    var provider: any FunctionProvider { remote }

    init() async throws {
        inner = try await ProcessSubject()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let gateway = Gateway(
            Gateway.Settings(
                host: "127.0.0.1",
                port: 0,
                metricsPort: nil,
                defaultNamespace: NameRule.defaultNamespace,
                version: ProviderInfo.Version(release: "test", sha: "test"),
                authenticator: nil,
                engine: EngineSettings(servedBy: "martlet/test")
            ),
            provider: inner.local,
            bundles: inner.local,
            counts: nil,
            asynchrony: nil,
            scaling: Gateway.Scaling(isOn: false),
            stopping: Stopping(limit: .zero),
            group: MultiThreadedEventLoopGroup.singleton,
            logger: logger
        )
        services = ServiceGroup(services: gateway.services, logger: logger)
        running = Task { [services] in try await services.run() }
        let addresses = await gateway.addresses.reached()
        let url = "http://127.0.0.1:\(addresses?.api?.port ?? 0)"
        remote = try HTTPFunctionProvider(client: SystemClient(baseURL: url, login: nil, http: RunningMartlet.http))
    }

    func healthy(_ name: String, variant: String) -> FunctionDeployment { inner.healthy(name, variant: variant) }

    func failing(_ name: String) -> FunctionDeployment { inner.failing(name) }

    func stop() async {
        await inner.stop()
        await services.triggerGracefulShutdown()
        _ = await running.result
    }
}
