// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel

/// Settings that belong together: in `martlet.yaml` they may stand below the section's name.
public enum SettingsSection: String, Sendable, CaseIterable {
    /// Where is listened, and what for.
    case listeners
    /// Who may manage.
    case access
    /// What runs functions.
    case provider
    /// Asynchronous calls.
    case queue
    /// How long and how large things may be.
    case limits
    /// What replicas follow.
    case scaling
    /// What is logged.
    case logs

    /// The settings of the section, in the order of the table.
    public var names: [String] {
        switch self {
        case .listeners:
            [
                "host", "port", "management-port", "metrics-port", "ui-port", "ui-host", "public-url", "tls-cert",
                "tls-key",
            ]
        case .access: ["auth", "secret-mount-path"]
        case .provider:
            [
                "provider", "function-namespace", "require-limits", "functions-provider-url", "provider-ca",
                "provider-cert", "provider-key", "provider-server-name", "file",
            ]
        case .queue:
            [
                "async", "async-body-limit", "async-worker", "async-lease", "async-concurrency", "retry-attempts",
                "retry-first-wait", "retry-longest-wait", "retry-codes", "retry-backoff", "result-limit",
                "result-retention", "call-retention", "call-ttl", "nats-url", "nats-host", "nats-port", "nats-creds",
                "nats-ca", "nats-replicas", "queue-name", "worker-name", "gateway-url",
            ]
        case .limits:
            [
                "header-timeout", "read-timeout", "write-timeout", "upstream-timeout", "head-limit", "body-limit",
                "body-memory", "body-disk", "waiting-limit", "drain-timeout",
            ]
        case .scaling: ["autoscaler", "prometheus-host", "prometheus-port"]
        case .logs: ["access-log", "log-level", "log-format"]
        }
    }

    /// The section of a setting; nil for what the file itself lies in.
    public static func of(_ name: String) -> SettingsSection? { allCases.first { $0.names.contains(name) } }

    /// The setting that a key below the section's name means.
    ///
    /// `kind` below `provider` is the setting `provider`.
    func name(of key: String) -> String { self == .provider && key == "kind" ? "provider" : key }
}

/// Reads `martlet.yaml`: settings one by one, or below the names of their sections.
struct SettingsFile {
    /// The values by the settings' names.
    private(set) var values: [String: String] = [:]
    private(set) var problems: [String] = []

    init(_ entries: [String: Any]) {
        // In an order that is the same each time, so that what is wrong is told in it.
        for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
            if let section = SettingsSection(rawValue: key), let inner = Self.inner(value) {
                for (key, value) in inner.sorted(by: { $0.key < $1.key }) {
                    take(section.name(of: key), value, key, below: section)
                }
            } else {
                take(key, value, key, below: nil)
            }
        }
    }

    /// What stands below a section's name; nil for a value of its own.
    private static func inner(_ value: Any) -> [String: Any]? { value is NSNull ? [:] : value as? [String: Any] }

    private mutating func take(_ name: String, _ value: Any, _ key: String, below section: SettingsSection?) {
        let place = section.map { "below \"\($0.rawValue)\" " } ?? ""
        if let why = refusal(of: name, value, key, below: section) {
            problems.append("martlet.yaml: the setting \"\(NameRule.printable(key))\" \(place)\(why).")
        } else {
            values[name] = value as? String ?? ""
        }
    }

    /// Why a setting cannot be where it is, or what it is; nil where it can.
    private func refusal(of name: String, _ value: Any, _ key: String, below section: SettingsSection?) -> String? {
        guard SettingsTable.definitions.contains(where: { $0.name == name }) else { return Self.unknown(key, value) }
        let own = SettingsSection.of(name)
        guard let own else {
            return "is not read from here: this file lies in that folder; use the flag or the variable"
        }
        if let section, section != own { return "belongs below \"\(own.rawValue)\"" }
        if value is [Any] || value is [String: Any] { return "is not a single value" }
        return values[name] == nil ? nil : "is there twice"
    }

    private static func unknown(_ key: String, _ value: Any) -> String {
        if key.contains(".") || key.contains("/") { return "does not exist; write a section's settings below its name" }
        if SettingsSection(rawValue: key) != nil, !(value is [String: Any]) {
            return "is a section: its settings stand below it"
        }
        let flattened = SettingsSection.allCases.first { key.hasPrefix("\($0.rawValue)-") }
        if let flattened { return "does not exist; write its settings below \"\(flattened.rawValue)\"" }
        let nearest = NearestName.of(key, in: SettingsTable.definitions.map(\.name), within: 3)
        return "does not exist" + (nearest.map { "; did you mean \"\($0)\"?" } ?? "")
    }
}
