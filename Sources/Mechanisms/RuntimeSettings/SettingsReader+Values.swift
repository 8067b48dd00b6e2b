// SPDX-License-Identifier: Apache-2.0

import Foundation
import FunctionModel

extension SettingsReader {
    /// A text; nil where it is empty.
    public mutating func optionalText(_ setting: Setting) -> String? {
        let text = text(setting)
        return text.isEmpty ? nil : text
    }

    /// An absolute path, made of what was said.
    public mutating func path(_ setting: Setting) -> String { absolutePath(text(setting)) }

    /// A path as it is from here, where `~` is the home folder.
    public func absolutePath(_ text: String) -> String {
        let home = environment["HOME"] ?? "."
        let expanded = text == "~" ? home : text.hasPrefix("~/") ? home + text.dropFirst(1) : text
        return URL(fileURLWithPath: expanded).standardizedFileURL.path
    }

    /// A whole number.
    public mutating func number(_ setting: Setting, in range: ClosedRange<Int>) -> Int {
        number(setting, text(setting), in: range) ?? range.lowerBound
    }

    /// A whole number; nil where `word`, by default nothing, stands in its place.
    public mutating func number(_ setting: Setting, in range: ClosedRange<Int>, or word: String) -> Int? {
        let text = text(setting)
        return text == word ? nil : number(setting, text, in: range, or: word)
    }

    private mutating func number(
        _ setting: Setting,
        _ text: String,
        in range: ClosedRange<Int>,
        or word: String = ""
    ) -> Int? {
        if let number = Int(text), range.contains(number) { return number }
        let limit =
            range.upperBound == .max ? "from \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
        return refuse(setting.name, "is not a whole number \(limit)\(word.isEmpty ? "" : ", nor \(word)")", nil)
    }

    /// A duration; more than 0 unless that is allowed.
    public mutating func duration(_ setting: Setting, allowsZero: Bool = false) -> Duration {
        guard let duration = GoDuration.parse(text(setting)) else {
            return refuse(setting.name, "is not a duration, as 30s or 1m30s", .zero)
        }
        guard allowsZero || duration > .zero else { return refuse(setting.name, "must be more than 0", .zero) }
        return duration
    }

    /// True or false.
    public mutating func bool(_ setting: Setting) -> Bool {
        switch text(setting).lowercased() {
        case "true", "1", "yes", "on": true
        case "false", "0", "no", "off": false
        default: refuse(setting.name, "is neither true nor false", false)
        }
    }

    /// One of several words, of which the setting's fallback is one.
    public mutating func word<Word: CaseIterable & RawRepresentable<String>>(
        _ setting: Setting,
        of type: Word.Type = Word.self
    ) -> Word {
        if let word = Word(rawValue: text(setting)) { return word }
        guard let fallback = Word(rawValue: setting.fallback) else {
            preconditionFailure("\(setting.name) falls back on what it is not")
        }
        let words = Word.allCases.map(\.rawValue).joined(separator: ", ")
        return refuse(setting.name, "is none of: \(words)", fallback)
    }

    /// Two values that make sense together only; nil where neither is there.
    public mutating func pair(_ first: Setting, _ second: Setting) -> (String, String)? {
        let names = "\(first.name) and \(second.name)"
        switch (optionalText(first), optionalText(second)) {
        case (let one?, let other?): return (one, other)
        case (nil, nil): return nil
        case (nil, _): return refuse(first.name, "is missing: both of \(names) are needed", nil)
        case (_, nil): return refuse(second.name, "is missing: both of \(names) are needed", nil)
        }
    }

    /// A host and a port, as the address of a server; nil where there is no host.
    public mutating func address(_ host: Setting, _ port: Setting, scheme: String = "http") -> String? {
        let (name, number) = (addressText(host), number(port, in: 1...65_535))
        guard let name else { return nil }
        let isBare = name.contains(":") && !name.hasPrefix("[")
        let text = "\(scheme)://\(isBare ? "[\(name)]" : name):\(number)"
        guard let server = ServerURL(text, defaultPorts: [scheme: number]), server.base == text.lowercased() else {
            return refuse(host.name, "is not a host's name", nil)
        }
        return server.base
    }

    /// The URL of a server, as it was written.
    public mutating func url(_ setting: Setting) -> String { checkedURL(setting, addressText(setting) ?? "") }

    /// The URL of a server, as it was written; nil where there is none.
    public mutating func optionalURL(_ setting: Setting) -> String? {
        addressText(setting).map { checkedURL(setting, $0) }
    }

    /// URLs of servers, split by commas, as they were written; nil where there are none.
    ///
    /// `defaultPorts` has the schemes that there may be; `why` is said of what is something else.
    public mutating func optionalURLs(
        _ setting: Setting,
        defaultPorts: [String: Int],
        orElse why: String
    ) -> [String]? {
        guard let text = addressText(setting) else { return nil }
        let urls = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        for url in urls where ServerURL(url, defaultPorts: defaultPorts).map({ $0.query != nil }) ?? true {
            return refuse(setting.name, why, [])
        }
        return urls
    }

    /// The same, or that of a socket in the file system.
    public mutating func server(_ setting: Setting) -> String { checkedServer(setting, addressText(setting) ?? "") }

    /// The same; nil where there is none.
    public mutating func optionalServer(_ setting: Setting) -> String? {
        addressText(setting).map { checkedServer(setting, $0) }
    }

    private mutating func checkedServer(_ setting: Setting, _ text: String) -> String {
        UnixURL(text) == nil ? checkedURL(setting, text, or: ", nor unix:///PATH") : text
    }

    /// `words` are of what else it may be.
    private mutating func checkedURL(_ setting: Setting, _ text: String, or words: String = "") -> String {
        guard let server = ServerURL(text), server.query == nil, !server.hasMisplacedLogin else {
            return refuse(setting.name, "is not a URL, as http://HOST:PORT with a port from 1 to 65535\(words)", text)
        }
        return text
    }

    private mutating func addressText(_ setting: Setting) -> String? {
        let text = text(setting, isAddress: true)
        return text.isEmpty ? nil : text
    }
}
