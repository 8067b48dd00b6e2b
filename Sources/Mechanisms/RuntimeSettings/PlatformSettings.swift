// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
import FunctionModel
import YAMLReading

/// The platform's settings, read once at the start: flag > environment > `martlet.yaml` > default.
public struct PlatformSettings: Sendable {
    /// Where a value came from.
    public enum Source: Sendable, Equatable, CustomStringConvertible {
        /// A command-line flag.
        case flag
        /// An environment variable of this name.
        case environment(String)
        /// `martlet.yaml` in the data directory.
        case file
        /// Nothing was said.
        case fallback

        /// For `--show-settings`.
        public var description: String {
            switch self {
            case .flag: "flag"
            case .environment(let name): "environment (\(name))"
            case .file: "martlet.yaml"
            case .fallback: "default"
            }
        }
    }

    /// A value with its origin.
    public struct Value: Sendable, Equatable {
        /// The text as it was given.
        public let text: String
        /// Where it came from.
        public let source: Source

        /// The text for people to read: users and passwords in addresses are left out.
        public var shown: String {
            text.split(separator: ",", omittingEmptySubsequences: false).map(Self.withoutLogin).joined(separator: ",")
        }

        private static func withoutLogin(_ address: Substring) -> String {
            guard let scheme = address.range(of: "://") else { return String(address) }
            let rest = address[scheme.upperBound...]
            let end = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
            guard let at = rest[..<end].lastIndex(of: "@") else { return String(address) }
            return address[..<scheme.upperBound] + "***" + rest[at...]
        }
    }

    /// All values by name.
    public private(set) var values: [String: Value] = [:]

    /// The address to listen on.
    public let host: String
    /// The port of the API, 0 to 65535.
    public let port: Int
    /// The port of management, 0 to 65535; nil where that is the port of the API.
    public let managementPort: Int?
    /// The port of metrics, 0 to 65535.
    public let metricsPort: Int
    /// The port of the page, 0 to 65535; nil where it is left out.
    public let pagePort: Int?
    /// The address that the page listens on.
    public let pageHost: String
    /// The data directory's absolute path.
    public let dataDirectory: String
    /// The stack file to bring up.
    public let stackFile: String?
    /// Whether managing needs the password.
    public let requiresCredentials: Bool
    /// The default namespace.
    public let defaultNamespace: String
    /// See the table.
    public let headerTimeout: Duration
    /// See the table.
    public let readTimeout: Duration
    /// See the table.
    public let writeTimeout: Duration
    /// Nil means no limit.
    public let upstreamTimeout: Duration?
    /// In bytes; each field counts 32 more.
    public let headLimit: Int
    /// In bytes; nil means no limit.
    public let bodyLimit: Int?
    /// In bytes, of all bodies that are held.
    public let bodyMemory: Int
    /// In bytes, of all bodies that are held.
    public let bodyDisk: Int
    /// Calls of one function.
    public let waitingLimit: Int
    /// See the table.
    public let drainTimeout: Duration
    /// How asynchronous calls are kept and tried again; nil where none are accepted.
    public let asynchrony: AsynchronySettings?
    /// Where they are kept when it is not the data directory.
    public let jetStream: JetStreamSettings?
    /// `true`, `false`, or `auto`: with the whole platform only.
    public let autoscaler: String
    /// The address of Prometheus, as `http://127.0.0.1:9090`; nil where none is configured.
    public let prometheusURL: String?
    /// The address by which others reach the gateway.
    public let publicURL: String?
    /// See the table.
    public let requiresLimits: Bool
    /// The certificate and its key; nil where TLS is off.
    public let tlsFiles: (certificate: String, key: String)?
    /// `off`, `errors` or `all`.
    public let accessLog: String
    /// `debug`, `info`, `warning` or `error`.
    public let logLevel: String
    /// `text`, `json` or `auto`.
    public let logFormat: String
    /// The provider's address for a gateway alone.
    public let providerURL: String?
    /// How it is reached by TLS, or the gateway of a queue worker.
    public let providerTLS: ProviderTLSSettings
    /// The gateway's address for a queue worker alone.
    public let gatewayURL: String
    /// The folder of the credentials' files.
    public let credentialsFolder: String

    /// The text of a file; nil where there is none.
    public static func contents(ofFile path: String) -> String? {
        try? String(contentsOfFile: path, encoding: .utf8)
    }

