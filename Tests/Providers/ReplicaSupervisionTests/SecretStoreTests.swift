// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import TestSupport
import Testing

@testable import ReplicaSupervision

/// Secrets on the disk, and what a crash leaves of them.
struct SecretStoreTests {
    private let scratch = TemporaryFolder()
    private let unique = "0F8FAD5B-D9CB-469F-A165-70867728950E"
    private var store: SecretStore {
        SecretStore(folder: scratch.path + "/secrets", preferring: scratch.path + "/incoming")
    }

    private func names(_ path: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: scratch.path + "/" + path)) ?? []).sorted()
    }

    init() throws {
        for folder in ["secrets", "incoming"] {
            try FileManager.default.createDirectory(
                atPath: scratch.path + "/" + folder,
                withIntermediateDirectories: true
            )
        }
    }

    @Test func `what is written lies in its place alone, and only its owner may read it`() throws {
        try store.write([1], as: "key.new", in: "team")
        try store.write([2, 0, 255], as: "key.new", in: "team")
        #expect(names("secrets/team") == ["key.new"] && names("incoming").isEmpty)
        #expect(try store.value(of: "key.new", in: "team") == Data([2, 0, 255]))
        let attributes = try FileManager.default.attributesOfItem(atPath: scratch.path + "/secrets/team/key.new")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(store.names(in: "team") == ["key.new"])
    }

    @Test func `a start removes what a crash left and lists every secret that an earlier version hid`() {
        for name in [
            "key", "key.\(unique).new", "a.b.\(unique).new", "hidden.new", "x.\(unique.lowercased()).new", "y.NEW",
        ] {
            scratch.write("secrets/team/\(name)", "value")
        }
        scratch.write("incoming/\(unique)", "value")
        store.removeLeftovers()
        #expect(store.names(in: "team") == ["hidden.new", "key", "x.\(unique.lowercased()).new"])
        #expect(names("secrets/team").count == 4, "what is nobody's is left alone")
        #expect(names("incoming").isEmpty)
    }

    private static let hasOtherFileSystem: Bool = {
        let devices = ["/dev/shm", FileManager.default.temporaryDirectory.path].map { path in
            (try? FileManager.default.attributesOfFileSystem(forPath: path))?[.systemNumber] as? Int
        }
        return devices[0] != devices[1] && FileManager.default.isWritableFile(atPath: "/dev/shm")
    }()

    @Test(.enabled(if: SecretStoreTests.hasOtherFileSystem))
    func `secrets that have a file system of their own do not leave it on their way`() throws {
        let own = "/dev/shm/martlet-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: own) }
        let store = SecretStore(folder: own, preferring: scratch.path + "/incoming")
        try store.write([1], as: "key", in: "team")
        #expect(store.names(in: "team") == ["key"])
        #expect(store.incoming == own + "/.incoming")
        scratch.write("incoming/other", "x")
        #expect(FileManager.default.createFile(atPath: store.incoming + "/left", contents: nil))
        store.removeLeftovers()
        #expect(store.names(in: "team") == ["key"] && names("incoming") == ["other"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: store.incoming).isEmpty)
    }

    @Test func `a namespace that is gone leaves nothing behind`() throws {
        try store.write([1], as: "key.new", in: "team")
        try store.removeAll(in: "team")
        #expect(names("secrets").isEmpty)
        try store.removeAll(in: "team")
        #expect(throws: PlatformFault.self) { try store.removeAll(in: "../incoming") }
    }

    @Test func `the data directory is rid of half-written files at its start, and of those alone`() throws {
        let path = scratch.path + "/data"
        for name in ["basic-auth-password.\(unique).new", "kept.new", "\(unique).new", "basic-auth-password"] {
            scratch.write("data/\(name)", "x")
        }
        let directory = try DataDirectory(path: path)
        let left = Set(names("data"))
        #expect(left.isSuperset(of: ["basic-auth-password", "kept.new", "\(unique).new", "incoming", "secrets"]))
        #expect(!left.contains("basic-auth-password.\(unique).new"), "\(directory.path)")
    }
}
