// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel

/// One setting: its names, what holds when nothing is said, and what it means.
///
/// It is declared where it is read, by the section that it belongs to; help, documentation, errors and the file are made of
/// that.
public struct Setting: Sendable {
    /// How it is set on a command line.
    public struct Flag: Sendable {
        /// What it is called, where that is not the setting's name; a single letter is for one dash.
        public let names: [String]
        /// What it says by being there; nil where a value follows it.
        public let word: String?
        /// What it means, where that is not what the setting means.
        public let help: String?

        /// A value follows it.
        public static let value = Flag(names: [], word: nil, help: nil)

        /// A value follows it, and its names are others than the setting's.
        public static func value(named names: String...) -> Flag { Flag(names: names, word: nil, help: nil) }

        /// It says a word by being there.
        public static func says(_ word: String) -> Flag { Flag(names: [], word: word, help: nil) }

        /// It says a word by being there, under another name and with a meaning of its own.
        public static func says(_ word: String, named name: String, _ help: String) -> Flag {
            Flag(names: [name], word: word, help: help)
        }
    }

    /// The name in `martlet.yaml`, which is mostly the flag's without dashes before it.
    public let name: String
    /// A shorter name that it has there below its section's.
    public let shortName: String?
    /// Environment variables, the strongest first; OpenFaaS' own names among them (contract §22).
    public let variables: [String]
    /// What holds when nothing is said.
    public let fallback: String
    /// One sentence, with the unit.
    public let help: String
    /// Nil where it has none.
    public let flag: Flag?

    /// What the flag is called, without dashes.
    public var flagNames: [String] { flag.map { $0.names.isEmpty ? [name] : $0.names } ?? [] }

    /// Declares a setting.
    ///
    /// Its first variable is `MARTLET_` and its name; `variables` are the others.
    public init(
        _ name: String,
        short shortName: String? = nil,
        also variables: [String] = [],
        default fallback: String = "",
        _ help: String,
        flag: Flag? = nil
    ) {
        self.name = name
        self.shortName = shortName
        let own = "MARTLET_" + name.uppercased().replacing("-", with: "_")
        self.variables = [own] + variables
        self.fallback = fallback
        self.help = help
        self.flag = flag
    }
}

/// What one setting was found to be.
public struct SettingReading: Sendable {
    /// Where a value comes from.
    public enum Source: Sendable, Equatable, CustomStringConvertible {
        /// A command-line flag.
        case flag
        /// An environment variable of this name.
        case environment(String)
        /// `martlet.yaml` in the data directory.
        case file
        /// Nothing was said.
        case fallback

        /// For people.
        public var description: String {
            switch self {
            case .flag: "flag"
            case .environment(let name): "environment (\(name))"
            case .file: "martlet.yaml"
            case .fallback: "default"
            }
        }
    }

    /// What was read.
    public let setting: Setting
    /// The name of its section in the file; nil where it cannot be there.
    public let section: String?
    /// The text as it was given.
    public let text: String
    /// Where it came from.
    public let source: Source

    /// Whether it is the address of a server, or several.
    let isAddress: Bool

    /// The text for people to read: users and passwords in addresses are left out.
    public var shown: String {
        guard isAddress || text.contains("://") else { return ServerURL.withoutLogin(text) }
        guard UnixURL(text) == nil else { return text }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { $0.drop { $0 == " " } }
        // Else a comma may be part of a password.
        let isList = parts.allSatisfy { $0.contains("://") }
        return isList ? parts.map { ServerURL.shown(String($0)) }.joined(separator: ",") : ServerURL.shown(text)
    }
}
