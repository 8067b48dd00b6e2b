// SPDX-License-Identifier: Apache-2.0

import FaultModel
import Foundation
import TestSupport
import Testing

@testable import CommandLineTool

/// The files of the platform's user and password.
struct CredentialFilesTests {
    private let folder = TemporaryFolder()

    @Test func `the data directory is made for them, by whoever is the first to need it`() throws {
        let files = CredentialFiles(folder: folder.path + "/data/new", isOwn: true)
        _ = try files.readOrMake()
        let mode = try FileManager.default.attributesOfItem(atPath: files.folder)[.posixPermissions]
        #expect(mode as? Int == 0o700)
        let password = try String(contentsOfFile: files.passwordPath, encoding: .utf8)
        _ = try files.readOrMake()
        _ = try files.login()
        #expect(try String(contentsOfFile: files.passwordPath, encoding: .utf8) == password)
    }

    @Test func `a folder that others keep is not made`() {
        let files = CredentialFiles(folder: folder.path + "/secrets", isOwn: false)
        let fault = #expect(throws: PlatformFault.self) { try files.readOrMake() }
        #expect(fault?.code == .badSettings && fault?.message.contains("secret-mount-path") == true, "\(fault as Any)")
        #expect(!FileManager.default.fileExists(atPath: files.folder))
    }

    @Test func `whoever needs a login that was made elsewhere is told to copy it`() {
        let files = CredentialFiles(folder: folder.path, isOwn: true)
        let fault = #expect(throws: PlatformFault.self) { try files.login() }
        #expect(fault?.code == .badSettings && fault?.hint?.contains("Copy it to \(folder.path)") == true)
    }
}
