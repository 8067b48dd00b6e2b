// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import FunctionModel
import GRDB
import StoreContract
import TestSupport
import Testing

@testable import SQLiteStore

/// Files as they were left by others: by versions before and after this one, and by broken disks.
struct StoredFileTests {
    private let folder = TemporaryFolder()
    private var path: String { folder.path + "/martlet.sqlite" }

    /// Makes a file as version 0.1 did, word by word; never to be changed.
    private func makeFirstVersion() throws {
        let database = try DatabaseQueue(path: path)
        try database.write { database in
            try database.execute(
                sql: """
                    CREATE TABLE functions (
                        namespace TEXT NOT NULL, name TEXT NOT NULL,
                        desired_replicas INTEGER NOT NULL, revision INTEGER NOT NULL,
                        ready_revision INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
                        PRIMARY KEY (namespace, name)
                    ) STRICT;
                    CREATE TABLE revisions (
                        namespace TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
                        deployment TEXT NOT NULL, bundle_digest TEXT, created_at INTEGER NOT NULL,
                        PRIMARY KEY (namespace, name, number)
                    ) STRICT;
                    CREATE TABLE namespaces (name TEXT NOT NULL PRIMARY KEY, record TEXT NOT NULL) STRICT;
                    CREATE TABLE images (
                        name TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, language TEXT,
                        created_at INTEGER NOT NULL, PRIMARY KEY (name, tag)
                    ) STRICT;
                    PRAGMA user_version = 1;
                    INSERT INTO functions VALUES ('openfaas-fn', 'fn', 2, 2, 1, 1700000000000000000);
                    INSERT INTO revisions VALUES
                        ('openfaas-fn', 'fn', 1, '{"image":"hello:1.0","namespace":"openfaas-fn","service":"fn"}',
                         'sha256-1', 1),
                        ('openfaas-fn', 'fn', 2, '{"envProcess":"cat","image":"host","labels":{"a":"b"},
                         "namespace":"openfaas-fn","service":"fn"}', NULL, 2);
                    INSERT INTO namespaces VALUES ('openfaas-fn', '{"name":"openfaas-fn","labels":{"openfaas":"1"}}');
                    INSERT INTO images VALUES ('hello', '1.0', 'sha256-1', 'python', 3);
                    """
            )
        }
        try database.close()
    }

    @Test func `a file of the first version is read whole`() async throws {
        try makeFirstVersion()
        let store = try await SQLiteDesiredStore.open(at: path)
        let function = try #require(try await store.functions().first)
        #expect(function.id == FunctionID(name: "fn", namespace: "openfaas-fn") && function.desiredReplicas == 2)
        #expect(function.revision.number == 2 && function.revision.deployment.labels == ["a": "b"])
        #expect(function.readyRevision?.number == 1 && function.readyRevision?.bundleDigest == "sha256-1")
        #expect(try await store.namespaces() == [NamespaceRecord(name: "openfaas-fn", labels: ["openfaas": "1"])])
        #expect(try await store.images().map(\.language) == ["python"])
        #expect(try await store.documents.documents(beginningWith: "", after: nil, limit: 1).isEmpty)
        try await store.close()
    }

    @Test func `a file of a newer version stops the start and is left alone`() async throws {
        try makeFirstVersion()
        let database = try DatabaseQueue(path: path)
        try await database.write { try $0.execute(sql: "PRAGMA user_version = 99") }
        try database.close()
        let before = folder.contents
        let fault = await #expect(throws: PlatformFault.self) { _ = try await SQLiteDesiredStore.open(at: path) }
        #expect(fault?.code == .badSettings && fault?.message.contains("newer Martlet (schema 99") == true)
        #expect(folder.contents == before)
    }

    @Test func `a damaged file is told as one, and left alone`() async throws {
        try Data(repeating: 7, count: 8192).write(to: URL(fileURLWithPath: path))
        let fault = await #expect(throws: PlatformFault.self) { _ = try await SQLiteDesiredStore.open(at: path) }
        #expect(fault?.code == .storageUnavailable && fault?.message.contains("the file is damaged") == true)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data(repeating: 7, count: 8192))
    }
}
