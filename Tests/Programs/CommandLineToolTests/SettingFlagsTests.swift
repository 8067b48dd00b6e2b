// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Testing

@testable import CommandLineTool

/// The flags that commands have because settings are declared with them.
struct SettingFlagsTests {
    private static let common = [
        "host", "port", "management-port", "metrics-port", "ui-port", "ui-host", "public-url", "data-dir", "no-auth",
        "provider", "drain-timeout", "require-limits", "tls-cert", "tls-key", "autoscaler", "async-body-limit",
        "nats-url", "gateway-url", "async-worker", "access-log", "log-level", "log-format", "show-settings",
        "socket", "socket-mode", "docker-publish-address", "docker-reach", "docker-pull",
    ]
    private static let remote = ["provider-ca", "provider-cert", "provider-key", "provider-server-name"]

    /// What follows two dashes where a flag is explained.
    private func flags(of command: any ParsableCommand.Type) -> Set<String> {
        let lines = command.helpMessage(columns: 200).split(separator: "\n").filter { $0.hasPrefix("  -") }
        let words = lines.flatMap { $0.prefix(60).split(separator: " ") }.filter { $0.hasPrefix("--") }
        return Set(words.map { $0.dropFirst(2).filter { $0 != "," } }).subtracting(["help", "version"])
    }

    @Test func `each command has the flags of its settings, and of no others`() {
        #expect(flags(of: UpCommand.self) == Set(Self.common + ["file", "yaml", "replace"]))
        #expect(flags(of: GatewayCommand.self) == Set(Self.common + Self.remote + ["provider-url"]))
        #expect(flags(of: QueueWorkerCommand.self) == Set(Self.common + Self.remote))
        #expect(flags(of: ProcessProviderCommand.self) == Set(Self.common))
        #expect(flags(of: DockerProviderCommand.self) == Set(Self.common))
        #expect(flags(of: DoctorCommand.self) == Set(Self.common))
    }

    @Test func `a flag is a setting's value, and says what the setting means`() throws {
        let up = try UpCommand.parse(["--port", "9", "--no-auth", "--require-limits", "-f", "stack.yml"])
        #expect(up.options.flags.values == ["port": "9", "auth": "false", "require-limits": "true"])
        #expect(up.own.values == ["file": "stack.yml"])
        let gateway = try GatewayCommand.parse(["--provider-url", "http://h:1", "--provider-ca", "/ca.pem"])
        #expect(gateway.own.values == ["functions-provider-url": "http://h:1"])
        #expect(gateway.remote.values == ["provider-ca": "/ca.pem"] && gateway.options.flags.values.isEmpty)
        let help = UpCommand.helpMessage(columns: 200)
        #expect(help.contains("Port of the API and the functions; 0 takes a free one. (default: 8080)"))
        #expect(help.contains("Let everybody manage, without a password."))
    }

    @Test func `a flag that there is not, or without its value, is refused`() {
        for wrong in [["--prot", "9"], ["--port"], ["--no-auth=x"], ["--async-lease", "1s"]] {
            #expect(throws: (any Error).self) { try UpCommand.parse(wrong) }
        }
    }
}
