// SPDX-License-Identifier: Apache-2.0

import Foundation
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
import ReplicaSupervision
import SQLiteStore
import ServiceLifecycle
import Synchronization
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
    func `an in-memory provider that has nothing optional keeps its promises`(check: ProviderCheck) async throws {
        try await check.run(on: MemorySubject.bare)
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
        let subject = try await RemoteSubject(ProcessSubject())
        try await check.run(on: subject)
        await subject.stop()
    }

    @Test(arguments: ProviderChecks.all)
    func `a remote provider learns that the provider behind it has nothing optional, and keeps its promises`(
        check: ProviderCheck
    ) async throws {
        let subject = try await RemoteSubject(MemorySubject.bare)
        await subject.learn()
        #expect(subject.provider.capabilities == .none)
        try await check.run(on: subject)
        await subject.stop()
    }

    @Test(arguments: ProviderChecks.all)
    func `a remote provider keeps the promises of one behind it that may lose contact (§21)`(
        check: ProviderCheck
    ) async throws {
        let subject = try await RemoteSubject(MemorySubject())
        await subject.learn()
        try await check.run(on: subject)
        await subject.stop()
    }

    @Test(arguments: ProviderChecks.durability)
    func `a provider that is a program of its own, and killed, keeps the promises of durability`(
        check: ProviderCheck
    ) async throws {
        let subject = try await ProgramSubject()
        try await check.run(on: subject)
        await subject.stop()
    }

    @Test func `an upload is written as it comes, and one that its client breaks off leaves nothing`() async throws {
        let subject = try await RemoteSubject(ProcessSubject())
        let bundles = subject.inner.folder.path + "/bundles"
        func files() -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: bundles)) ?? [] }
        let client = try RawConnection(port: subject.port)
        try await client.send("PUT /system/bundles/big HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n")
        try await client.send([UInt8](repeating: 0, count: 300_000))
        #expect(await eventually { files().contains { $0.hasSuffix(".tar") } }, "it is written as it comes")
        client.close()
        #expect(await eventually { files().isEmpty }, "\(files()) are left")
        #expect(try await subject.inner.local.bundles().isEmpty)
        await subject.stop()
    }
}

/// A provider for a check, which is let go of afterwards.
private protocol StoppableSubject: ProviderUnderTest {
    func stop() async
}

private struct MemorySubject: StoppableSubject {
    private let memory: InMemoryProvider
    let defaultNamespace = NameRule.defaultNamespace

    var provider: any FunctionProvider { memory }

    var contact: ContactUnderTest? { ContactUnderTest(lose: memory.loseContact, hearAgain: memory.hearAgain) }

    func healthy(_ name: String, variant: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "any", envProcess: "cat", envVars: ["variant": variant])
    }

    func failing(_ name: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "never-ready", envProcess: "cat")
    }

    init(_ memory: InMemoryProvider = InMemoryProvider()) { self.memory = memory }

    static var bare: MemorySubject { MemorySubject(InMemoryProvider(abilities: .none)) }

    func stop() async {}
}

private struct ProcessSubject: StoppableSubject {
    let folder = TemporaryFolder()
    let local: LocalProcessProvider
    let defaultNamespace = NameRule.defaultNamespace
    private let directory: DataDirectory
    private let next = Started()

    /// The provider that was started after the first one.
    private final class Started: Sendable {
        let provider = Mutex<LocalProcessProvider?>(nil)
    }

    var provider: any FunctionProvider { local }

    init() async throws {
        directory = try DataDirectory(path: folder.path)
        local = try await Self.start(in: directory)
    }

    private static func start(in directory: DataDirectory) async throws -> LocalProcessProvider {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                LocalProcessProvider.Basis(
                    dataDirectory: directory,
                    store: try await SQLiteDesiredStore.open(at: directory.file("martlet.sqlite")),
                    version: ProviderInfo.Version(release: "test", sha: "test")
                ),
                platformURL: "http://127.0.0.1:8080"
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

    func startedAgain() async throws -> (any FunctionProvider)? {
        await (next.provider.withLock { $0 } ?? local).shutdown(within: .zero)
        let started = try await Self.start(in: directory)
        next.provider.withLock { $0 = started }
        return started
    }

    func stop() async {
        if let started = next.provider.withLock({ $0 }) {
            await started.shutdown(within: .seconds(5))
        } else {
            await local.shutdown(within: .seconds(5))
        }
    }
}

/// The process provider as a program of its own, killed by SIGKILL, and a client of it that stays.
private struct ProgramSubject: StoppableSubject {
    private let folder = TemporaryFolder()
    private let port: Int
    private let remote: HTTPFunctionProvider
    private let running: Running
    let defaultNamespace = NameRule.defaultNamespace

    /// The program that runs now.
    private final class Running: Sendable {
        let program: Mutex<RunningMartlet>
        init(_ program: RunningMartlet) { self.program = Mutex(program) }
    }

    var provider: any FunctionProvider { remote }

    init() async throws {
        port = try ReservedPort.claim()
        running = Running(try await Self.start(in: folder, port))
        let client = SystemClient(baseURL: "http://127.0.0.1:\(port)", login: nil, http: RunningMartlet.http)
        remote = try HTTPFunctionProvider(client: client)
    }

    private static func start(in folder: TemporaryFolder, _ port: Int) async throws -> RunningMartlet {
        try await RunningMartlet(
            ["provider", "process"],
            dataDirectory: folder.path + "/data",
            arguments: ["--port", "\(port)", "--no-auth"]
        )
    }

    func healthy(_ name: String, variant: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "host", envProcess: "cat", envVars: ["variant": variant])
    }

    func failing(_ name: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: "host", envProcess: "no-such-program-anywhere")
    }

    func startedAgain() async throws -> (any FunctionProvider)? {
        await running.program.withLock { $0 }.kill()
        let next = try await Self.start(in: folder, port)
        running.program.withLock { $0 = next }
        return remote
    }

    func stop() async { await running.program.withLock { $0 }.kill() }
}

/// The contract over HTTP: a client of the API that a gateway serves over another provider.
private struct RemoteSubject<Inner: StoppableSubject>: StoppableSubject {
    let inner: Inner
    let services: ServiceGroup
    let running: Task<Void, any Error>
    let remote: HTTPFunctionProvider
    let port: Int
    let defaultNamespace = NameRule.defaultNamespace

    var provider: any FunctionProvider { remote }

    var contact: ContactUnderTest? { inner.contact }

    init(_ inner: Inner) async throws {
        self.inner = inner
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let gateway = Gateway(
            Gateway.Settings(
                listeners: [Listener(.api, .tcp(host: "127.0.0.1", port: 0), [.functions, .management])],
                defaultNamespace: NameRule.defaultNamespace,
                version: ProviderInfo.Version(release: "test", sha: "test"),
                authenticator: nil,
                engine: EngineSettings(servedBy: "martlet/test")
            ),
            provider: inner.provider,
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
        port = addresses?.api?.port ?? 0
        let url = "http://127.0.0.1:\(port)"
        remote = try HTTPFunctionProvider(client: SystemClient(baseURL: url, login: nil, http: RunningMartlet.http))
    }

    func healthy(_ name: String, variant: String) -> FunctionDeployment { inner.healthy(name, variant: variant) }

    func failing(_ name: String) -> FunctionDeployment { inner.failing(name) }

    /// Returns when the provider has told what it can do.
    func learn() async { for await _ in remote.watch() { break } }

    func stop() async {
        await inner.stop()
        await services.triggerGracefulShutdown()
        _ = await running.result
    }
}
