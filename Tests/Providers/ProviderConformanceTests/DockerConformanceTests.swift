// SPDX-License-Identifier: Apache-2.0

import DockerProvider
import FunctionModel
import Logging
import ProviderConformance
import ProviderContract
import ReplicaSupervision
import RuntimeSettings
import SQLiteStore
import Synchronization
import TestSupport
import Testing

/// Every promise of the provider contract, by containers of a real engine.
@Suite(.enabled(if: RunningEngine.isThere))
struct DockerConformanceTests {
    @Test(arguments: ProviderChecks.all)
    func `the Docker provider keeps its promises`(check: ProviderCheck) async throws {
        let subject = try await DockerSubject()
        do { try await check.run(on: subject) } catch {
            await subject.stop()
            throw error
        }
        await subject.stop()
    }
}

private struct DockerSubject: ProviderUnderTest {
    let first: ContainerFunctionProvider
    let defaultNamespace = NameRule.defaultNamespace
    /// Some containers start at a time, and other checks run beside this one.
    let patience = Duration.seconds(120)
    /// A container takes a sixth of a second of both cores to start.
    let crowd = 24
    private let folder = TemporaryFolder()
    private let directory: DataDirectory
    private let next = Started()

    /// The provider that was started after the first one.
    private final class Started: Sendable {
        let provider = Mutex<ContainerFunctionProvider?>(nil)
    }

    var provider: any FunctionProvider { first }

    init() async throws {
        directory = try DataDirectory(path: folder.path)
        first = try await Self.start(in: directory)
    }

    private static func start(in directory: DataDirectory) async throws -> ContainerFunctionProvider {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var reader = SettingsReader(flags: [:], environment: [:])
        let settings = DockerSettings(&reader)
        let engine = try await RunningEngine.shared.value
        let host = try await EngineHost.connect(environment: ["DOCKER_HOST": "unix://\(engine.socket)"])
        return try await ContainerFunctionProvider(
            ContainerFunctionProvider.Basis(
                dataDirectory: directory,
                store: try await SQLiteDesiredStore.open(at: directory.file("martlet.sqlite")),
                version: ProviderInfo.Version(release: "test", sha: "test")
            ),
            logger: logger
        ) { DockerHome($0, at: host, settings, DockerHome.Options()) }
    }

    func healthy(_ name: String, variant: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: RunningEngine.function, envVars: ["variant": variant])
    }

    func failing(_ name: String) -> FunctionDeployment {
        FunctionDeployment(service: name, image: RunningEngine.function, envVars: ["EXIT": "1"])
    }

    func startedAgain() async throws -> (any FunctionProvider)? {
        await (next.provider.withLock { $0 } ?? first).shutdown(within: .zero)
        let started = try await Self.start(in: directory)
        next.provider.withLock { $0 = started }
        return started
    }

    func stop() async { await (next.provider.withLock { $0 } ?? first).shutdown(within: .seconds(1)) }
}
