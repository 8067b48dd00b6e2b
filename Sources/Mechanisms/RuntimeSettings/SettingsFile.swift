// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel
import YAMLReading

/// `martlet.yaml`: settings one by one, or below the names of their sections.
struct SettingsFile {
    private var entries: [String: Any] = [:]
    private var problem: String?

    init(_ text: String = "") {
        do throws(YAMLMapping.Problem) {
            entries = try YAMLMapping.readTexts(text) ?? [:]
        } catch {
            problem =
                switch error {
                case .noMapping: "martlet.yaml names no settings: each stands in a line of its own, as port: 8080"
                case .syntax, .keyIsNoText: "martlet.yaml is not YAML: \(error)"
                }
        }
    }

    /// What is said of a setting; nil for nothing.
    func text(of setting: Setting, in section: String?) -> String? {
        let inner = section.flatMap { entries[$0] as? [String: Any] }
        let texts = [entries[setting.name], inner?[setting.name], setting.shortName.flatMap { inner?[$0] }]
        return texts.lazy.compactMap { $0 as? String }.first
    }

    /// What is not where, or what, it should be, when these are all settings that there are.
    func problems(knowing known: [SettingReading]) -> [String] {
        var inspection = FileInspection(known: known)
        inspection.look(at: entries)
        return [problem].compactMap(\.self) + inspection.problems
    }
}

/// Goes through the file.
private struct FileInspection {
    let known: [SettingReading]
    private(set) var problems: [String] = []
    private var seen: Set<String> = []

    init(known: [SettingReading]) { self.known = known }

    /// In an order that is the same each time, so that what is wrong is told in it.
    mutating func look(at entries: [String: Any]) {
        for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
            if isSection(key), let inner = Self.inner(value) {
                for (innerKey, value) in inner.sorted(by: { $0.key < $1.key }) { look(at: innerKey, value, below: key) }
            } else {
                look(at: key, value, below: nil)
            }
        }
    }

    /// What stands below a section's name; nil for a value of its own.
    private static func inner(_ value: Any) -> [String: Any]? { value is NSNull ? [:] : value as? [String: Any] }

    private mutating func look(at key: String, _ value: Any, below section: String?) {
        guard let why = refusal(of: key, value, below: section) else { return }
        let place = section.map { "below \"\($0)\" " } ?? ""
        let end = why.hasSuffix("?") ? "" : "."
        // Where a value has become a key, by a typing mistake, it may hold a password.
        let shown = key.contains("@") ? "…" : NameRule.printable(key)
        problems.append("martlet.yaml: the setting \"\(shown)\" \(place)\(why)\(end)")
    }

    /// Why a setting cannot be where it is, or what it is; nil where it can.
    private mutating func refusal(of key: String, _ value: Any, below section: String?) -> String? {
        let meant = known.first { $0.setting.name == key || ($0.setting.shortName == key && $0.section == section) }
        guard let meant else { return unknown(key, value) }
        guard let own = meant.section else {
            return "is not read from here: this file lies in that folder; use the flag or the variable"
        }
        if let section, section != own { return "belongs below \"\(own)\"" }
        if value is [Any] || value is [String: Any] { return "is not a single value" }
        return seen.insert(meant.setting.name).inserted ? nil : "is there twice"
    }

    private func unknown(_ key: String, _ value: Any) -> String {
        if key.contains(".") || key.contains("/") { return "does not exist; write a section's settings below its name" }
        if isSection(key), !(value is [String: Any]) { return "is a section: its settings stand below it" }
        let flattened = known.lazy.compactMap(\.section).first { key.hasPrefix("\($0)-") }
        if let flattened { return "does not exist; write its settings below \"\(flattened)\"" }
        let nearest = NearestName.of(key, in: known.map(\.setting.name), within: 3)
        return "does not exist" + (nearest.map { "; did you mean \"\($0)\"?" } ?? "")
    }

    private func isSection(_ key: String) -> Bool { known.contains { $0.section == key } }
}
