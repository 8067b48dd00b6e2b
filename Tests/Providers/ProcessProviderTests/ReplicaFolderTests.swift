// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import ProcessProvider
@testable import ReplicaSupervision

/// The folder of a replica, and what its function's next one finds in it.
struct ReplicaFolderTests {
    private let scratch = TemporaryFolder()
    private var folder: ReplicaFolder { ReplicaFolder(path: scratch.path + "/replica") }

    private func make() throws {
        try folder.create(
            secrets: [],
            from: SecretStore(folder: scratch.path, preferring: scratch.path),
            namespace: "fn"
        )
    }

    private func names(_ path: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }

    @Test func `what a replica left behind is gone before the next one comes`() throws {
        try make()
        try Data("x".utf8).write(to: URL(fileURLWithPath: folder.home + "/note"))
        try FileManager.default.createDirectory(atPath: folder.temporary + "/a/b", withIntermediateDirectories: true)
        #expect(folder.tidy())
        #expect(names(folder.path) == ["empty", "home", "secrets", "tmp"])
        #expect([folder.home, folder.temporary, folder.secrets, folder.empty].allSatisfy { names($0).isEmpty })
        try make()
    }

    @Test func `a folder that is not as it was made is of no more use, and links out of it are not followed`() throws {
        try make()
        let elsewhere = scratch.path + "/elsewhere"
        try FileManager.default.createDirectory(atPath: elsewhere, withIntermediateDirectories: true)
        try Data("x".utf8).write(to: URL(fileURLWithPath: elsewhere + "/kept"))
        try FileManager.default.removeItem(atPath: folder.home)
        try FileManager.default.createSymbolicLink(atPath: folder.home, withDestinationPath: elsewhere)
        #expect(!folder.tidy())
        #expect(names(elsewhere) == ["kept"])
        folder.remove()
        #expect(names(elsewhere) == ["kept"])
        try make()
        try FileManager.default.createSymbolicLink(atPath: folder.home + "/out", withDestinationPath: elsewhere)
        #expect(folder.tidy())
        #expect(names(elsewhere) == ["kept"])
        try Data().write(to: URL(fileURLWithPath: folder.path + "/more"))
        #expect(!folder.tidy())
    }
}
