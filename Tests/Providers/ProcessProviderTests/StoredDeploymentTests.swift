// SPDX-License-Identifier: Apache-2.0

import FaultModel
import FunctionModel
import Logging
import ProviderContract
import SQLiteStore
import StoreContract
import Synchronization
import TestSupport
import Testing

@testable import ProcessProvider
@testable import ReplicaSupervision

/// Deployments that another version let pass.
struct StoredDeploymentTests {
    private let folder = TemporaryFolder()

    /// What was logged as a warning or worse.
    private final class Warnings: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }

        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private struct Handler: LogHandler {
        let warnings: Warnings
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.warning

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { warnings.add("\(event.message) \(event.metadata ?? [:])") }
    }

    /// Writes what a version wrote that did not look at names of Martlet's own.
    private func store(_ deployments: [FunctionDeployment], in directory: DataDirectory) async throws {
        let store = try await SQLiteDesiredStore.open(at: directory.file("martlet.sqlite"))
        for deployment in deployments {
            try await store.insert(
                StoredFunction(
                    id: RunningProvider.id(deployment.service),
                    desiredReplicas: 1,
                    createdAt: .now(),
                    revision: StoredRevision(number: 7, deployment: deployment, bundleDigest: nil)
                )
            )
        }
        try await store.close()
    }

    /// Waits for the route of a function with a replica.
    private func route(_ name: String, of provider: LocalProcessProvider) async throws -> FunctionRoute {
        for await update in provider.watch() {
            let route = update.routes.first { $0.id == RunningProvider.id(name) && !$0.replicas.isEmpty }
            if let route { return route }
        }
        throw RunningProvider.NoReplica()
    }

    private func start(in directory: DataDirectory, _ warnings: Warnings) async throws -> LocalProcessProvider {
        try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                LocalProcessProvider.Basis(
                    dataDirectory: directory,
                    store: try await SQLiteDesiredStore.open(at: directory.file("martlet.sqlite")),
                    version: ProviderInfo.Version(release: "test", sha: "test")
                ),
                platformURL: "http://127.0.0.1:8080"
            ),
            logger: Logger(label: "test") { _ in Handler(warnings: warnings) }
        )
    }

    @Test func `stored functions with one path, or a path that is another's name, are kept, and the log says so`()
        async throws
    {
        let directory = try DataDirectory(path: folder.path + "/data")
        let paths = ["one": "/shop", "two": "/shop/", "three": "/one/a", "four": "/till"]
        let deployments = paths.map { name, path in
            var deployment = FunctionDeployment(service: name, image: "host", envProcess: "cat")
            deployment.namespace = "openfaas-fn"
            deployment.annotations = [PlatformLabel.path.name: path]
            return deployment
        }
        try await store(deployments, in: directory)
        let warnings = Warnings()
        let provider = try await start(in: directory, warnings)
        let names = try await provider.functions(in: "openfaas-fn").map(\.name)
        #expect(names == paths.keys.sorted())
        let expected = [("one", "two.openfaas-fn"), ("three", "one.openfaas-fn"), ("two", "one.openfaas-fn")]
        #expect(warnings.all.count == expected.count, "\(warnings.all)")
        for (warning, (name, other)) in zip(warnings.all, expected) {
            #expect(warning.contains("\(name).openfaas-fn") && warning.contains(other), "\(warning)")
        }
        let same = try #require(deployments.first { $0.service == "two" })
        #expect(try await provider.update(FunctionSpec(same)) == .unchanged, "it is no new deployment")
        await #expect(throws: PlatformFault.self) { try await provider.update(FunctionSpec(same), forced: true) }
        await provider.shutdown(within: .seconds(5))
    }

    @Test func `a stored function with an unknown label runs on, and the log says so once`() async throws {
        let directory = try DataDirectory(path: folder.path + "/data")
        var odd = FunctionDeployment(service: "odd", image: "host", namespace: "openfaas-fn", envProcess: "cat")
        odd.labels = ["com.martlet.colour": "red", "com.martlet.queue.depth": "5", "team": "one"]
        odd.annotations = ["com.martlet.access": "token", "com.martlet.path": "/system"]
        let even = FunctionDeployment(service: "even", image: "host", namespace: "openfaas-fn", envProcess: "cat")
        try await store([odd, even], in: directory)
        let warnings = Warnings()
        let provider = try await start(in: directory, warnings)
        let route = try await route("odd", of: provider)
        #expect(route.revision == 7 && route.policy.queueDepth == 5 && route.policy.deadline == .seconds(30))
        #expect(route.policy.access != .public, "who may call it is not known")
        #expect(try await self.route("even", of: provider).policy.access == .public)
        let status = try await provider.function(RunningProvider.id("odd"), includingUsage: false)
        #expect(status.labels?["com.martlet.colour"] == "red" && status.annotations == odd.annotations)
        #expect(warnings.all.count == 1, "\(warnings.all)")
        for word in ["odd.openfaas-fn", "com.martlet.colour", "com.martlet.access", "com.martlet.path"] {
            #expect(warnings.all.first?.contains(word) == true, "\(word): \(warnings.all)")
        }
        try await provider.restart(RunningProvider.id("odd"))
        #expect(try await provider.function(RunningProvider.id("odd"), includingUsage: false).martlet?.revision == 8)
        #expect(warnings.all.count == 1, "\(warnings.all)")
        await provider.shutdown(within: .seconds(5))
    }
}
