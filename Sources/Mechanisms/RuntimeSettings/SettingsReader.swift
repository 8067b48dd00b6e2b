// SPDX-License-Identifier: Apache-2.0

public import FaultModel
import Foundation
import FunctionModel

/// Looks settings up, flag before environment before `martlet.yaml` before default, and gathers what is wrong with them.
public struct SettingsReader {
    private let flags: [String: String]
    /// The environment's variables.
    let environment: [String: String]
    private let readFile: (String) throws(UnreadableFile) -> String?
    private var file = SettingsFile()
    private var section: String?
    private var problems: [String] = []
    /// What was read, in the order of reading.
    public private(set) var readings: [SettingReading] = []

    /// Reads from flags by their settings' names, from an environment, and from a file once it is opened.
    public init(
        flags: [String: String] = [:],
        environment: [String: String] = [:],
        readFile: @escaping (String) throws(UnreadableFile) -> String? = { _ in nil }
    ) {
        self.flags = flags
        self.environment = environment
        self.readFile = readFile
    }

    /// Reads from `martlet.yaml` at a path, too, from now on, if it is there.
    public mutating func open(_ path: String) {
        do throws(UnreadableFile) {
            file = SettingsFile(try readFile(path) ?? "")
        } catch {
            problems.append("martlet.yaml \(error).")
        }
    }

    /// Reads the settings of a section.
    public mutating func section<Section: SettingsSection>(_ type: Section.Type = Section.self) -> Section {
        let outer = section
        section = Section.name
        defer { section = outer }
        return Section(&self)
    }

    /// Ends when everything is read.
    ///
    /// - Throws: `badSettings` naming everything that is wrong at once.
    public func finish() throws(PlatformFault) {
        let problems = file.problems(knowing: readings) + problems
        guard problems.isEmpty else {
            throw PlatformFault(
                .badSettings,
                "Martlet does not start with these settings:\n" + problems.map { "  - \($0)" }.joined(separator: "\n"),
                hint: "Each value and where it comes from: martlet up --show-settings"
            )
        }
    }

    /// A text of any form.
    public mutating func text(_ setting: Setting) -> String { text(setting, isAddress: false) }

    /// A text that may have a password in it where it is an address.
    mutating func text(_ setting: Setting, isAddress: Bool) -> String {
        let (text, source) = find(setting)
        readings.append(
            SettingReading(setting: setting, section: section, text: text, source: source, isAddress: isAddress)
        )
        return text
    }

    /// An empty value counts as absent.
    private func find(_ setting: Setting) -> (String, SettingReading.Source) {
        if let text = flags[setting.name], !text.isEmpty { return (text, .flag) }
        for variable in setting.variables {
            if let text = environment[variable], !text.isEmpty { return (text, .environment(variable)) }
        }
        if let text = file.text(of: setting, in: section), !text.isEmpty { return (text, .file) }
        return (setting.fallback, .fallback)
    }

    /// Says why the value of a setting that was read cannot be taken; what is returned stands in for it.
    public mutating func refuse<Value>(_ name: String, _ why: String, _ fallback: Value) -> Value {
        let reading = readings.last { $0.setting.name == name }
        let value = NameRule.printable(reading?.shown ?? "")
        problems.append("\(name) = \"\(value)\" (\(reading?.source.description ?? "")) \(why).")
        return fallback
    }
}
