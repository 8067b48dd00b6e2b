// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import FunctionModel
import SystemClient

struct LoginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Check a password and store it for later commands, faas-cli's too.",
        discussion: "Example: martlet login --password-stdin < ~/.martlet/basic-auth-password"
    )

    @OptionGroup var options: ClientOptions

    @Option(name: [.short, .long], help: "The user.")
    var username = "admin"

    @Option(name: [.short, .long], help: "The password; --password-stdin keeps it out of the shell's history.")
    var password: String?

    @Flag(name: [.customShort("s"), .long], help: "Read the password from standard input.")
    var passwordStdin = false

    func validate() throws {
        if password == nil, !passwordStdin {
            throw ValidationError("Give the password by --password-stdin or --password.")
        }
    }

    func run() async throws {
        try await runCommand {
            let word = try password ?? readPassword()
            let url = options.gatewayURL()
            let login = SystemClient.Login(user: username, password: word)
            try await ClientOptions.withClient(url, login: login, verifies: !options.tlsNoVerify) { client in
                _ = try await client.functions(in: nil)
            }
            try OpenFaaSConfig(environment: ProcessInfo.processInfo.environment)
                .store(user: username, password: word, for: url)
            print("credentials saved for \(username) \(ServerURL.shown(url))")
        }
    }

    private func readPassword() throws -> String {
        let data = try FileHandle.standardInput.readToEnd() ?? Data()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

struct LogoutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logout",
        abstract: "Forget a gateway's stored password."
    )

    @OptionGroup var options: ClientOptions

    func run() async throws {
        try await runCommand {
            let url = options.gatewayURL()
            let hadOne = try OpenFaaSConfig(environment: ProcessInfo.processInfo.environment).remove(url)
            let shown = ServerURL.shown(url)
            print(hadOne ? "credentials removed for \(shown)" : "no credentials are stored for \(shown)")
        }
    }
}