    /// Reads settings from flags by name, an environment, and the file in the data directory.
    ///
    /// - Throws: `badSettings` naming everything that is wrong at once.
    public init(
        flags: [String: String],
        environment: [String: String],
        readFile: (String) -> String? = PlatformSettings.contents
    ) throws(PlatformFault) {
        var reader = SettingsReader(flags: flags, environment: environment)
        let folder = reader.path("data-dir")
        reader.takeFile(readFile("\(folder)/martlet.yaml"))
        host = reader.text("host")
        port = reader.number("port", in: 0...65_535)
        managementPort = reader.port("management-port", besides: port)
        metricsPort = reader.number("metrics-port", in: 0...65_535)
        pagePort = reader.text("ui-port") == "off" ? nil : reader.number("ui-port", in: 0...65_535, or: "off")
        let pageAddress = reader.text("ui-host")
        pageHost = pageAddress.isEmpty ? host : pageAddress
        dataDirectory = folder
        let stack = reader.text("file")
        stackFile = stack.isEmpty ? nil : stack
        requiresCredentials = reader.flag("auth")
        _ = reader.word("provider", of: ["process"])
        defaultNamespace = reader.namespace("function-namespace")
        headerTimeout = reader.duration("header-timeout", allowsZero: false)
        readTimeout = reader.duration("read-timeout", allowsZero: false)
        writeTimeout = reader.duration("write-timeout", allowsZero: false)
        let upstream = reader.duration("upstream-timeout", allowsZero: true)
        upstreamTimeout = upstream == .zero ? nil : upstream
        headLimit = reader.number("head-limit", in: 1024...16_777_216)
        let body = reader.number("body-limit", in: 0...Int.max)
        bodyLimit = body == 0 ? nil : body
        bodyMemory = reader.number("body-memory", in: 0...Int.max / 2)
        bodyDisk = reader.number("body-disk", in: 0...Int.max / 2)
        waitingLimit = reader.number("waiting-limit", in: 0...Int.max)
        drainTimeout = reader.duration("drain-timeout", allowsZero: true)
        asynchrony = AsynchronySettings(&reader)
        jetStream = JetStreamSettings(&reader)
        autoscaler = reader.word("autoscaler", of: ["auto", "true", "false"])
        prometheusURL = reader.address("prometheus-host", "prometheus-port")
        let address = reader.text("public-url")
        publicURL = address.isEmpty ? nil : reader.url("public-url", address)
        requiresLimits = reader.flag("require-limits")
        tlsFiles = reader.pair("tls-cert", "tls-key")
        accessLog = reader.word("access-log", of: ["off", "errors", "all"])
        logLevel = reader.word("log-level", of: ["debug", "info", "warning", "error"])
        logFormat = reader.word("log-format", of: ["auto", "text", "json"])
        let url = reader.text("functions-provider-url")
        providerURL = url.isEmpty ? nil : reader.url("functions-provider-url", url)
        providerTLS = ProviderTLSSettings(&reader)
        gatewayURL = reader.url("gateway-url", reader.text("gateway-url"))
        let credentials = reader.text("secret-mount-path")
        credentialsFolder = credentials.isEmpty ? folder : credentials
        values = reader.values
        guard reader.problems.isEmpty else {
            throw PlatformFault(
                .badSettings,
                "Martlet does not start with these settings:\n"
                    + reader.problems.map { "  - \($0)" }.joined(separator: "\n"),
                hint: "Each value and where it comes from: martlet up --show-settings"
            )
        }
    }
}

/// Looks values up in the order of precedence and gathers what is wrong with them.
struct SettingsReader {
    let flags: [String: String]
    let environment: [String: String]
    var file: [String: String] = [:]
    var values: [String: PlatformSettings.Value] = [:]
    var problems: [String] = []

    init(flags: [String: String], environment: [String: String]) {
        self.flags = flags
        self.environment = environment
    }

    mutating func takeFile(_ text: String?) {
        guard let text else { return }
        do {
            let read = SettingsFile(try YAMLMapping.readTexts(text) ?? [:])
            file = read.values
            problems += read.problems
        } catch {
            problems.append("martlet.yaml is not YAML: \(error)")
        }
    }

    mutating func text(_ name: String) -> String {
        let value = find(name)
        values[name] = value
        return value.text
    }

