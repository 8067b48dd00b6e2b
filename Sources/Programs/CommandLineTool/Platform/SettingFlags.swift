// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import RuntimeSettings

/// Settings whose flags a command has.
protocol FlagGroup {
    static var settings: [Setting] { get }
}

/// The flags of settings, made of how each is declared.
///
/// ArgumentParser finds flags by reflecting a value that `init()` made, and fills them in by decoding another: properties
/// are what both mostly come from, and declarations here.
struct SettingFlags<Group: FlagGroup>: ParsableArguments, CustomReflectable {
    /// What was said, by the settings' names.
    let values: [String: String]

    init() { values = [:] }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        var values: [String: String] = [:]
        for (setting, flag) in Self.flags {
            let key = Key(stringValue: setting.name)
            if let word = flag.word {
                let isThere = try container.decode(Flag<Bool>.self, forKey: key).wrappedValue
                if isThere { values[setting.name] = word }
            } else {
                values[setting.name] = try container.decode(Option<String?>.self, forKey: key).wrappedValue
            }
        }
        self.values = values
    }

    var customMirror: Mirror {
        Mirror(self, children: Self.flags.map { (label: $0.name, value: Self.argument($0, $1)) })
    }

    private static var flags: [(Setting, Setting.Flag)] {
        Group.settings.compactMap { setting in setting.flag.map { (setting, $0) } }
    }

    private static func argument(_ setting: Setting, _ flag: Setting.Flag) -> Any {
        let name = NameSpecification(
            setting.flagNames.map { $0.count == 1 ? .customShort(Character($0)) : .customLong($0) }
        )
        let help = flag.help ?? setting.help
        guard flag.word == nil else { return Flag(wrappedValue: false, name: name, help: ArgumentHelp(help)) }
        let fallback = setting.fallback.isEmpty ? "" : " (default: \(setting.fallback))"
        return Option<String?>(name: name, help: ArgumentHelp(help + fallback))
    }

    /// A setting's name.
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }

        init?(intValue: Int) { nil }
    }
}
