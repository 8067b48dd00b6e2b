// SPDX-License-Identifier: Apache-2.0

import DockerProvider
import FaultModel
import Foundation
import FunctionModel
import GatewayService
import Logging
import ProcessProvider
import ProviderContract
import ReplicaSupervision
import SQLiteStore

/// A provider of a platform's own, whatever runs its functions: what a program does with it besides.
protocol PlatformProvider: FunctionProvider {
    /// Whether limits of memory, CPU and processes are enforced.
    var limitsAreEnforced: Bool { get }

    /// Leaves the state to a successor.
    func handOver() async

    /// Ends replicas with a port of their own as they are not needed any more, until it is cancelled.
    func releasePorts(_ idle: @escaping @Sendable ([FunctionID]) async -> [FunctionID]) async

    /// The run before has ended.
    func predecessorEnded() async

    /// Lets all replicas end their calls, then ends them.
    func shutdown(within limit: Duration) async
}

extension SupervisingProvider: PlatformProvider {}

extension PlatformSettings {
    /// Opens what runs functions, and starts what was deployed.
    ///
    /// - Throws: `storageUnavailable`; `providerUnreachable` where a Docker engine is to do it and does not answer.
    func openProvider(
        _ directory: DataDirectory,
        _ predecessor: Predecessor?,
        _ logger: Logger
    ) async throws(PlatformFault) -> any PlatformProvider {
        // Whoever cannot run functions leaves the store alone.
        let engine = provider.kind == .docker ? try await EngineHost.connect(environment: variables) : nil
        let store = try await SQLiteDesiredStore.open(at: directory.file("martlet.sqlite"))
        if let engine { return try await docker(engine, directory, store, predecessor, logger) }
        return try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                LocalProcessProvider.Basis(
                    dataDirectory: directory,
                    store: store,
                    defaultNamespace: provider.defaultNamespace,
                    version: Release.version,
                    generation: predecessor?.generation ?? .even,
                    hasPredecessor: predecessor != nil
                ),
                platformURL: listeners.url(of: .functions, port: listeners.port),
                requiresLimits: process.requiresLimits
            ),
            logger: logger
        )
    }

    private func docker(
        _ engine: EngineHost,
        _ directory: DataDirectory,
        _ store: SQLiteDesiredStore,
        _ predecessor: Predecessor?,
        _ logger: Logger
    ) async throws(PlatformFault) -> any PlatformProvider {
        let (settings, options) = (docker, dockerOptions)
        return try await ContainerFunctionProvider(
            ContainerFunctionProvider.Basis(
                dataDirectory: directory,
                store: store,
                defaultNamespace: provider.defaultNamespace,
                version: Release.version,
                generation: predecessor?.generation ?? .even,
                hasPredecessor: predecessor != nil
            ),
            logger: logger
        ) { parts in DockerHome(parts, at: engine, settings, options) }
    }

    /// A gateway on a loopback address cannot be reached from containers.
    private var dockerOptions: DockerHome.Options {
        let isReachable = !["127.0.0.1", "::1", "localhost"].contains(listeners.host)
        return DockerHome.Options(
            platformURL: listeners.publicURL
                ?? (isReachable ? "\(listeners.scheme)://gateway.openfaas:\(listeners.port)" : nil),
            gatewayAddress: isReachable ? "host-gateway" : nil,
            requiresLimits: process.requiresLimits,
            environment: variables
        )
    }

    /// Docker's own variables say where its engine is, and who is logged in.
    var variables: [String: String] { ProcessInfo.processInfo.environment }
}
