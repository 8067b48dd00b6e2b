// SPDX-License-Identifier: Apache-2.0

import AutoscalerService
import FaultModel
import Foundation
import InvocationWorker
import JetStreamQueue
import QueueContract
import RemoteProvider
import RuntimeSettings
import TestSupport
import Testing

@testable import CommandLineTool
@testable import GatewayService

struct PlatformSettingsTests {
    private func settings(
        flags: [String: String] = [:],
        environment: [String: String] = [:],
        file: String? = nil
    ) throws -> PlatformSettings {
        try PlatformSettings(
            flags: flags,
            environment: environment.merging(["HOME": "/home/u"]) { own, _ in own },
            readFile: { _ in file }
        )
    }

    @Test func `a flag wins over a variable, a variable over the file, the file over the default`() throws {
        let file = "port: 3\nmetrics-port: 4\nhost: 0.0.0.0\n"
        let all = try settings(
            flags: ["port": "1"],
            environment: ["MARTLET_PORT": "2", "MARTLET_METRICS_PORT": "5"],
            file: file
        )
        #expect(all.listeners.port == 1)
        #expect(all.listeners.metricsPort == 5)
        #expect(all.listeners.host == "0.0.0.0")
        #expect(all.limits.upstreamTimeout == .seconds(60))
        #expect(all.reading("host")?.source == .file)
    }

    @Test func `OpenFaaS' own names are taken (§22)`() throws {
        let all = try settings(environment: [
            "upstream_timeout": "5m", "basic_auth": "false", "function_namespace": "fn",
        ])
        #expect(all.limits.upstreamTimeout == .seconds(300))
        #expect(!all.access.requiresCredentials)
        #expect(all.provider.defaultNamespace == "fn")
    }

