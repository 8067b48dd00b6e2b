// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import DockerProvider

struct SecretFolderTests {
    private let parent = TemporaryFolder()
    private var folder: SecretFolder { SecretFolder(path: parent.path + "/replica") }

    private func mode(_ path: String) -> UInt32 {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test func `every user of the container may read the values, and nobody else outside may`() throws {
        try folder.fill([("key", Data("one".utf8)), ("empty", Data())])
        #expect(mode(folder.path) == 0o700 && mode(folder.inner) == 0o555)
        #expect(mode(folder.inner + "/key") == 0o444 && mode(folder.inner + "/empty") == 0o444)
        #expect(try String(contentsOfFile: folder.inner + "/key", encoding: .utf8) == "one")
        folder.remove()
    }

    @Test func `a value is replaced by another file, as who has it open expects`() throws {
        try folder.fill([("key", Data("one".utf8))])
        let open = try #require(FileHandle(forReadingAtPath: folder.inner + "/key"))
        #expect(folder.replace("key", by: Data("two".utf8)))
        #expect(try String(contentsOfFile: folder.inner + "/key", encoding: .utf8) == "two")
        #expect(String(decoding: open.availableData, as: UTF8.self) == "one")
        #expect(mode(folder.inner) == 0o555 && mode(folder.inner + "/key") == 0o444)
        #expect(folder.replace("other", by: Data()), "one that it was not given is not made")
        #expect(!FileManager.default.fileExists(atPath: folder.inner + "/other"))
        folder.remove()
        #expect(!FileManager.default.fileExists(atPath: folder.path))
    }

    @Test func `what a former replica left goes`() throws {
        try folder.fill([("old", Data())])
        try folder.fill([("new", Data())])
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.inner) == ["new"])
        folder.remove()
    }
}
