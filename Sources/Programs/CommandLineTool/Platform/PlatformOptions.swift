// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import FaultModel
import Foundation
import RuntimeSettings

/// The flags of commands that run a part of the platform.
///
/// Each is a setting of the table.
struct PlatformOptions: ParsableArguments {
    @Option(help: "Address to listen on (127.0.0.1).")
    var host: String?

    @Option(help: "Port of the API and the functions (8080); 0 takes a free one.")
    var port: String?

    @Option(help: "Port of management (/system/…), which then leaves --port; 0 takes a free one.")
    var managementPort: String?

    @Option(help: "Port of /metrics (8082); 0 takes a free one.")
    var metricsPort: String?

    @Option(help: "Port of the page, /ui/ (8083); 0 takes a free one, off leaves the page out.")
    var uiPort: String?

    @Option(help: "Address that the page listens on (that of the API).")
    var uiHost: String?

    @Option(help: "The address by which others reach this gateway, as https://faas.example.org.")
    var publicUrl: String?

    @Option(help: "Folder of everything that lasts (~/.martlet).")
    var dataDir: String?

    @Flag(help: "Let everybody manage, without a password.")
    var noAuth = false

    @Option(help: "What runs functions (process).")
    var provider: String?

    @Option(help: "How long calls may take to end when Martlet stops (10s).")
    var drainTimeout: String?

    @Flag(help: "Refuse limits that this machine does not enforce.")
    var requireLimits = false

    @Option(help: "File of the certificate chain (PEM): the API speaks TLS. Read again on SIGHUP.")
    var tlsCert: String?

    @Option(help: "File of the certificate's private key (PEM).")
    var tlsKey: String?

    @Option(help: "Whether replicas follow the load: auto, true, false (auto: with martlet up).")
    var autoscaler: String?

    @Option(help: "Longest body of an asynchronous call, in bytes (16777216).")
    var asyncBodyLimit: String?

    @Option(help: "NATS servers whose JetStream keeps asynchronous calls, as nats://HOST:4222 (the data directory).")
    var natsUrl: String?

    @Option(help: "With queue-worker: the gateway that calls go to (http://127.0.0.1:8080/).")
    var gatewayUrl: String?

    @Option(help: "Whether this process carries asynchronous calls out itself: true, false (true).")
    var asyncWorker: String?

    @Option(help: "A line per call of a function: off, errors, all (off).")
    var accessLog: String?

    @Option(help: "How much is logged: debug, info, warning, error (info).")
    var logLevel: String?

    @Option(help: "Logs as text or json (text on a terminal).")
    var logFormat: String?

    @Flag(help: "Print each setting with its value and where it came from, and end.")
    var showSettings = false

    /// The settings that hold; `file` is a flag of `up` alone, `more` are those of a part of the platform.
    func settings(file: String? = nil, more: [String: String] = [:]) throws(PlatformFault) -> PlatformSettings {
        var flags = more
        flags["host"] = host
        flags["port"] = port
        flags["management-port"] = managementPort
        flags["metrics-port"] = metricsPort
        flags["ui-port"] = uiPort
        flags["ui-host"] = uiHost
        flags["public-url"] = publicUrl
        flags["data-dir"] = dataDir
        flags["file"] = file
        flags["provider"] = provider
        flags["drain-timeout"] = drainTimeout
        flags["tls-cert"] = tlsCert
        flags["tls-key"] = tlsKey
        flags["autoscaler"] = autoscaler
        flags["async-body-limit"] = asyncBodyLimit
        flags["nats-url"] = natsUrl
        flags["gateway-url"] = gatewayUrl
        flags["async-worker"] = asyncWorker
        flags["access-log"] = accessLog
        flags["log-level"] = logLevel
        flags["log-format"] = logFormat
        if noAuth { flags["auth"] = "false" }
        if requireLimits { flags["require-limits"] = "true" }
        return try PlatformSettings(flags: flags, environment: ProcessInfo.processInfo.environment)
    }

    func printSettings(_ settings: PlatformSettings) {
        for definition in SettingsTable.definitions {
            guard let value = settings.values[definition.name] else { continue }
            let name = definition.name.padding(toLength: 24, withPad: " ", startingAt: 0)
            print("\(name)\(value.text.isEmpty ? "-" : value.shown)  (\(value.source))")
        }
    }
}
