// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import CommandLineTool

/// The file of logins that faas-cli has, too.
struct OpenFaaSConfigTests {
    private let folder = TemporaryFolder()

    private var config: OpenFaaSConfig { OpenFaaSConfig(environment: ["OPENFAAS_CONFIG": folder.path]) }

    private func text() throws -> String { try String(contentsOfFile: folder.path + "/config.yml", encoding: .utf8) }

    private func isStored(_ gateway: String) -> Bool { config.login(for: gateway) != nil }

    @Test func `a login is stored, found with or without a slash, replaced and forgotten`() throws {
        #expect(!isStored("http://a:8080"))
        try config.store(user: "admin", password: "one", for: "http://a:8080")
        try config.store(user: "admin", password: "two:x", for: "http://A:8080/")
        #expect(isStored("http://a:8080/") && !isStored("http://b:8080"))
        let text = try text()
        #expect(text.contains(Data("admin:two:x".utf8).base64EncodedString()) && !text.contains("YWRtaW46b25l"))
        let mode = try FileManager.default.attributesOfItem(atPath: folder.path + "/config.yml")[.posixPermissions]
        #expect(mode as? Int == 0o600)
        #expect(try config.remove("http://a:8080"))
        #expect(try !config.remove("http://a:8080") && !isStored("http://a:8080"))
    }

    @Test func `what is not ours stays as it was typed`() throws {
        let words = ["mode: 0755", "since: 2020-01-01", "flag: yes", "time: 12:30:45", "hex: 0x1F", "float: 1e3"]
        folder.write(
            "config.yml",
            """
            auths:
            - gateway: https://other.example
              auth: oauth2
              token: abc
              options:
              - {name: scope, value: 007}
            \(words.joined(separator: "\n"))
            """
        )
        try config.store(user: "admin", password: "pw", for: "http://a:8080")
        let text = try text()
        for word in words + ["auth: oauth2", "value: 007", "https://other.example"] {
            #expect(text.contains(word), "\(text)")
        }
        #expect(isStored("http://a:8080") && !isStored("https://other.example"))
    }

    @Test(arguments: ["", "auths: 5", "- a", "auths: [[a], b, {gateway: [x]}]", "? [a]\n: b", "a: [", "auths: {a: b}"])
    func `a file that is not as it should be stores no login, and takes one`(text: String) throws {
        folder.write("config.yml", text)
        #expect(!isStored("http://a:8080"))
        try config.store(user: "admin", password: "pw", for: "http://a:8080")
        #expect(isStored("http://a:8080"))
    }
}