    /// An empty value counts as absent.
    private func find(_ name: String) -> PlatformSettings.Value {
        guard let definition = SettingsTable.definitions.first(where: { $0.name == name }) else {
            return PlatformSettings.Value(text: "", source: .fallback)
        }
        if let text = flags[name], !text.isEmpty { return PlatformSettings.Value(text: text, source: .flag) }
        for variable in definition.variables {
            if let text = environment[variable], !text.isEmpty {
                return PlatformSettings.Value(text: text, source: .environment(variable))
            }
        }
        if let text = file[name], !text.isEmpty { return PlatformSettings.Value(text: text, source: .file) }
        return PlatformSettings.Value(text: definition.fallback, source: .fallback)
    }

    mutating func path(_ name: String) -> String {
        let text = text(name)
        let home = environment["HOME"] ?? "."
        let expanded = text == "~" ? home : text.hasPrefix("~/") ? home + text.dropFirst(1) : text
        return URL(fileURLWithPath: expanded).standardizedFileURL.path
    }

    /// A whole number; `word` is what may stand in its place and was looked for before.
    mutating func number(_ name: String, in range: ClosedRange<Int>, or word: String? = nil) -> Int {
        let text = text(name)
        guard let number = Int(text), range.contains(number) else {
            let limit =
                range.upperBound == .max ? "from \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
            return refuse(name, "is not a whole number \(limit)\(word.map { ", nor \($0)" } ?? "")", 0)
        }
        return number
    }

    /// A port apart from another one, which is 0 where any is; nil where none is named.
    mutating func port(_ name: String, besides other: Int) -> Int? {
        guard !text(name).isEmpty else { return nil }
        let port = number(name, in: 0...65_535)
        guard port == 0 || port != other else { return refuse(name, "is the port of the functions, too", nil) }
        return port
    }

    mutating func duration(_ name: String, allowsZero: Bool) -> Duration {
        guard let duration = GoDuration.parse(text(name)) else {
            return refuse(name, "is not a duration, as 30s or 1m30s", .zero)
        }
        guard allowsZero || duration > .zero else { return refuse(name, "must be more than 0", .zero) }
        return duration
    }

    /// A list of HTTP statuses.
    mutating func statuses(_ name: String) -> Set<Int> {
        let words = text(name).split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        let statuses = words.compactMap { Int($0) }.filter { (100...999).contains($0) }
        guard statuses.count == words.count else {
            return refuse(name, "is not a list of statuses, as 429,502,503", [])
        }
        return Set(statuses)
    }

    mutating func flag(_ name: String) -> Bool {
        switch text(name).lowercased() {
        case "true", "1", "yes", "on": true
        case "false", "0", "no", "off": false
        default: refuse(name, "is neither true nor false", false)
        }
    }

    mutating func word(_ name: String, of words: [String]) -> String {
        let text = text(name)
        guard words.contains(text) else { return refuse(name, "is none of: \(words.joined(separator: ", "))", text) }
        return text
    }

    /// Two values that make sense together only.
    mutating func pair(_ name: String, _ other: String) -> (String, String)? {
        let (first, second) = (text(name), text(other))
        guard first.isEmpty == second.isEmpty else {
            return refuse(first.isEmpty ? name : other, "is missing: both of \(name) and \(other) are needed", nil)
        }
        return first.isEmpty ? nil : (first, second)
    }

    /// A host and a port, as the address of a server; nil where there is no host.
    mutating func address(_ host: String, _ port: String, scheme: String = "http") -> String? {
        let (name, number) = (text(host), number(port, in: 1...65_535))
        guard !name.isEmpty else { return nil }
        let isBare = name.contains(":") && !name.hasPrefix("[")
        let text = "\(scheme)://\(isBare ? "[\(name)]" : name):\(number)"
        // A port that is none was told of already.
        guard number > 0 else { return nil }
        guard let server = ServerURL(text, defaultPorts: [scheme: number]), server.base == text.lowercased() else {
            return refuse(host, "is not a host's name", nil)
        }
        return server.base
    }

    /// A text that is to be the URL of a server, as it is.
    mutating func url(_ name: String, _ text: String) -> String {
        guard let server = ServerURL(text), server.query == nil else {
            return refuse(name, "is no URL, as http://HOST:PORT with a port from 1 to 65535", text)
        }
        return text
    }

    mutating func namespace(_ name: String) -> String {
        let text = text(name)
        guard NameRule.isLabel(text) else { return refuse(name, "is not a namespace's name", text) }
        return text
    }

    mutating func refuse<Value>(_ name: String, _ why: String, _ fallback: Value) -> Value {
        let value = values[name]
        problems.append(
            "\(name) = \"\(NameRule.printable(value?.shown ?? ""))\" (\(value?.source.description ?? "")) \(why)."
        )
        return fallback
    }
}
