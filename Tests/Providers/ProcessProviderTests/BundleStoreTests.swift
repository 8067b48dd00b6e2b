// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import Logging
import ProviderContract
import SQLiteStore
import StoreContract
import TestSupport
import Testing

@testable import FunctionBuilder
@testable import ProcessProvider
@testable import ReplicaSupervision

/// Bundles that come and go at the same time.
struct BundleStoreTests {
    private let scratch = TemporaryFolder()
    /// Held from one start to the next.
    private let directory: DataDirectory

    init() throws { directory = try DataDirectory(path: scratch.path + "/data") }

    private func open() async throws -> SQLiteDesiredStore {
        try await SQLiteDesiredStore.open(at: directory.file("martlet.sqlite"))
    }

    private func start() async throws -> LocalProcessProvider { try await start(try await open()) }

    private func start(_ store: any DesiredStore) async throws -> LocalProcessProvider {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try await LocalProcessProvider(
            LocalProcessProvider.Settings(
                LocalProcessProvider.Basis(
                    dataDirectory: directory,
                    store: store,
                    version: ProviderInfo.Version(release: "test", sha: "test")
                ),
                platformURL: "http://127.0.0.1:8080"
            ),
            logger: logger
        )
    }

    private func upload(
        _ name: String,
        _ program: String = "cat",
        files: [String: String] = [:],
        to provider: LocalProcessProvider
    ) async throws -> BundleRecord {
        var tar = TarWriter()
        tar.add("bundle.json", Data(#"{"fprocess":"\#(program)","mode":"http"}"#.utf8), isExecutable: false)
        for (path, text) in files { tar.add(path, Data(text.utf8), isExecutable: true) }
        return try await provider.storeBundle(name: name, tag: "latest", archive: pieces([UInt8](tar.finished())))
    }

    private func pieces(
        _ bytes: [UInt8],
        then error: (any Error)? = nil
    ) -> AsyncThrowingStream<[UInt8], any Error> {
        AsyncThrowingStream { continuation in
            continuation.yield(bytes)
            continuation.finish(throwing: error)
        }
    }

    private func contents() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: scratch.path + "/data/bundles")) ?? []).sorted()
    }

    @Test func `content that is stored under a new name while its old one is removed stays`() async throws {
        let provider = try await start()
        for round in 0..<25 {
            _ = try await upload("old", to: provider)
            async let removal: Void = provider.deleteBundle(name: "old", tag: "latest")
            let record = try await upload("new-\(round)", to: provider)
            try await removal
            #expect(contents().contains(record.digest), "round \(round)")
            #expect(try BundleDescription(folder: provider.home.contents.place(of: record.digest)).fprocess == "cat")
            try await provider.deleteBundle(name: "new-\(round)", tag: "latest")
            #expect(!contents().contains(record.digest))
        }
        await provider.shutdown(within: .zero)
    }

    @Test func `a bundle whose name is gone is removed though nobody waits for that any more`() async throws {
        let provider = try await start(StoreOfTheImpatient(store: try await open()))
        let record = try await upload("fn", to: provider)
        try await Task { try await provider.deleteBundle(name: "fn", tag: "latest") }.value
        #expect(try await provider.bundles().isEmpty)
        #expect(!contents().contains(record.digest))
        await provider.shutdown(within: .zero)
    }

    @Test func `the bundle of a function that is gone stays while its last replica ends`() async throws {
        let provider = try await start()
        let script = "trap '' TERM\ntouch \"$HOME/started\"\nwhile :; do sleep 1; done\n"
        let record = try await upload("stubborn", "sh serve.sh", files: ["serve.sh": script], to: provider)
        try await provider.create(FunctionSpec(FunctionDeployment(service: "fn", image: "stubborn")))
        let run = scratch.path + "/data/run"
        let hasStarted = await eventually {
            let replicas = (try? FileManager.default.contentsOfDirectory(atPath: run)) ?? []
            return replicas.contains { FileManager.default.fileExists(atPath: "\(run)/\($0)/home/started") }
        }
        #expect(hasStarted)
        try await provider.delete(FunctionID(name: "fn", namespace: NameRule.defaultNamespace))
        try await provider.deleteBundle(name: "stubborn", tag: "latest")
        try await LocalProcessProvider.onDisk(provider.parts.disk) {}
        #expect(contents() == [record.digest])
        await provider.shutdown(within: .zero)
        let next = try await start()
        #expect(await eventually { contents().isEmpty }, "the next start removes what nobody uses")
        await next.shutdown(within: .zero)
    }

    @Test func `a start removes what a crash left, and nothing that has a name`() async throws {
        let provider = try await start()
        let record = try await upload("kept", to: provider)
        await provider.shutdown(within: .zero)
        for name in [".new-1", ".old-2", "sha256-0"] { scratch.write("data/bundles/\(name)/bundle.json", "{}") }
        scratch.write("data/bundles/.new-3.tar", "half")
        let next = try await start()
        #expect(await eventually { contents() == [record.digest] }, "\(contents())")
        #expect(try await next.bundles().map(\.name) == ["kept"])
        await next.shutdown(within: .zero)
    }

    @Test func `an archive that is refused, or breaks off, leaves nothing behind`() async throws {
        let provider = try await start()
        let half = [UInt8](repeating: 0, count: 100_000)
        for archive in [pieces(Array("no archive".utf8)), pieces(half, then: CancellationError())] {
            let fault = await #expect(throws: PlatformFault.self) {
                _ = try await provider.storeBundle(name: "no", tag: "latest", archive: archive)
            }
            #expect(fault?.code == .malformedBody && contents().isEmpty, "\(contents())")
        }
        await provider.shutdown(within: .zero)
    }
}

/// A store whose callers are cancelled as soon as an image has lost its name.
private struct StoreOfTheImpatient: DesiredStore {
    let store: SQLiteDesiredStore

    func deleteImage(name: String, tag: String) async throws(PlatformFault) {
        try await store.deleteImage(name: name, tag: tag)
        withUnsafeCurrentTask { $0?.cancel() }
    }

    func functions() async throws(PlatformFault) -> [StoredFunction] { try await store.functions() }
    func insert(_ function: StoredFunction) async throws(PlatformFault) { try await store.insert(function) }
    func insert(_ revision: StoredRevision, of id: FunctionID) async throws(PlatformFault) {
        try await store.insert(revision, of: id)
    }
    func setDesiredReplicas(_ numbers: [FunctionID: Int]) async throws(PlatformFault) {
        try await store.setDesiredReplicas(numbers)
    }
    func setReadyRevision(_ number: Int, of id: FunctionID, createdAt: Timestamp) async throws(PlatformFault) {
        try await store.setReadyRevision(number, of: id, createdAt: createdAt)
    }
    func delete(_ id: FunctionID) async throws(PlatformFault) { try await store.delete(id) }
    func namespaces() async throws(PlatformFault) -> [NamespaceRecord] { try await store.namespaces() }
    func put(_ namespace: NamespaceRecord) async throws(PlatformFault) { try await store.put(namespace) }
    func deleteNamespace(_ name: String) async throws(PlatformFault) { try await store.deleteNamespace(name) }
    func images() async throws(PlatformFault) -> [BundleRecord] { try await store.images() }
    func put(_ image: BundleRecord) async throws(PlatformFault) { try await store.put(image) }
    func usedBundles() async throws(PlatformFault) -> [String: FunctionID] { try await store.usedBundles() }
    func close() async throws(PlatformFault) { try await store.close() }
}