    @Test func `how a provider elsewhere is told from others is read, and passwords are not shown`() throws {
        let url = "https://me:secret@provider.example:8081/"
        let all = try settings(
            flags: [
                "provider-ca": "/ca.pem", "provider-server-name": "one.example",
                "nats-url": "nats://u:secret@a,nats://b",
            ],
            environment: ["functions_provider_url": url, "MARTLET_PROVIDER_CERT": "/c", "MARTLET_PROVIDER_KEY": "/k"]
        )
        #expect(all.gateway.providerURL == url && all.remote.authorities == "/ca.pem")
        #expect(all.remote.identity?.key == "/k" && all.remote.serverName == "one.example")
        #expect(all.reading("functions-provider-url")?.shown == "https://***@provider.example:8081/")
        #expect(all.reading("nats-url")?.shown == "nats://***@a,nats://b")
        #expect(try settings().remote.isEmpty)
        for (name, value) in [
            ("provider-server-name", "10.0.0.1"), ("provider-server-name", "a:1"), ("provider-cert", "/c"),
        ] {
            let fault = #expect(throws: PlatformFault.self) { try settings(flags: [name: value]) }
            #expect(fault?.message.contains("provider-") == true)
        }
        let fault = #expect(throws: PlatformFault.self) {
            try settings(flags: ["functions-provider-url": "http://u:secret@h:99999"])
        }
        #expect(fault?.message.contains("secret") == false)
    }

    @Test func `an empty value counts as absent`() throws {
        #expect(try settings(environment: ["MARTLET_PORT": ""]).listeners.port == 8080)
    }

    @Test func `the data directory is below home`() throws {
        #expect(try settings().dataDirectory == "/home/u/.martlet")
    }

    @Test func `a value in the file is what was typed`() throws {
        let all = try settings(file: "access-log: off\nui-port: off\nport: 08080\nfile: 2020-01-01\nmetrics-port: ~\n")
        #expect(all.logs.calls == .off && all.listeners.pagePort == nil && all.listeners.port == 8080)
        #expect(all.listeners.metricsPort == 8082 && all.stack.file == "2020-01-01")
        let fault = #expect(throws: PlatformFault.self) { try settings(file: "host: [a, b]\n") }
        #expect(fault?.message.contains("host") == true)
    }

    @Test func `the page is where the API is, unless it is told otherwise`() throws {
        let all = try settings(flags: ["host": "10.0.0.1"])
        #expect(all.listeners.pagePort == 8083 && all.listeners.pageHost == "10.0.0.1")
        let own = try settings(flags: ["ui-port": "0", "ui-host": "127.0.0.1"])
        #expect(own.listeners.pagePort == 0 && own.listeners.pageHost == "127.0.0.1")
        for wrong in ["on", "70000", "-1", "of"] {
            let fault = #expect(throws: PlatformFault.self) { try settings(flags: ["ui-port": wrong]) }
            #expect(fault?.message.contains("nor off") == true)
        }
    }

    @Test func `management is on the port of the API, unless it is told otherwise`() throws {
        #expect(try settings().listeners.managementPort == nil)
        #expect(try settings(flags: ["management-port": "0", "port": "0"]).listeners.managementPort == 0)
        #expect(try settings(environment: ["MARTLET_MANAGEMENT_PORT": "9000"]).listeners.managementPort == 9000)
        for wrong in ["off", "70000", "-1", "8080"] {
            let fault = #expect(throws: PlatformFault.self) { try settings(flags: ["management-port": wrong]) }
            #expect(fault?.message.contains("management-port") == true)
        }
    }

    @Test(arguments: [
        "public-url", "gateway-url", "functions-provider-url", "nats-url", "prometheus-host", "nats-host",
    ]) func `an address that nobody can be reached at stops the start`(name: String) throws {
        let isHost = name.hasSuffix("-host")
        let scheme = isHost ? "" : name == "nats-url" ? "nats://" : "http://"
        for place in ["127.0.0.1:65536", "127.0.0.1:0", "[::1]:99999", "h:99999999999999999999", "h h", "[::1", "h?x"] {
            let fault = #expect(throws: PlatformFault.self, "\(place)") { try settings(flags: [name: scheme + place]) }
            #expect(fault?.code == .badSettings && fault?.message.contains(name) == true, "\(place)")
        }
        _ = try settings(flags: [name: isHost ? "::1" : scheme + "[::1]:65535"])
    }

    @Test func `whatever is said of a setting, it is parsed or refused`() {
        let words = [
            "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e300", "-1", "0", "65536", "nan",
            "2562047h47m16.854775807s", "9223372036854775807ns", "h", ".", "://", "[", "%", "\u{0}", "٣", "true,false",
            "http://[::1]:65536", "nats://a:1,nats://b:99999", ",",
        ]
        for definition in PlatformSettings.readings.map(\.setting) {
            for word in words { _ = try? settings(flags: [definition.name: word]) }
        }
        for word in words { _ = try? settings(file: "port: \(word)\nbody-limit: \(word)\n") }
    }

    @Test func `Prometheus and NATS are found at addresses of IPv6, too`() throws {
        let all = try settings(flags: ["prometheus-host": "::1", "prometheus-port": "1", "nats-host": "[fe80::1]"])
        #expect(all.scaling.prometheusURL == "http://[::1]:1")
        #expect(all.jetStream?.servers == ["nats://[fe80::1]:4222"])
    }

    @Test func `everything that is wrong is told at once`() throws {
        let fault = #expect(throws: PlatformFault.self) {
            try settings(
                flags: ["port": "many"],
                environment: ["read_timeout": "soon", "basic_auth": "maybe"],
                file: "prot: 1\n"
            )
        }
        #expect(fault?.code == .badSettings)
        for word in ["port", "many", "read-timeout", "soon", "auth", "maybe", "prot"] {
            #expect(fault?.message.contains(word) == true, "\(word) is not told")
        }
    }

    @Test func `settings may stand below their sections' names`() throws {
        let all = try settings(
            file: """
                listeners:
                  port: 3
                provider:
                  kind: process
                  function-namespace: fn
                queue:
                  retry-attempts: 5
                limits:
                logs: {log-level: debug}
                host: 0.0.0.0
                """
        )
        #expect(all.listeners.port == 3 && all.provider.defaultNamespace == "fn" && all.listeners.host == "0.0.0.0")
        #expect(all.asynchrony?.retry.attempts == 5 && all.logs.level == .debug)
        #expect(all.reading("provider")?.text == "process" && all.reading("provider")?.source == .file)
    }

    @Test(arguments: [
        ("listeners:\n  auth: false\n", ["auth", "belongs below \"access\""]),
        ("listeners:\n  prot: 1\n", ["prot", "\"port\"?"]),
        ("listeners-port: 1\n", ["below \"listeners\""]), ("listeners.port: 1\n", ["below its name"]),
        ("queue: 5\n", ["queue", "is a section"]), ("provider: docke\n", ["provider", "none of: process"]),
        ("provider: {kind: docke}\n", ["provider", "none of: process"]),
        ("port: 1\nlisteners: {port: 2}\n", ["port", "twice"]), ("data-dir: /x\n", ["data-dir", "flag"]),
        ("limits: {body-limit: {a: 1}}\n", ["body-limit", "single value"]), ("zzzzzzzz: 1\n", ["does not exist."]),
    ]) func `what is in the wrong place in the file stops the start and is named`(file: String, words: [String]) throws
    {
        let fault = #expect(throws: PlatformFault.self) { try settings(file: file) }
        for word in words { #expect(fault?.message.contains(word) == true, "\(word) in \(fault?.message ?? "")") }
    }

    @Test func `every setting but the folder of the file belongs to one section`() {
        let names = PlatformSettings.readings.map(\.setting.name)
        #expect(Set(names).count == names.count)
        #expect(PlatformSettings.readings.filter { $0.section == nil }.map(\.setting.name) == ["data-dir"])
    }

    @Test func `users and passwords in addresses are never shown`() throws {
        let flags = [
            "nats-url": "nats://a:secret@h:4222,nats://b:secret@i:4222", "gateway-url": "http://admin:secret@h:8080/",
        ]
        let all = try settings(flags: flags)
        #expect(all.reading("nats-url")?.shown == "nats://***@h:4222,nats://***@i:4222")
        #expect(all.reading("gateway-url")?.shown == "http://***@h:8080/" && all.reading("port")?.shown == "8080")
        let fault = #expect(throws: PlatformFault.self) { try settings(flags: ["gateway-url": "http://a:secret@h:0/"]) }
        #expect(fault?.message.contains("secret") == false)
    }

    @Test(arguments: [
        ("nats-url", "nats://u:p,secret@h:4222", "nats://***@h:4222"), ("nats-url", "u:secret@h:4222", "***@h:4222"),
        ("nats-url", "nats://a:secret@h, nats://b:se@cret@i", "nats://***@h,nats://***@i"),
        ("functions-provider-url", "http://user:pa/secret@h", "http://***@h"),
        ("functions-provider-url", "http://user:12?secret@h", "http://***@h"),
        ("functions-provider-url", "http://user:secret", "http://***"),
        ("functions-provider-url", "http//a:secret@h", "***@h"),
        ("functions-provider-url", "http:/a:secret@h", "***@h"),
        ("functions-provider-url", "http://http://a:secret@h", "http://***@h"),
        ("gateway-url", "user:secret@h:8080", "***@h:8080"), ("prometheus-host", "u:secret@h", "***@h"),
        ("public-url", "http://h:65536", "http://h:65536"),
    ]) func `a password is not shown of what is no address either`(name: String, text: String, shown: String) {
        var readings: [SettingReading] = []
        do { readings = try settings(flags: [name: text]).readings } catch {
            #expect("\(error)".contains("\(name) = \"\(shown)\" (flag)"), "\(error)")
        }
        for reading in readings where reading.setting.name == name { #expect(reading.shown == shown) }
    }

    @Test func `a martlet.yaml that is no text, or no file, stops the start`() throws {
        let folder = TemporaryFolder()
        let none = try PlatformSettings(flags: ["data-dir": folder.path], environment: [:])
        #expect(none.listeners.port == 8080)
        let file = folder.path + "/martlet.yaml"
        try Data([0x70, 0x3A, 0xFF, 0xFE]).write(to: URL(fileURLWithPath: file))
        for words in ["is not text in UTF-8", "cannot be read"] {
            let fault = #expect(throws: PlatformFault.self) {
                try PlatformSettings(flags: ["data-dir": folder.path], environment: [:])
            }
            #expect(fault?.code == .badSettings && fault?.message.contains("martlet.yaml \(words)") == true)
            try FileManager.default.removeItem(atPath: file)
            try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: "nowhere")
        }
    }

    @Test(arguments: [
        ("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]"), ("10.0.0.1", "10.0.0.1"), ("h", "h"),
    ]) func `what listens is reached from this machine by a URL`(host: String, text: String) throws {
        let all = try settings(flags: ["host": host, "ui-host": "::1", "tls-cert": "/c", "tls-key": "/k"]).listeners
        #expect(all.url(of: .functions, port: 1) == "https://\(text):1")
        #expect(all.url(of: .management, port: 2, host: "::1") == "https://[::1]:2")
        #expect(all.url(of: .metrics, port: 3) == "http://\(text):3/metrics")
        #expect(all.url(of: .page, port: 4) == "https://[::1]:4/ui/")
        let page = Gateway.Page(host: host, port: 5, apiHost: "x")
        #expect(PageSite(page, apiPort: 0, isEncrypted: false) { nil }.page(asSeenBy: nil) == "http://\(text):5/ui/")
    }

    @Test func `a socket in the file system is named by its absolute path, with the rights of its file`() throws {
        #expect(try settings().listeners.socket == nil)
        let socket = try settings(flags: ["socket": "~/m.sock"], file: "listeners:\n  socket-mode: 660").listeners
            .socket
        #expect(socket?.path == "/home/u/m.sock" && socket?.mode == 0o660)
        for flags in [
            ["socket": "m.sock"], ["socket": "@m"], ["socket": "/"],
            ["socket": "/" + String(repeating: "x", count: 107)], ["socket-mode": "1777"], ["socket-mode": "8"],
            ["socket-mode": "0o600"], ["socket-mode": "-600"],
        ] {
            let name = try #require(flags.keys.first)
            let fault = #expect(throws: PlatformFault.self) { try settings(flags: flags) }
            #expect(fault?.message.contains("- \(name) = ") == true, "\(flags)")
        }
    }

    @Test func `a provider and a gateway may be on sockets in the file system`() throws {
        let all = try settings(flags: [
            "functions-provider-url": "unix:///run/p.sock", "gateway-url": "http+unix://%2Frun%2Fg.sock",
        ])
        #expect(
            all.gateway.providerURL == "unix:///run/p.sock"
                && all.queueWorker.gatewayURL == "http+unix://%2Frun%2Fg.sock"
        )
        for name in ["functions-provider-url", "gateway-url"] {
            let fault = #expect(throws: PlatformFault.self) { try settings(flags: [name: "unix://run/p.sock"]) }
            #expect(fault?.message.contains("nor unix:///PATH") == true)
        }
        #expect(throws: PlatformFault.self) { try settings(flags: ["public-url": "unix:///run/p.sock"]) }
    }

    @Test func `every setting has a variable of its own`() {
        let variables = PlatformSettings.readings.map(\.setting.variables[0])
        #expect(Set(variables).count == variables.count)
        #expect(variables.allSatisfy { $0.hasPrefix("MARTLET_") })
    }

    @Test func `the documentation has every setting as it is, below its section's name`() throws {
        let page = Repository.file("Documentation/settings.md")
        let lines = try String(contentsOf: page, encoding: .utf8).split(separator: "\n").map(String.init)
        var expected: [String] = []
        var section: String?
        for reading in PlatformSettings.readings {
            if let name = reading.section, name != section { expected.append("### `\(name)`") }
            section = reading.section
            expected.append(row(reading.setting))
        }
        let documented = lines.filter { $0.hasPrefix("| `") || $0.hasPrefix("### `") }
        #expect(documented == expected, "\(expected.joined(separator: "\n"))")
    }

    private func row(_ setting: Setting) -> String {
        let flags = setting.flagNames.map { $0.count == 1 ? "`-\($0)`" : "`--\($0)`" }
        let variables = setting.variables.map { "`\($0)`" }
        let fallback = setting.fallback.isEmpty ? "" : "`\(setting.fallback)`"
        let cells = ["`\(setting.name)`", flags.joined(separator: ", "), variables.joined(separator: ", "), fallback]
        return "| " + (cells + [setting.help]).joined(separator: " | ") + " |"
    }

    @Test func `which settings there are does not depend on what they are`() throws {
        let names = PlatformSettings.readings.map(\.setting.name)
        let others = [
            "async": "false", "auth": "false", "ui-port": "off", "nats-url": "nats://h", "tls-cert": "/c",
            "tls-key": "/k",
        ]
        #expect(try settings(flags: others).readings.map(\.setting.name) == names)
    }
}

extension PlatformSettings {
    fileprivate func reading(_ name: String) -> SettingReading? { readings.first { $0.setting.name == name } }
}
