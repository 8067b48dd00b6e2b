// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import Logging
import ProviderContract
import SQLiteStore
import TestSupport
import Testing

@testable import ProcessProvider
@testable import ReplicaSupervision

/// A secret's new value in replicas that run.
struct SecretReplacementTests {
    private let scratch = TemporaryFolder()
    private let namespace = NameRule.defaultNamespace

    private func start() async throws -> LocalProcessProvider {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let directory = try DataDirectory(path: scratch.path + "/data")
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

    /// The files that replicas were given, by replica and name.
    private func given() -> [String: Data] {
        let run = scratch.path + "/data/run"
        var files: [String: Data] = [:]
        for replica in (try? FileManager.default.contentsOfDirectory(atPath: run)) ?? [] {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: "\(run)/\(replica)/secrets")) ?? [] {
                let function = replica.prefix { $0 != "-" }
                files["\(function)/\(name)"] = FileManager.default.contents(atPath: "\(run)/\(replica)/secrets/\(name)")
            }
        }
        return files
    }

    private func deploy(_ name: String, _ secrets: [String], to provider: LocalProcessProvider) async throws {
        let deployment = FunctionDeployment(service: name, image: "host", envProcess: "cat", secrets: secrets)
        try await provider.create(FunctionSpec(deployment))
        for await update in provider.watch() {
            if update.routes.contains(where: { $0.id.name == name && !$0.replicas.isEmpty }) { break }
        }
    }

    @Test func `replicas that hold a changed secret have its new value when the change is acknowledged`() async throws {
        let provider = try await start()
        for name in ["key", "other"] { try await provider.createSecret(name, in: namespace, value: [1]) }
        try await deploy("one", ["key", "other"], to: provider)
        try await deploy("two", ["other"], to: provider)
        #expect(given() == ["one/key": Data([1]), "one/other": Data([1]), "two/other": Data([1])])
        #expect(try await provider.updateSecret("key", in: namespace, value: [2, 0, 255]) == .runningReplicas)
        #expect(given() == ["one/key": Data([2, 0, 255]), "one/other": Data([1]), "two/other": Data([1])])
        #expect(try await provider.updateSecret("other", in: namespace, value: []) == .runningReplicas)
        #expect(given() == ["one/key": Data([2, 0, 255]), "one/other": Data(), "two/other": Data()])
        await provider.shutdown(within: .seconds(5))
    }

    @Test func `a replica that is started while a secret changes has the new value too`() async throws {
        let provider = try await start()
        try await provider.createSecret("key", in: namespace, value: [0])
        for round in UInt8(1)...15 {
            let name = "fn\(round)"
            async let started: Void = deploy(name, ["key"], to: provider)
            try await provider.updateSecret("key", in: namespace, value: [round])
            try await started
            #expect(given()["\(name)/key"] == Data([round]))
        }
        #expect(Set(given().values) == [Data([15])] && given().count == 15)
        await provider.shutdown(within: .seconds(5))
    }

    @Test func `a value is replaced whole, stays the owner's, and comes back to nobody who has ended`() throws {
        let store = SecretStore(folder: scratch.path + "/secrets", preferring: scratch.path)
        scratch.write("secrets/ns/key", "old")
        let folder = ReplicaFolder(path: scratch.path + "/replica")
        try folder.create(secrets: ["key"], from: store, namespace: "ns")
        let open = try #require(FileHandle(forReadingAtPath: folder.secrets + "/key"))
        #expect(folder.replaceSecret("key", by: Data("new".utf8)))
        #expect(try open.readToEnd() == Data("old".utf8), "who reads the old one reads it to its end")
        #expect(FileManager.default.contents(atPath: folder.secrets + "/key") == Data("new".utf8))
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.secrets + "/key")
        #expect(attributes[.posixPermissions] as? Int == 0o400)
        #expect(folder.tidy(), "nothing is left beside it")
        #expect(folder.replaceSecret("key", by: Data("newer".utf8)))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.secrets).isEmpty)
        scratch.write("replica/secrets/late", "x")
        try folder.create(secrets: ["key"], from: store, namespace: "ns")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.secrets) == ["key"])
        // What a function put in the folder's place is not followed.
        scratch.write("elsewhere/key", "kept")
        try FileManager.default.removeItem(atPath: folder.secrets)
        try FileManager.default.createSymbolicLink(
            atPath: folder.secrets,
            withDestinationPath: scratch.path + "/elsewhere"
        )
        #expect(folder.replaceSecret("key", by: Data("newest".utf8)))
        #expect(FileManager.default.contents(atPath: scratch.path + "/elsewhere/key") == Data("kept".utf8))
    }
}
