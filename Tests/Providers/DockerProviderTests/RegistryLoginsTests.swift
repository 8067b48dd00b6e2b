// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import DockerProvider

struct RegistryLoginsTests {
    private let logins = RegistryLogins(
        json: Data(
            """
            {"auths": {
              "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldDp3aXRoIGNvbG9u"},
              "127.0.0.1:5001": {"username": "team", "password": "p"},
              "ghcr.io": {}, "bad.example": {"auth": "%%%"}
            }, "credsStore": "desktop"}
            """.utf8
        )
    )

    @Test(arguments: [
        ("echo:1", "hub"), ("team/echo", "hub"), ("docker.io/library/echo", "hub"),
        ("127.0.0.1:5001/team/fn:1", "team"),
    ])
    func `an image's registry has its login`(image: String, user: String) {
        #expect(logins.login(forImage: image)?.user == user)
    }

    @Test func `a password may have a colon in it`() {
        #expect(logins.login(forImage: "echo")?.password == "secret:with colon")
    }

    @Test(arguments: ["ghcr.io/a/b", "bad.example/x", "127.0.0.1:5000/team/fn:1", "localhost/x", ""])
    func `others have none`(image: String) { #expect(logins.login(forImage: image)?.password == nil || image.isEmpty) }

    @Test(arguments: ["", "{", "[]", #"{"auths": 3}"#])
    func `a file that cannot be read has no login`(text: String) {
        #expect(RegistryLogins(json: Data(text.utf8)) == RegistryLogins(json: Data()))
    }

    @Test func `the file is where the variable says`() throws {
        let folder = TemporaryFolder()
        try Data(#"{"auths": {"a.example": {"username": "u", "password": "p"}}}"#.utf8)
            .write(to: URL(fileURLWithPath: folder.path + "/config.json"))
        let logins = RegistryLogins(environment: ["DOCKER_CONFIG": folder.path, "HOME": "/nowhere"])
        #expect(logins.login(forImage: "a.example/x:1")?.user == "u")
        #expect(RegistryLogins(environment: [:]).login(forImage: "a.example/x:1") == nil)
    }
}
